"""A scene larger than the memory that may be used: image and labels of every kind are read in windows."""

import json
import subprocess
import sys

import numpy as np
import pytest
import pyvips
import rasterio
import shapely
from annotation_fixtures import box
from dataset_fixtures import CFG
from rasterio.transform import from_origin
from test_vector_labels import layer

HEIGHT, WIDTH, SIDE = 9000, 12000, 256  # 324 MB of pixels
PLACE = from_origin(500_000, 5_500_000, 1, 1)
ROW, COLUMN = 7000, 11000  # of a road of 300 x 200 px

COUNTING = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from satsynth.datasets import folder, tiling, vectors
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before, seen, road, ground = peak(), 0, 0, 0
for split in ("train", "val"):
    for scene in folder.scenes(Path({root!r}), split, {cfg!r}):
        for _, _, _, _, mask in tiling.patches(scene, folder.labels({cfg!r}), {cfg!r}):
            seen, road, ground = seen + 1, road + int((mask == 1).sum()), ground + int((mask == 0).sum())
print(seen, road, ground, peak() - before)
"""


def write(path, bands, tiled):
    """A GeoTIFF of zeros, but for the road in the first band, written strip by strip."""
    path.parent.mkdir(exist_ok=True)
    shape = {"tiled": True, "blockxsize": 512, "blockysize": 512} if tiled else {"blockysize": 64}
    facts = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": bands, "dtype": "uint8", "crs": "EPSG:25832", "transform": PLACE}
    with rasterio.open(path, "w", compress="deflate", zlevel=1, **shape, **facts) as out:
        for top in range(0, HEIGHT, 512):
            rows = np.zeros((bands, min(512, HEIGHT - top), WIDTH), np.uint8)
            first, last = max(ROW - top, 0), min(ROW + 300 - top, 512)
            if first < last:
                rows[0, first:last, COLUMN : COLUMN + 200] = 1
            out.write(rows, window=((top, top + rows.shape[1]), (0, WIDTH)))


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("kind", ["masks", "coco", "vectors"])
def test_a_large_scene_costs_a_strip_of_memory(tmp_path, kind, tiled):
    write(tmp_path / "images/town.tif", 3, tiled)
    cfg = {**CFG, "size": SIDE, "stride": SIDE, "split": {"by": "block", "block": 4 * SIDE, "val": 0.3, "seed": 0}, "background": 0}
    if kind == "masks":
        write(tmp_path / "masks/town.tif", 1, tiled)
    elif kind == "coco":
        ring = box(COLUMN, ROW, COLUMN + 200, ROW + 300)
        listed = {"images": [{"id": 1, "file_name": "town.tif"}], "categories": [{"id": 1, "name": "road"}]}
        listed["annotations"] = [{"image_id": 1, "category_id": 1, "segmentation": [ring]}]
        (tmp_path / "town.json").write_text(json.dumps(listed))
        cfg |= {"labels": "town.json", "label_map": {"road": 1}}
    else:
        left, top = PLACE @ (COLUMN, ROW)
        layer(tmp_path / "town.gpkg", [(shapely.box(left, top - 300, left + 200, top), "road")])
        cfg |= {"labels": "town.gpkg", "label_map": {"road": 1}, "label_field": "kind"}
    seen, road, ground, grown = counted(tmp_path, cfg)
    assert road == 300 * 200 and ground == HEIGHT * WIDTH - road and seen >= (HEIGHT // SIDE) * (WIDTH // SIDE)
    assert grown < 130_000, f"{grown} kB"  # 324 MB of pixels; GDAL's cache and the libraries that are loaded late are in it


@pytest.mark.parametrize("said", ["alpha", "mask of its own"])
def test_pixels_without_data_cost_no_more_memory(tmp_path, said):
    """All but the road has no data."""
    image = tmp_path / "images/town.tif"
    write(image, 3, True)
    write(tmp_path / "masks/town.tif", 1, False)
    if said == "alpha":
        plain = pyvips.Image.new_from_file(str(image), access="sequential")
        plain.bandjoin(plain[0] * 255).cast("uchar").copy(interpretation="srgb").pngsave(str(image.with_suffix(".png")), compression=1)
        image.unlink()
    else:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(image, "r+") as own:
            for top in range(0, HEIGHT, 512):
                window = ((top, min(top + 512, HEIGHT)), (0, WIDTH))
                own.write_mask(own.read(1, window=window) > 0, window=window)
    cfg = {**CFG, "size": SIDE, "stride": SIDE, "split": {"by": "block", "block": 4 * SIDE, "val": 0.3, "seed": 0}}
    seen, road, ground, grown = counted(tmp_path, cfg)
    assert (road, ground) == (300 * 200, 0) and seen >= (HEIGHT // SIDE) * (WIDTH // SIDE)
    assert grown < 150_000, f"{grown} kB"  # 432 MB of pixels


def counted(root, cfg):
    """Patches, pixels of road and ground, and kilobytes that a process of its own needed beyond its imports."""
    lines = COUNTING.format(path=sys.path, root=str(root), cfg=cfg)
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return map(int, done.stdout.split())
