"""COCO annotations (Lin et al. 2014): one JSON file that lists images, categories, and polygons or run lengths on the images."""

import functools
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from satsynth.datasets.drawing import Runs, Shape
from satsynth.datasets.orientation import explained
from satsynth.datasets.rasters import Raster
from satsynth.label_files import plain
from satsynth.runtime.errors import DataError

FORMAT = "It should be {images: [{id, file_name}], categories: [{id, name}], annotations: [{image_id, category_id, segmentation}]}."
FARTHEST = 1e7  # pixels: no image is so large


@dataclass(frozen=True)
class Entry:
    """An image of the file: its id, its name as written, and its size where it is given."""

    id: int | str
    file_name: str
    height: int | None
    width: int | None


class Annotations:
    """What a COCO file holds. `entries`: image id -> entry.

    Args:
        path: the file, for messages.
        content: its parsed JSON.

    Raises:
        DataError: it is no such file, an id or file name stands twice, or an annotation is of an image or category that it does not list.
    """

    def __init__(self, path: Path, content: object):
        self.path = path
        self.entries: dict[int | str, Entry] = {}
        self._by_parts: dict[tuple[str, ...], Entry] = {}  # parts of `file_name`
        self._named: dict[str, list[Entry]] = defaultdict(list)  # the last of them
        self._annotations: dict[int | str, list[dict]] = defaultdict(list)
        self._categories: dict[int | str, str] = {}
        if not isinstance(content, dict):
            raise DataError(path, f"it holds a {type(content).__name__}, no COCO annotations.", FORMAT)
        for image in self._listed(content, "images", "id", "file_name"):
            self._add_entry(image)
        for category in self._listed(content, "categories", "id", "name"):
            self._categories[category["id"]] = str(category["name"])
        for annotation in self._listed(content, "annotations", "image_id", "category_id"):
            name = _named(annotation)
            if annotation["image_id"] not in self.entries:
                cause = f"annotation {name} is on image_id {annotation['image_id']!r}, which it does not list."
                raise DataError(path, cause, "Add that image to its list images, or remove the annotation.")
            if annotation["category_id"] not in self._categories:
                cause = f"annotation {name} is of category_id {annotation['category_id']!r}, which it does not list."
                raise DataError(path, cause, "Add that category to its list categories, or mend the annotation.")
            self._annotations[annotation["image_id"]].append(annotation)

    def _listed(self, content: dict, part: str, *keys: str) -> list[dict]:
        listed = content.get(part)
        if not isinstance(listed, list):
            raise DataError(self.path, f"it has no list {part!r}.", FORMAT)
        for number, item in enumerate(listed):
            for key in keys:
                if not isinstance(item, dict) or not isinstance(item.get(key), int | str):
                    raise DataError(self.path, f"{part}[{number}] has no usable {key!r}.", FORMAT)
        return listed

    def _add_entry(self, image: dict) -> None:
        name = str(image["file_name"])
        parts = PurePosixPath(plain(name.replace("\\", "/"))).parts
        sides = [image.get(key) if isinstance(image.get(key), int) else None for key in ("height", "width")]
        entry = Entry(image["id"], name, *sides)
        if parts in self._by_parts or entry.id in self.entries:
            what = f"file_name {name!r}" if parts in self._by_parts else f"image id {entry.id!r}"
            raise DataError(self.path, f"{what} stands twice in its list images.", "Keep one entry an image.")
        self.entries[entry.id] = self._by_parts[parts] = entry
        self._named[parts[-1] if parts else ""].append(entry)

    def entry_of(self, image: Path) -> Entry | None:
        """The entry of an image file: the longest `file_name` that its path ends with, else the only one of the same last part."""
        parts = tuple(map(plain, image.parts))
        ends = (self._by_parts.get(parts[start:]) for start in range(len(parts)))
        named = self._named.get(parts[-1], [])
        return next(filter(None, ends), named[0] if len(named) == 1 else None)

    def shapes_of(self, image: Raster) -> list[Shape]:
        """The shapes on an open image, in the order of the file; `label` is the name of the category.

        Raises:
            DataError: the file does not list the image or gives it another size, or a segmentation cannot be read.
        """
        entry = self.entry_of(image.path)
        if entry is None:
            raise DataError(image.path, f"{self.path} does not list it.", "Add it to the list images, or take it out of the folder.")
        given, real = (entry.width, entry.height), (image.width, image.height)
        if None not in given and given != real:
            cause = f"the image is {real[0]} x {real[1]} pixels, but {self.path} says {given[0]} x {given[1]}.{explained(image, *given)}"
            raise DataError(image.path, cause, "Annotate the image in the size that it has, or mend width and height.")
        shapes = []
        for annotation in self._annotations.get(entry.id, []):
            try:
                shapes.append(_shape(annotation, self._categories[annotation["category_id"]], image))
            except ValueError as error:
                cause = f"annotation {_named(annotation)} on {entry.file_name!r} cannot be drawn: {error}."
                raise DataError(
                    self.path, cause, "Give its segmentation as polygons [[x, y, ...]] or as run lengths, or remove it."
                ) from error
        return shapes


def read(path: Path) -> Annotations:
    """Read a COCO file; it is kept for as long as it stays the same.

    Raises:
        DataError: the file is missing or is no such file; see `Annotations`.
    """
    try:
        return _read(path, path.stat().st_mtime_ns, path.stat().st_size)
    except OSError as error:
        raise DataError(path, f"the annotations cannot be read ({error.strerror}).", "Mend labels: a path below root.") from error


@functools.lru_cache(maxsize=2)
def _read(path: Path, modified: int, size: int) -> Annotations:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"the annotations are no JSON ({error}).", "Export them again; the file may be cut off.") from error
    return Annotations(path, content)


def _named(annotation: dict) -> str:
    return f"{annotation['id']!r:.60}" if "id" in annotation else "without an id"


def _shape(annotation: dict, label: str, image: Raster) -> Shape:
    """One annotation; ValueError says in words why it has no shape."""
    form = annotation.get("segmentation")
    if not form:
        raise ValueError("it has no segmentation" + (", only a box, which labels no pixels" if annotation.get("bbox") else ""))
    if isinstance(form, dict):
        return _from_runs(form, label, image)
    if not isinstance(form, list) or not all(isinstance(ring, list) for ring in form):
        raise ValueError("its segmentation is neither a list of polygons nor run lengths")
    rings = []
    for ring in form:
        if len(ring) % 2 or not all(isinstance(value, int | float) and abs(value) < FARTHEST for value in ring):
            raise ValueError("a polygon is no list of x, y, x, y, ... in pixels")
        if len(ring) >= 6:  # what has fewer than three points covers nothing
            rings.append(np.array(ring, np.float64).reshape(-1, 2))
    if not rings:
        raise ValueError("no polygon of it has three points")
    area = sum(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2 for x, y in (ring.T for ring in rings))
    rows = np.concatenate([ring[:, 1] for ring in rings])
    # A polygon each: parts that overlap are one area, and no hole.
    polygons = tuple({"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]} for ring in rings)
    return Shape(label, float(area), float(rows.min()), float(rows.max()), polygons)


def _from_runs(form: dict, label: str, image: Raster) -> Shape:
    if form.get("size") != [image.height, image.width]:
        raise ValueError(f"its run lengths are of size {form.get('size')}, not [{image.height}, {image.width}] (height, width)")
    counts, pixels = form.get("counts"), image.height * image.width
    listed = _uncompressed(counts) if isinstance(counts, str) else counts if isinstance(counts, list) else []
    if not all(isinstance(length, int) and 0 <= length <= pixels for length in listed) or sum(listed) != pixels:
        raise ValueError(f"its run lengths do not add up to {image.height} x {image.width} pixels")
    lengths = np.array(listed, np.int64)
    ends = np.cumsum(lengths)
    first, last = ends[0::2][: len(lengths) // 2], ends[1::2]  # runs of ones: every second, down the columns
    first, last = first[last > first], last[last > first]
    columns = (last - 1) // image.height - first // image.height + 1
    run = np.repeat(np.arange(len(first)), columns)
    column = first[run] // image.height + np.arange(len(run)) - np.repeat(np.cumsum(columns) - columns, columns)
    top = np.maximum(first[run] - column * image.height, 0)
    bottom = np.minimum(last[run] - column * image.height, image.height)
    area = int((last - first).sum())
    return Shape(label, float(area), float(top.min(initial=0)), float(bottom.max(initial=0)), Runs(column, top, bottom))


def _uncompressed(text: str) -> list[int]:
    """Run lengths from COCO's compressed text.

    A character holds six bits: five of a value, lowest first, and whether more follow. From the fourth value on it is the change over the
    last but one (`rleFrString` of the COCO API).
    """
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("its compressed run lengths hold characters that none has")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return lengths
