"""Labels that are drawn: COCO files and vector layers, on the grid of the image, strip by strip, and splits by block of space."""

import contextlib
import json
import sqlite3
import sys

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from dataset_fixtures import CFG, ids, only, pair, picture, save
from rasterio.transform import from_origin
from rasterio.warp import transform_geom

from satsynth.datasets import folder, tiling, vectors
from satsynth.datasets.splits import cut
from satsynth.pairs import IGNORE
from satsynth.randomness import numpy_stream
from satsynth.runtime.errors import DataError

COCO = {**CFG, "labels": "annotations.json", "label_map": {"road": 1, "house": 2, "cloud": IGNORE}, "background": 0}
VECTOR = {**COCO, "labels": "town.geojson", "label_field": "kind"}


def coco(root, annotations, images=None, categories=("road", "house", "cloud"), file="annotations.json"):
    images = images or [{"id": 1, "file_name": "a.png", "height": 20, "width": 24}, {"id": 2, "file_name": "zz.png"}]
    content = {"images": images, "annotations": annotations, "categories": [{"id": n, "name": name} for n, name in enumerate(categories)]}
    (root / file).write_text(json.dumps(content))


def box(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(mask):
    flat = mask.T.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    lengths, position = [], 0
    for edge in edges:
        lengths.append(int(edge - position))
        position = edge
    return [*lengths, int(flat.size - position)]


def compressed(lengths):
    """The text of COCO's `rleToString`."""
    text = ""
    for number, length in enumerate(lengths):
        value, more = length - (lengths[number - 2] if number > 2 else 0), True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 * more))
    return text


def images(root, *names):
    for number, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(seed=number))


def drawn(root, cfg=COCO, name="a"):
    scenes = {scene.name: scene for split in ("train", "val") for scene in folder.scenes(root, split, cfg)}
    with tiling.open_scene(scenes[name], folder.labels(cfg), cfg) as (height, _, _, rows):
        return rows(0, height)


def test_smaller_polygons_lie_on_larger_ones_and_later_ones_on_equals(tmp_path):
    images(tmp_path, "a", "zz")
    forms = [(1, box(4, 4, 8, 8)), (0, box(2, 2, 14, 12)), (2, box(10, 3, 12, 5)), (1, box(16, 2, 18, 4)), (0, box(16, 2, 18, 4))]
    coco(tmp_path, [{"id": i, "image_id": 1, "category_id": c, "segmentation": [ring]} for i, (c, ring) in enumerate(forms)])
    expected = np.zeros((20, 24), np.uint8)
    expected[2:12, 2:14] = 1
    expected[4:8, 4:8] = 2
    expected[3:5, 10:12] = IGNORE
    expected[2:4, 16:18] = 1
    np.testing.assert_array_equal(drawn(tmp_path), expected)
    assert (drawn(tmp_path, name="zz") == 0).all()  # listed, but without an annotation
    assert (drawn(tmp_path, {**COCO, "background": None})[expected == 0] == IGNORE).all()


def test_overlapping_parts_of_an_annotation_are_one_area(tmp_path):
    images(tmp_path, "a", "zz")
    coco(tmp_path, [{"image_id": 1, "category_id": 0, "segmentation": [box(2, 2, 10, 10), box(6, 6, 14, 14)]}])
    mask = drawn(tmp_path)
    assert (mask[6:10, 6:10] == 1).all() and mask.sum() == 64 + 64 - 16


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_give_the_mask_that_they_were_made_of(tmp_path, compress, seed):
    images(tmp_path, "a", "zz")
    mask = numpy_stream(seed, "runs").random((20, 24)) < (0.5, 0.02, 0.98, 1.1)[seed]
    lengths = run_lengths(mask)
    runs = {"size": [20, 24], "counts": compressed(lengths) if compress else lengths}
    coco(tmp_path, [{"image_id": 1, "category_id": 1, "segmentation": runs, "iscrowd": 1}])
    np.testing.assert_array_equal(drawn(tmp_path), 2 * mask)


def test_the_known_text_of_run_lengths():
    from satsynth.datasets.coco import _uncompressed

    assert _uncompressed("0") == [0] and _uncompressed(compressed([6, 1, 40, 4, 5, 4, 5, 4, 21])) == [6, 1, 40, 4, 5, 4, 5, 4, 21]
    assert _uncompressed("61X13mN000`0") == [6, 1, 40, 4, 5, 4, 5, 4, 21]  # as the COCO API writes it


def test_strips_of_any_height_give_the_same_labels(tmp_path):
    images(tmp_path, "a", "zz")
    rng = numpy_stream(0, "polygons")
    rings = [(rng.random((rng.integers(3, 9), 2)) * (26, 22) - 1).ravel().tolist() for _ in range(30)]
    coco(tmp_path, [{"image_id": 1, "category_id": i % 3, "segmentation": [ring]} for i, ring in enumerate(rings)])
    whole = drawn(tmp_path)
    assert len(np.unique(whole)) == 4
    scene = next(scene for split in ("train", "val") for scene in folder.scenes(tmp_path, split, COCO) if scene.name == "a")
    for step in (1, 3, 7):
        with tiling.open_scene(scene, folder.labels(COCO), COCO) as (height, _, _, rows):
            strips = [rows(top, min(top + step, height)) for top in range(0, height, step)]
        np.testing.assert_array_equal(np.concatenate(strips), whole)


def test_entries_are_found_by_the_end_of_their_path(tmp_path):
    images(tmp_path, "north/1", "south/1", "2")
    names = [{"id": 5, "file_name": "north\\1.png"}, {"id": 6, "file_name": "south/1.png"}, {"id": 7, "file_name": "elsewhere/2.png"}]
    coco(tmp_path, [{"image_id": n, "category_id": n % 2, "segmentation": [box(0, 0, 24, 20)]} for n in (5, 6)], names)
    assert [int(drawn(tmp_path, name=name).mean()) for name in ("north/1", "south/1", "2")] == [2, 1, 0]


SOUND = {"image_id": 1, "category_id": 0, "segmentation": [box(0, 0, 4, 4)]}
BROKEN = {
    "annotation 3 is on image_id 9, which it does not list": SOUND | {"id": 3, "image_id": 9},
    "annotation 3 is of category_id 9, which it does not list": SOUND | {"id": 3, "category_id": 9},
    "annotation 3 on 'a.png' cannot be drawn: it has no segmentation, only a box": SOUND
    | {"id": 3, "segmentation": [], "bbox": [0, 0, 1, 1]},
    "a polygon is no list of x, y": SOUND | {"segmentation": [[0, 0, 1, 1, 2]]},
    "no list of x, y, x, y, ... in pixels": SOUND | {"segmentation": [[0, 0, 1, 1, 1e300, 2]]},
    "no polygon of it has three points": SOUND | {"segmentation": [[0, 0, 1, 1]]},
    "neither a list of polygons nor run lengths": SOUND | {"segmentation": "all"},
    r"of size \[24, 20\], not \[20, 24\]": SOUND | {"segmentation": {"size": [24, 20], "counts": [480]}},
    "do not add up to 20 x 24": SOUND | {"segmentation": {"size": [20, 24], "counts": [479]}},
    "do not add up to 20 x 24 pixels": SOUND | {"segmentation": {"size": [20, 24], "counts": [480, None]}},
    "add up to 20 x 24 pixels": SOUND | {"segmentation": {"size": [20, 24], "counts": [2**63 - 1, 2**63 - 1, 482]}},  # 480 by overflow
    "not add up to 20 x 24 pixels": SOUND | {"segmentation": {"size": [20, 24], "counts": [2**70]}},
    "characters that none has": SOUND | {"segmentation": {"size": [20, 24], "counts": "\x01"}},
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_annotation_is_named(tmp_path, message):
    images(tmp_path, "a", "zz")
    coco(tmp_path, [BROKEN[message]])
    with pytest.raises(DataError, match=message):
        drawn(tmp_path)


# Vector labels.


def scene(root, name="a", crs="EPSG:25832", place=None, height=20, width=24):
    """A GeoTIFF of 1 m pixels, or at `place`."""
    path = root / "images" / f"{name}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    place = from_origin(500_000, 5_500_000, 1, 1) if place is None else place
    with rasterio.open(path, "w", driver="GTiff", width=width, height=height, count=3, dtype="uint8", crs=crs, transform=place) as out:
        out.write(np.moveaxis(picture(height, width), 2, 0))
    return path


def ring(left, top, right, bottom):
    """A rectangle in pixels of `scene` as a polygon in its metres."""
    return shapely.box(500_000 + left, 5_500_000 - bottom, 500_000 + right, 5_500_000 - top)


def layer(path, shapes, crs="EPSG:25832", field="kind", values=None):
    """Write (shape in metres, value) pairs as a vector file in the coordinate system `crs`."""
    geometries = [shape for shape, _ in shapes]
    if crs not in (None, "EPSG:25832"):
        geometries = [shapely.geometry.shape(transform_geom("EPSG:25832", crs, shape.__geo_interface__)) for shape in geometries]
    kinds = {shape.geom_type for shape in geometries}
    data = [np.array([value for _, value in shapes], dtype=object if isinstance(shapes[0][1], str) else None)]
    kind = kinds.pop() if len(kinds) == 1 else "Unknown"
    pyogrio.raw.write(path, np.array(shapely.to_wkb(geometries), object), data, [field], geometry_type=kind, crs=crs)


SHAPES = [(ring(2, 2, 14, 12), "road"), (ring(4, 4, 8, 8), "house"), (ring(20, 15, 40, 40), "house"), (ring(100, 100, 200, 200), "road")]


def expected():
    mask = np.zeros((20, 24), np.uint8)
    mask[2:12, 2:14] = 1
    mask[4:8, 4:8] = 2
    mask[15:, 20:] = 2
    return mask


@pytest.mark.parametrize("crs", ["EPSG:25832", "EPSG:4326", "EPSG:3857"])
@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".shp"])
def test_vector_labels_in_any_coordinate_system(tmp_path, suffix, crs):
    scene(tmp_path)
    scene(tmp_path, "zz", place=from_origin(500_024, 5_500_000, 1, 1))  # the next tile to the east
    layer(tmp_path / f"town{suffix}", SHAPES, crs)
    cfg = {**VECTOR, "labels": f"town{suffix}"}
    np.testing.assert_array_equal(drawn(tmp_path, cfg), expected())
    east = drawn(tmp_path, cfg, "zz")
    assert (east[15:, :16] == 2).all() and east.sum() == 2 * 5 * 16


def test_vector_labels_by_number_and_a_file_an_image(tmp_path):
    for name in ("a", "zz"):
        scene(tmp_path, name)
        layer(tmp_path / f"{name}.gpkg", [(shape, 7.0 if value == "road" else 3.0) for shape, value in SHAPES])
    cfg = {**VECTOR, "images": "images/{id}.tif", "labels": "{id}.gpkg", "label_map": {"7": 1, "3": 2}}
    np.testing.assert_array_equal(drawn(tmp_path, cfg, "images/a"), expected())


def test_holes_stay_open(tmp_path):
    scene(tmp_path)
    scene(tmp_path, "zz")
    layer(tmp_path / "town.geojson", [(ring(2, 2, 14, 12).difference(ring(4, 4, 8, 8)), "road")])
    mask = drawn(tmp_path, VECTOR)
    assert (mask[4:8, 4:8] == 0).all() and mask.sum() == 12 * 10 - 16


def test_what_vector_labels_lack_is_named(tmp_path, monkeypatch):
    scene(tmp_path)
    scene(tmp_path, "zz")
    layer(tmp_path / "town.gpkg", SHAPES)
    with pytest.raises(DataError, match=r"no attribute 'sort'; it has kind. Set label_field"):
        drawn(tmp_path, {**VECTOR, "labels": "town.gpkg", "label_field": "sort"})
    layer(tmp_path / "bare.shp", SHAPES, None)
    with pytest.raises(DataError, match=r"no coordinate system \(a shapefile has it in a .prj file"):
        drawn(tmp_path, {**VECTOR, "labels": "bare.shp"})
    layer(tmp_path / "line.gpkg", [(shapely.LineString([(500_001, 5_499_999), (500_005, 5_499_990)]), "road")])
    with pytest.raises(DataError, match=r"is a LineString, which covers no pixels. Buffer"):
        drawn(tmp_path, {**VECTOR, "labels": "line.gpkg"})
    (tmp_path / "fake.geojson").write_text('<OGRVRTDataSource><OGRVRTLayer name="a"/></OGRVRTDataSource>')
    with pytest.raises(DataError, match=r"as no .geojson file does"):
        drawn(tmp_path, {**VECTOR, "labels": "fake.geojson"})
    save(tmp_path / "images" / "a.tif", picture())
    with pytest.raises(DataError, match="the image has no coordinate system"):
        drawn(tmp_path, {**VECTOR, "labels": "town.gpkg"})
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    vectors._layer_of.cache_clear()
    with pytest.raises(DataError, match=r"needs the extra geo.*pip install --no-deps -r envs/requirements-geo.txt"):
        drawn(tmp_path, {**VECTOR, "labels": "town.gpkg"})


def polygon(*rings):
    """GeoJSON text of one road of these rings, in pixels of `scene`."""
    form = {"type": "Polygon", "coordinates": [[(500_000 + x, 5_500_000 - y) for x, y in ring] for ring in rings]}
    feature = {"type": "Feature", "properties": {"kind": "road"}, "geometry": form}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}
    return json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]})


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        ([(1, 1), (9, 1), (9, 9)], r"cannot be read \(.*closed linestring"),
        ([(1, 1)], r"cannot be read \(.*point array"),
        ([(-1e300, -1e300), (9, 1), (9, 9), (-1e300, -1e300)], "'road' on .*a.tif reaches too far"),
    ],
)
def test_a_broken_polygon_is_named(tmp_path, ring, words):
    scene(tmp_path)
    scene(tmp_path, "zz")
    (tmp_path / "town.geojson").write_text(polygon(ring))
    with pytest.raises(DataError, match=words):
        drawn(tmp_path, VECTOR)


@pytest.mark.filterwarnings("error::rasterio.errors.ShapeSkipWarning")
def test_what_covers_nothing_leaves_the_background(tmp_path):
    scene(tmp_path)
    scene(tmp_path, "zz")
    (tmp_path / "town.geojson").write_text(polygon([(1, 1), (9, 9), (1, 1)]))
    assert (drawn(tmp_path, VECTOR) == 0).all()
    layer(tmp_path / "far.gpkg", SHAPES[-1:])
    assert (drawn(tmp_path, {**VECTOR, "labels": "far.gpkg"}) == 0).all()


def test_a_geopackage_in_write_ahead_mode_is_read_without_a_trace(tmp_path):
    """As QGIS leaves them: a plain reader would make files beside it for as long as it reads."""
    scene(tmp_path)
    scene(tmp_path, "zz")
    path = tmp_path / "shapes" / "town.gpkg"
    path.parent.mkdir()
    layer(path, SHAPES)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode=wal").fetchone() == ("wal",)
    before = path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns
    cfg = {**VECTOR, "labels": "shapes/town.gpkg"}
    np.testing.assert_array_equal(drawn(tmp_path, cfg), expected())
    assert (path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns) == before and [*path.parent.iterdir()] == [path]
    vectors._layer_of.cache_clear()
    (path.parent / "town.gpkg-wal").write_bytes(b"more")
    with pytest.raises(DataError, match=r"changes of it wait in town.gpkg-wal beside it. Save and close"):
        drawn(tmp_path, cfg)


def test_vector_files_that_cannot_be_opened_are_named(tmp_path):
    scene(tmp_path)
    scene(tmp_path, "zz")
    (tmp_path / "town.geojson").mkdir()
    with pytest.raises(DataError, match=r"town.geojson: the vector labels cannot be read \(.*directory"):
        drawn(tmp_path, VECTOR)
    layer(tmp_path / "local.shp", SHAPES)
    (tmp_path / "local.prj").write_text('LOCAL_CS["the grid of our town",UNIT["metre",1]]')
    with pytest.raises(DataError, match=r"cannot be read \(.*in the coordinate system of the images"):
        drawn(tmp_path, {**VECTOR, "labels": "local.shp"})


# Blocks of space.


def test_blocks_cover_a_scene_once_and_are_never_slivers():
    found = cut(folder.Scene("a", None, None), 2500, 1000, 1024)
    assert [(block.top, block.height, block.left, block.width) for block in found] == [(0, 1024, 0, 1000), (1024, 1476, 0, 1000)]
    assert [block.name for block in found] == ["a@0-0", "a@1024-0"]


@pytest.mark.parametrize("remainder", ["shift", "pad", "drop"])
def test_no_patch_crosses_a_block_of_the_other_split(tmp_path, remainder):
    pair(tmp_path, "a", picture(150, 170), ids(3, 150, 170))
    cfg = {**CFG, "split": {"by": "block", "block": 40, "val": 0.3, "seed": 0}, "remainder": remainder, "stride": 12}
    seen = {split: np.zeros((150, 170), bool) for split in ("train", "val")}
    with tiling.open_scene(folder.scenes(tmp_path, "train", cfg)[0], folder.labels(cfg), cfg) as (_, _, image, mask):
        truth = image(0, 150), mask(0, 150)
    for split, touched in seen.items():
        for scene in folder.scenes(tmp_path, split, cfg):
            assert scene.name == "a"
            for name, row, column, part, labels in tiling.patches(scene, folder.labels(cfg), cfg):
                top, left = (int(number) for number in name.removeprefix("a@").split("-"))
                inside = labels != IGNORE
                high, wide = inside.any(1).sum(), inside.any(0).sum()
                place = np.s_[top + row : top + row + high, left + column : left + column + wide]
                np.testing.assert_array_equal(part[:high, :wide], truth[0][place])
                np.testing.assert_array_equal(labels[:high, :wide], truth[1][place])
                assert not part[high:].any() and not part[:, wide:].any()
                touched[place] = True
    assert not (seen["train"] & seen["val"]).any()
    assert (seen["train"] | seen["val"]).all() or remainder == "drop"
    assert 0.15 < seen["val"].mean() < 0.45


def test_blocks_are_scenes_of_their_own_in_a_store(tmp_path):
    pair(tmp_path, "a", picture(128, 128), ids(3, 128, 128))
    cfg = {**CFG, "split": {"by": "block", "block": 32, "val": 0.25, "seed": 0}}
    tiling.tile("folder", tmp_path, "train", cfg, {16: tmp_path / "out"})
    from satsynth.pairs import Store

    store = Store.open(tmp_path / "out")
    assert store.card["scenes"] == store.index["scene"].nunique() == 12 and len(store) == 48
    assert set(store.index["row"]) == {0, 16}


def test_masks_still_work_beside_blocks(tmp_path):
    pair(tmp_path)
    image, mask = only(tmp_path)
    assert image.shape == (20, 24, 3) and mask.shape == (20, 24)
