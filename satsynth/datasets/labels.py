"""Raw mask pixels to class ids: by value, by colour, or by whichever a file holds; strict unless told otherwise."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from satsynth.datasets.nodata import NoData
from satsynth.datasets.orientation import explained
from satsynth.datasets.rasters import Raster, chosen_bands, opened
from satsynth.datasets.scenes import Scene
from satsynth.pairs import IGNORE
from satsynth.runtime.errors import ConfigError, DataError

Colour = tuple[int, int, int]
MANY = 256  # colours, more than there can be classes: a photograph, or masks that were saved as JPEG
SWAPPED = "So many colours are those of a photograph: are images and labels swapped?"


class Labels:
    """The label decoder of a dataset. Every mask becomes uint8 ids 0..classes-1 or 255 (ignore), or an error: never silently 0.

    Files of three or more bands are read by colour, single-band files by value. A palette file is converted to RGB where the table is
    by colour, since the order of a palette may differ from file to file; where it is by value its indices are taken, as long as all
    files agree on their colours; where both tables are given it is read by colour if its palette holds one of the table's hues.

    Args:
        classes: K.
        values: raw value -> id or 255; None or empty where labels are by colour only.
        colours: (R,G,B) -> id or 255; None or empty where labels are by value only.
        unknown: "error", or "ignore" (what no table knows becomes 255).

    Raises:
        ConfigError: neither table is given, or one names a class that does not exist.
    """

    def __init__(self, classes: int, *, values: dict[int, int] | None = None, colours: dict[Colour, int] | None = None, unknown: str):
        self.classes, self.values, self.colours, self.unknown = classes, values or {}, colours or {}, unknown
        if not self.values and not self.colours:
            raise ConfigError("label_map", "it is empty.", "Map at least one raw value or colour to a class.")
        for raw, target in [*self.values.items(), *self.colours.items()]:
            if not (0 <= target < classes or target == IGNORE):
                raise ConfigError("label_map", f"{raw} is mapped to class {target} of {classes}.", "Lengthen classes or mend label_map.")
        if unknown not in ("error", "ignore"):
            raise ConfigError("unknown", f"{unknown!r} is neither error nor ignore.", "Write unknown: error or unknown: ignore.")
        codes = {red << 16 | green << 8 | blue: target for (red, green, blue), target in self.colours.items()}
        self._by_value, self._by_colour = _sorted(self.values), _sorted(codes)
        self._palette: dict[int, tuple[Colour, Path]] = {}
        self.note: Callable[[Path, Counter], None] | None = None  # takes unknown values (by strip) instead of an error
        self.stand_ins: Callable[[list[str]], np.ndarray] | None = (
            None  # ids for unknown values (most frequent first), which then are not 255
        )

    @contextlib.contextmanager
    def opened(self, scene: Scene, image: Raster, max_pixels: int) -> Iterator[Callable[[int, int], np.ndarray]]:
        """Open the mask of a scene beside its open image: a function that gives ids (rows, width) uint8 of rows top..bottom-1.

        Raises:
            DataError: the mask cannot be opened, or has another size than the image; see `rows` for what reading raises.
        """
        with opened(scene.mask, max_pixels) as mask:
            if (image.height, image.width) != (mask.height, mask.width):
                cause = f"the image is {image.width} x {image.height} pixels, but its mask {scene.mask} is {mask.width} x {mask.height}."
                cause += explained(image, mask.width, mask.height)
                raise DataError(scene.image, cause, "Give both the same size.")
            yield self.rows(mask)

    def decode(self, raw: np.ndarray, path: Path, palette: np.ndarray | None = None) -> tuple[np.ndarray, Counter]:
        """Decode raw pixels.

        Args:
            raw: (H,W,B) as in the file, B bands.
            path: the file, for messages.
            palette: (256,3) uint8 of a palette file, else None.

        Returns:
            Ids (H,W) uint8, unknown pixels as 255 (or as `stand_ins` has it); and the count of pixels by unknown value (its digits) or
            colour ("#RRGGBB").

        Raises:
            DataError: the file is of a kind that the tables cannot read, or its palette contradicts an earlier file's.
        """
        if raw.dtype.kind not in "iub":
            raise DataError(path, f"the labels are {raw.dtype} values, not whole numbers.", "Save the mask with 8-bit class values.")
        if palette is not None:
            if not self._reads_by_colour(palette):
                self._check_palette(raw[..., 0], palette, path)
                return self._look_up(raw[..., 0], self._by_value, str)
            raw = palette[raw[..., 0]]
        single = raw.shape[2] < 3
        if single and self.values:
            return self._look_up(raw[..., 0], self._by_value, str)
        if not self.colours:
            if not (np.array_equal(raw[..., 0], raw[..., 1]) and np.array_equal(raw[..., 0], raw[..., 2])):
                remedy = 'Give label_map by colour, in quotes since # begins a comment, as in "#3C1098": building.'
                if len(np.unique(raw[..., :3].reshape(-1, 3), axis=0)) > MANY:
                    remedy = f"{_JPEG} {SWAPPED}" if _is_jpeg(path) else SWAPPED
                raise DataError(path, "the mask is a colour image, but label_map has no colours.", remedy)
            return self._look_up(raw[..., 0], self._by_value, str)
        if raw.dtype.itemsize > 1 and raw.size and not 0 <= raw.min() <= raw.max() <= 255:
            raise DataError(path, f"its {raw.dtype} values are no 8-bit colours.", "Save the mask with 8 bits, or map it by value.")
        wide = raw.astype(np.int64)
        code = wide[..., 0] * 0x10101 if single else wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
        return self._look_up(code, self._by_colour, lambda code: f"#{int(code):06X}")

    def rows(self, raster: Raster) -> Callable[[int, int], np.ndarray]:
        """How rows of an open mask become (rows, width) uint8 ids; what has no data by the file itself is 255 (see `without_data`).

        Raises (when rows are read):
            DataError: unknown values or colours and `unknown` is "error"; the count is that of the rest of the file.
        """
        bands, nodata = chosen_bands(raster, None), self.without_data(raster)

        def read(top: int, bottom: int) -> tuple[np.ndarray, Counter]:
            if not nodata:
                return self.decode(raster.read(top, bottom, bands), raster.path, raster.palette)
            raw, valid = raster.read_valid(top, bottom, bands, nodata)
            decoded, strange = self.decode(raw[valid][:, None], raster.path, raster.palette)
            whole = np.full(valid.shape, IGNORE, np.uint8)
            whole[valid] = decoded[:, 0]
            return whole, strange

        def ids(top: int, bottom: int) -> np.ndarray:
            decoded, strange = read(top, bottom)
            if strange and self.note is not None:
                self.note(raster.path, strange)
            elif strange and self.unknown == "error":
                for start in range(bottom, raster.height, 512):
                    strange += read(start, min(start + 512, raster.height))[1]
                raise unknown_values(raster.path, strange)
            return decoded

        return ids

    def without_data(self, raster: Raster) -> NoData:
        """What says that pixels of an open mask have no data: its file, but for declared values that the tables know.

        Programs hand the declared value 0 down from file to file, so a class of that value is meant where there is one.
        """
        return replace(raster.nodata, pixels=tuple(pixel for pixel in raster.nodata.pixels if not self._knows(pixel, raster.palette)))

    def _knows(self, pixel: tuple[float | None, ...], palette: np.ndarray | None) -> bool:
        """Whether the tables have a raw pixel, a value a band."""
        if palette is not None and self._reads_by_colour(palette):
            return pixel[0] in range(256) and tuple(palette[int(pixel[0])].tolist()) in self.colours
        if self.values and (palette is not None or len(pixel) < 3 or not self.colours):
            return pixel[0] in self.values
        return (pixel[:3] if len(pixel) >= 3 else pixel[:1] * 3) in self.colours

    def _reads_by_colour(self, palette: np.ndarray) -> bool:
        if not (self.values and self.colours):
            return bool(self.colours)
        known = {colour for colour in self.colours if len(set(colour)) > 1}
        return any(tuple(int(part) for part in colour) in known for colour in palette)

    def _check_palette(self, indices: np.ndarray, palette: np.ndarray, path: Path) -> None:
        for index in np.unique(indices):
            colour = tuple(int(part) for part in palette[index])
            known, other = self._palette.setdefault(int(index), (colour, path))
            if known != colour:
                raise DataError(
                    path,
                    f"index {index} of its palette is #{bytes(colour).hex()}, but #{bytes(known).hex()} in {other}: the order of the "
                    "palettes differs from file to file, so an index does not name a class.",
                    "Give label_map by colour, as in '#3C1098': building.",
                )

    def _look_up(self, raw: np.ndarray, table: tuple[np.ndarray, np.ndarray], name: Callable) -> tuple[np.ndarray, Counter]:
        if raw.dtype == np.uint8:
            found, ids = (_translated(raw, of_byte) for of_byte in _matched(np.arange(256), table))
        else:
            found, ids = _matched(raw, table)
        if found.all():
            return ids, Counter()
        values, places, counts = np.unique(raw[~found], return_inverse=True, return_counts=True)
        names = [name(value) for value in values]
        if self.stand_ins is not None:
            order = np.argsort(-counts, kind="stable")
            given = np.empty(len(names), np.uint8)
            given[order] = self.stand_ins([names[place] for place in order])
            ids[~found] = given[places]
        return ids, Counter({name: int(count) for name, count in zip(names, counts)})


def unknown_values(path: Path, strange: Counter, masks: int = 1) -> DataError:
    """The error of values or colours that no class has.

    Args:
        path: a mask that holds them, the one with most of them.
        strange: pixels by value, of all masks.
        masks: how many hold any.
    """
    worst = ", ".join(f"{value} ({count} pixels)" for value, count in strange.most_common(5))
    more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
    where = "the mask" if masks == 1 else f"{masks} masks"
    cause = f"{strange.total()} pixels of {where} hold a value or colour that no class has: {worst}{more}."
    # Of a mask that was saved as JPEG most pixels keep nearly the colour that they had; a photograph has no colour for most of it.
    photograph = len(strange) > MANY and 2 * sum(pixels for _, pixels in strange.most_common(20)) < strange.total()
    if not _is_jpeg(path):
        value = strange.most_common(1)[0][0]
        place, label = ("label_map", f'"{value}"') if value.startswith("#") else ("classes or label_map", value)
        remedy = f"Add it to {place}, as {label}: CLASS or, where it means unlabelled, {label}: ignore; or set unknown: ignore."
        return DataError(path, cause, SWAPPED if photograph else remedy)
    return DataError(path, cause, f"{_JPEG} {SWAPPED}" if photograph else _JPEG)


_JPEG = "JPEG changes colours: save masks as PNG, from labels that were never JPEG."


def _is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg")


def _matched(raw: np.ndarray, table: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each raw value is known, and its class id (255 where it is not)."""
    known, targets = table
    place = np.searchsorted(known, raw).clip(max=len(known) - 1)
    found = known[place] == raw
    return found, np.where(found, targets[place], np.uint8(IGNORE))


def _translated(raw: np.ndarray, of_byte: np.ndarray) -> np.ndarray:
    """`of_byte[raw]` for bytes, as strings are translated: twenty times as fast as numpy's indexing."""
    return np.frombuffer(bytearray(raw.tobytes()).translate(of_byte.tobytes()), of_byte.dtype).reshape(raw.shape)


def _sorted(table: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    known = np.array(sorted(table), np.int64)
    return known, np.array([table[value] for value in known.tolist()], np.uint8)
