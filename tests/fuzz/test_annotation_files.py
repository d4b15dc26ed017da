"""Damaged and lying files of annotations: drawn as labels of the right shape, or refused by an error that names the file."""

import copy
import json
import random

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from mutations import damage, snapshot, survey
from rasterio.transform import from_origin

from satsynth.datasets import folder, tiling
from satsynth.pairs import IGNORE

SIDE, CLASSES = 40, 3
CFG = {
    **{"images": "images", "class_count": CLASSES, "label_map": {"road": 1, "house": 2}, "background": 0, "ignore": 255},
    **{"unknown": "error", "size": 16, "stride": 16, "remainder": "pad", "max_ignore": 1.0, "resize": None, "max_pixels": 1_000_000},
    **{"bands": None, "scale": None, "label_field": "kind", "split": {"by": "scene", "val": 0.5, "seed": 0}},
}
SQUARE = [2, 2, 20, 2, 20, 20, 2, 20]
COCO = {
    "images": [{"id": 1, "file_name": "a.tif", "width": SIDE, "height": SIDE}],
    "categories": [{"id": 1, "name": "road"}, {"id": 2, "name": "house"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE], "bbox": [2, 2, 18, 18], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": {"size": [SIDE, SIDE], "counts": [100, 50, SIDE * SIDE - 150]}},
        {"id": 3, "image_id": 1, "category_id": 2, "segmentation": {"size": [SIDE, SIDE], "counts": "T3b1Z]1"}},
    ],
}
WILD = [
    None, True, -1, 0, 1, 3, 10**9, 2**63, 10**30, 1.5, 1e308, float("nan"), float("inf"), "", "a.tif", "../a.tif", "/", "\x00", "x" * 5000,
    [], {}, [[]], [None], [1, 2], [SQUARE, []], [[float("nan")] * 6], [[1e300] * 8], {"size": [0, 0], "counts": []}, {"counts": "0" * 100},
    {"size": [SIDE, SIDE], "counts": [-1, SIDE * SIDE + 1]}, {"size": [SIDE, SIDE], "counts": [SIDE * SIDE]}, {"size": "x", "counts": None},
    {"size": [SIDE, SIDE], "counts": [2**62, 2**62]}, {"size": [SIDE, SIDE], "counts": "o" * 40},
    {"size": [SIDE, SIDE], "counts": [0.5, "a"]},
]  # fmt: skip


def image(root):
    (root / "images").mkdir(parents=True, exist_ok=True)
    facts = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "crs": "EPSG:25832"}
    with rasterio.open(root / "images/a.tif", "w", transform=from_origin(500_000, 5_500_000, 1, 1), **facts) as out:
        out.write(np.zeros((3, SIDE, SIDE), np.uint8))


def drawn(root, labels):
    cfg, before = {**CFG, "labels": labels}, snapshot(root)
    found, _ = folder._find(root, cfg)
    for scene in found:
        for _, _, _, _, mask in tiling.patches(scene, folder.labels(cfg), cfg):
            assert mask.shape == (16, 16) and mask.dtype == np.uint8 and set(np.unique(mask).tolist()) <= {*range(CLASSES), IGNORE}
    assert snapshot(root) == before


def places(value, path=()):
    yield path
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(entry, (*path, key))


def lie(rng: random.Random) -> bytes:
    """A COCO file of which one or two values are something else."""
    content = copy.deepcopy(COCO)
    for _ in range(rng.choice([1, 1, 2])):
        *above, last = rng.choice(list(places(content))[1:])
        parent = content
        for key in above:
            parent = parent[key]
        if isinstance(parent, dict) and rng.random() < 0.25:
            del parent[last]
        else:
            parent[last] = rng.choice(WILD)
    return json.dumps(content).encode()


def test_damaged_coco_files(tmp_path):
    image(tmp_path)
    path = tmp_path / "labels.json"

    def case(rng: random.Random, number: int) -> None:
        path.write_bytes(lie(rng) if number % 3 else damage(json.dumps(COCO).encode(), rng))
        drawn(tmp_path, path.name)

    path.write_text(json.dumps(COCO))
    drawn(tmp_path, path.name)
    outcomes = survey("coco", 400, case, lambda number: str(tmp_path))
    assert min(outcomes["taken"], outcomes["refused"]) > 40


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".shp"])
def test_damaged_vector_files(tmp_path, suffix):
    image(tmp_path)
    path = tmp_path / f"town{suffix}"
    boxes = [shapely.box(500_000 + 4 * n, 5_500_000 - 30, 500_003 + 4 * n, 5_500_000 - 3) for n in range(8)]
    shapes = [box.union(shapely.box(499_990, 5_499_990, 500_020, 5_499_992)) for box in boxes]
    kinds = np.array(["road", "house"] * 4, object)
    flat = np.array(shapely.to_wkb([shapely.MultiPolygon([shape]) if shape.geom_type == "Polygon" else shape for shape in shapes]), object)
    pyogrio.raw.write(path, flat, [kinds], ["kind"], geometry_type="MultiPolygon", crs="EPSG:25832")
    drawn(tmp_path, path.name)
    good = {part: part.read_bytes() for part in tmp_path.glob("town.*")}

    def case(rng: random.Random, number: int) -> None:
        hurt = rng.choice(sorted(good)) if number % 3 else path
        for part, content in good.items():
            part.write_bytes(damage(content, rng, head=200) if part == hurt else content)
        drawn(tmp_path, path.name)

    survey(f"vector {suffix}", 120, case, lambda number: str(tmp_path))
