"""Vector labels of any coordinate system on georeferenced images, and what is wrong with files of them."""

import contextlib
import json
import sqlite3
import sys
import unicodedata

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from annotation_fixtures import COCO, drawn
from dataset_fixtures import picture, save
from rasterio.transform import from_origin
from rasterio.warp import transform_geom

from satsynth.datasets import vectors
from satsynth.plan import slices
from satsynth.runtime.errors import DataError

VECTOR = {**COCO, "labels": "town.geojson", "label_field": "kind"}


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


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_an_accent_may_be_written_in_two_ways(tmp_path, asked, stored):
    """In names of layers, attributes and categories: as one character or as two."""
    scene(tmp_path)
    scene(tmp_path, "zz")
    words = {"road": "stra\u00dfe caf\u00e9", "house": "b\u00e2timent"}
    of_file, of_config = ((lambda text, form=form: unicodedata.normalize(form, text)) for form in (stored, asked))
    path = tmp_path / of_file("cit\u00e9.gpkg")  # its layer is called as the file is
    layer(path, [(shape, of_file(words[value])) for shape, value in SHAPES], field=of_file("cat\u00e9gorie"))
    path.rename(tmp_path / "town.gpkg")
    stanza = {
        **{"format": "folder", "images": "images", "labels": "town.gpkg", "background": 0, "ignore": 255},
        **{"classes": [of_config(word) for word in ("\u00e9tang", "rue", "b\u00e2timent")], "label_map": {of_config(words["road"]): "rue"}},
        **{"label_field": of_config("cat\u00e9gorie"), "label_layer": of_config("cit\u00e9")},
    }
    np.testing.assert_array_equal(drawn(tmp_path, {**VECTOR, **slices.reader(stanza)}), expected())


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
    layer(tmp_path / "point.gpkg", [(shapely.Point(500_001, 5_499_999), 3)])
    with pytest.raises(DataError, match=r"a shape with kind '3' is a Point, which covers no pixels"):
        drawn(tmp_path, {**VECTOR, "labels": "point.gpkg"})
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


def test_a_file_without_any_shape_is_all_background(tmp_path):
    """A tile without objects, as open data sets have them: a GeoJSON then has no attributes either."""
    for name in ("a", "zz"):
        scene(tmp_path, name)
        layer(tmp_path / f"{name}.geojson", SHAPES)
    empty = {"type": "FeatureCollection", "features": []}
    (tmp_path / "a.geojson").write_text(json.dumps(empty))
    cfg = {**VECTOR, "images": "images/{id}.tif", "labels": "{id}.geojson"}
    assert (drawn(tmp_path, cfg, "images/a") == 0).all()
    np.testing.assert_array_equal(drawn(tmp_path, cfg, "images/zz"), expected())


def test_shapes_without_an_attribute_are_of_one_class(tmp_path):
    for name in ("a", "zz"):
        scene(tmp_path, name)
    layer(tmp_path / "town.gpkg", SHAPES)
    cfg = {**VECTOR, "labels": "town.gpkg", "label_field": None, "label_map": {"": 2}}
    np.testing.assert_array_equal(drawn(tmp_path, cfg), np.where(expected() > 0, 2, 0))


def test_one_layer_of_several_is_read_by_its_name(tmp_path):
    for name in ("a", "zz"):
        scene(tmp_path, name)
    layer(tmp_path / "town.gpkg", SHAPES)
    pyogrio.raw.write(
        tmp_path / "town.gpkg",
        np.array(shapely.to_wkb([ring(0, 0, 24, 20)]), object),
        [np.array(["house"], object)],
        ["kind"],
        geometry_type="Polygon",
        crs="EPSG:25832",
        layer="zones",
        append=True,
    )
    with pytest.raises(DataError, match=r"2 layers with shapes \(town, zones\), not one. Name the layer of the labels with label_layer"):
        drawn(tmp_path, {**VECTOR, "labels": "town.gpkg"})
    np.testing.assert_array_equal(drawn(tmp_path, {**VECTOR, "labels": "town.gpkg", "label_layer": "town"}), expected())
    assert (drawn(tmp_path, {**VECTOR, "labels": "town.gpkg", "label_layer": "zones"}) == 2).all()
    with pytest.raises(DataError, match=r"no layer 'roads' among its layers"):
        drawn(tmp_path, {**VECTOR, "labels": "town.gpkg", "label_layer": "roads"})


def test_a_file_a_town_holds_the_shapes_of_its_images(tmp_path):
    for town in ("west", "east"):
        for name in ("a", "b"):
            made = scene(tmp_path, f"{town}/{name}")
            assert made.is_file()
    layer(tmp_path / "west.gpkg", SHAPES)
    layer(tmp_path / "east.gpkg", [(ring(0, 0, 24, 20), "house")])
    cfg = {**VECTOR, "images": "images/{town}/{tile}.tif", "labels": "{town}.gpkg", "split": {"val": {"town": ["east"]}}}
    np.testing.assert_array_equal(drawn(tmp_path, cfg, "images/west/b"), expected())
    assert (drawn(tmp_path, cfg, "images/east/a") == 2).all()


def test_a_file_that_some_images_lack_is_named(tmp_path):
    for town in ("west", "east"):
        for name in ("a", "b"):
            scene(tmp_path, f"{town}/{name}")
    layer(tmp_path / "west.gpkg", SHAPES)
    cfg = {**VECTOR, "images": "images/{town}/{tile}.tif", "labels": "{town}.gpkg"}
    with pytest.raises(DataError, match=r"east.gpkg: this file of labels does not exist, and 2 of the 4 images have none"):
        drawn(tmp_path, cfg, "images/west/a")
