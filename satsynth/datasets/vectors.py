"""Vector labels (.geojson, .gpkg, .shp): polygons by their place on Earth, brought onto the grid of a georeferenced image.

Needs the extra `geo` (envs/requirements-geo.txt): pyogrio reads the files, shapely holds the shapes.
"""

import contextlib
import functools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform, transform_bounds

from satsynth.datasets.drawing import Shape
from satsynth.datasets.rasters import Raster
from satsynth.label_files import plain
from satsynth.runtime.errors import DataError

# First bytes by suffix: GDAL opens a file by its content, and some of its formats name other files or addresses to read.
SIGNATURES = {".gpkg": b"SQLite format 3\0", ".shp": b"\0\0\x27\x0a"}
Box = tuple[float, float, float, float]
INSTALL = ".venv/bin/pip install --no-deps -r envs/requirements-geo.txt"


@dataclass(frozen=True)
class Layer:
    """A layer with shapes of a vector file: its name, coordinate system, and attributes; `empty` where it holds no shape."""

    name: str
    crs: CRS
    fields: tuple[str, ...]
    empty: bool


def layer_of(path: Path, name: str | None = None) -> Layer:
    """The layer `name` of a vector file, or its only one.

    Raises:
        DataError: the extra `geo` is not installed, the file is missing or damaged, or has no such layer, several where none is named,
            or no coordinate system.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(path, f"the vector labels cannot be read ({error.strerror}).", "Mend labels: a path below root.") from error
    return _layer_of(path, name, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _layer_of(path: Path, name: str | None, modified: int, size: int) -> Layer:
    pyogrio, _ = _extra(path)
    with _readable(path):
        _check_content(path)
        layers = [str(found) for found, kind in pyogrio.list_layers(_address(path)) if kind is not None]
        asked = [found for found in layers if name is None or plain(found) == plain(name)]
        info = pyogrio.read_info(_address(path), layer=asked[0], force_feature_count=True) if len(asked) == 1 else {}
        crs = CRS.from_user_input(info["crs"]) if info.get("crs") else None
    if len(asked) != 1:
        there = f"layers with shapes ({', '.join(layers) or 'none'})"
        cause = f"it has {len(layers)} {there}, not one." if name is None else f"it has no layer {name!r} among its {there}."
        raise DataError(path, cause, "Name the layer of the labels with label_layer." if layers else "Export the file again.")
    if crs is None:
        missing = " (a shapefile has it in a .prj file beside it)" if path.suffix.lower() == ".shp" else ""
        raise DataError(path, f"the labels have no coordinate system{missing}.", "Assign the right one, as with ogr2ogr -a_srs EPSG:CODE.")
    return Layer(asked[0], crs, tuple(map(str, info["fields"])), info["features"] == 0)


def _extra(path: Path) -> tuple[ModuleType, ModuleType]:
    try:
        import pyogrio
        import shapely
    except ImportError as error:
        cause = f"reading vector labels needs the extra geo, which is not installed ({error})."
        raise DataError(path, cause, f"Run: {INSTALL}") from error
    return pyogrio, shapely


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of pyogrio, shapely and rasterio about a file as one of this project that names it."""
    _, shapely = _extra(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of pyogrio: what is worth telling fails, too
            yield
    # pyogrio's are RuntimeErrors; some of GDAL's come through rasterio as they are.
    except (OSError, RuntimeError, ValueError, RasterioError, CPLE_BaseError, shapely.errors.ShapelyError) as error:
        cause = f"the vector labels cannot be read ({' '.join(str(error).split())[:300]})."
        raise DataError(path, cause, "Export the file again, in the coordinate system of the images.") from error


def _address(path: Path) -> str:
    """Where GDAL finds a file. A GeoPackage is read through GDAL's own files, which give it no folder to write to.

    QGIS leaves them in SQLite's write-ahead mode, in which even a reader makes files beside the database.
    """
    place = str(path.absolute())
    return f"/vsisubfile/0,{place}" if path.suffix.lower() == ".gpkg" else place


def _check_content(path: Path) -> None:
    pending = path.with_name(f"{path.name}-wal")
    if pending.is_file() and pending.stat().st_size:
        cause = f"changes of it wait in {pending.name} beside it."
        raise DataError(path, cause, "Save and close it in the program that has it open, such as QGIS.")
    with open(path, "rb") as file:
        start = file.read(4096)
    wanted = SIGNATURES.get(path.suffix.lower())
    good = start.startswith(wanted) if wanted else start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b"<OGRVRT" not in start
    if not good:
        raise DataError(path, f"it begins {start[:8]!r}, as no {path.suffix} file does.", "Export the file again.")


def shapes_of(path: Path, field: str | None, image: Raster, name: str | None = None) -> list[Shape]:
    """The shapes of the layer `name` of a vector file (of its only one) that lie on an open image, in the order of the file.

    `label` of a shape is the value of the attribute `field`, "" where no field is asked for.

    Raises:
        DataError: the image has no place on Earth, the file has no such attribute, a shape is none or a broken polygon; or what
            `layer_of` says.
    """
    layer = layer_of(path, name)
    pyogrio, shapely = _extra(path)
    if layer.empty:  # a tile without any object; a GeoJSON has no attributes then
        return []
    stored = next((known for known in layer.fields if field is not None and plain(known) == plain(field)), None)
    if field is not None and stored is None:
        cause = f"it has no attribute {field!r}; it has {', '.join(layer.fields) or 'none'}."
        raise DataError(path, cause, "Set label_field to the attribute that names the class.")
    crs, place = image.source.crs, image.source.transform
    if crs is None or place.is_identity:
        lacks = "coordinate system" if crs is None else "place in its coordinate system"
        remedy = "Use a GeoTIFF that has one (world files beside an image are not read); gdal_edit.py -a_srs and -a_ullr write it."
        raise DataError(image.path, f"the image has no {lacks}, so {path} cannot be laid over it.", remedy)
    with _readable(path):
        box = transform_bounds(crs, layer.crs, *_bounds(image), densify_pts=21)
        columns = [] if stored is None else [stored]
        _, _, shapes, values = pyogrio.raw.read(_address(path), layer=layer.name, columns=columns, bbox=box)
        shapes = shapely.from_wkb(shapes)
        values = values[0] if columns else np.full(len(shapes), None)
    kept = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    for shape, value in zip(shapes[kept], values[kept]):
        if shape.geom_type not in ("Polygon", "MultiPolygon"):
            cause = f"a shape{_told(field, value)} is a {shape.geom_type}, which covers no pixels."
            raise DataError(path, cause, "Buffer lines and points to polygons, or leave them out.")
    with _readable(path):  # all at once: to set up the change of coordinates takes longer than to apply it
        placed = shapely.transform(shapes[kept], functools.partial(_to_pixels, source=layer.crs, image=image, path=path))
    found = []
    for pixels, value in zip(placed, values[kept]):
        _, top, _, bottom = pixels.bounds
        if not math.isfinite(pixels.area):
            cause = f"a shape{_told(field, value)} on {image.path} reaches too far to have an area."
            raise DataError(path, cause, "Mend or remove it.")
        polygons = tuple(shapely.geometry.mapping(part) for part in shapely.get_parts(pixels))
        found.append(Shape(_text(value), float(pixels.area), float(top), float(bottom), polygons))
    return found


def _bounds(image: Raster) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of an image in its coordinate system, also where it is turned."""
    corners = [image.source.transform @ corner for corner in ((0, 0), (image.width, 0), (0, image.height), (image.width, image.height))]
    xs, ys = zip(*corners)
    return min(xs), min(ys), max(xs), max(ys)


def _to_pixels(points: np.ndarray, source: CRS, image: Raster, path: Path) -> np.ndarray:
    """Points (n,2) of the layer as pixels (n,2) of the image, x right and y down."""
    xs, ys = points.T
    if source != image.source.crs:
        xs, ys = map(np.asarray, transform(source, image.source.crs, xs, ys))
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        cause = f"a shape cannot be brought into the coordinate system of {image.path}."
        raise DataError(path, cause, "Save the labels in the coordinate system of the images.")
    return np.stack(~image.source.transform @ (xs, ys), axis=1)


def _told(field: str | None, value: object) -> str:
    return "" if field is None else f" with {field} {_text(value)!r}"


def _text(value: object) -> str:
    """An attribute as a key of label_map: 3 and 3.0 are "3"; what is missing is ""."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def extents(path: Path, image: Raster, name: str | None = None) -> tuple[Box | None, Box | None, str]:
    """Left, bottom, right and top of all shapes of the layer `name` of a vector file (of its only one), and of an open image, in the
    coordinate system of the labels; the name of that system.

    None where the layer has no shape, or the image no place in that system.

    Raises:
        DataError: the labels cannot be read (see `layer_of`).
    """
    layer = layer_of(path, name)
    pyogrio, _ = _extra(path)
    with _readable(path):
        whole = tuple(pyogrio.read_info(_address(path), layer=layer.name, force_total_bounds=True)["total_bounds"] or ())
    try:
        place = transform_bounds(image.source.crs, layer.crs, *_bounds(image), densify_pts=21)
    except (RasterioError, CPLE_BaseError, CRSError):  # the last where the image has no coordinate system at all
        place = ()
    known = layer.crs.to_authority()
    shapes, around = (tuple(map(float, box)) if box and all(map(math.isfinite, box)) else None for box in (whole, place))
    return shapes, around, ":".join(known) if known else "the coordinate system of the labels"
