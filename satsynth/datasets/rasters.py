"""Opening PNG, JPEG and TIFF files and reading their rows forward, once, in strips.

Files are decoded scan line by scan line, so a scene of any height costs the memory of a strip. GDAL opens all three kinds and says what
they are; what it would also pick up beside a file (world files, `.aux.xml`, masks, overviews) is switched off: the pixels depend on the
file's own bytes alone. No other driver may open a file: GDAL's virtual formats can name any file or address to read. The pixels of plain
8-bit PNG files come from libvips, which gives them in half the time.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from satsynth.datasets.nodata import NoData, declared
from satsynth.runtime.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SIGNATURES = {  # first bytes -> the only driver of GDAL that may open such a file
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
}
CHUNK = 4 << 20  # samples read at once; GDAL's cache must hold all bands of a chunk, or it decodes the file from its start again
FETCHED = 1 << 20  # samples that libvips gives at once: it holds them twice
OPTIONS = {
    "GDAL_CACHEMAX": 16 << 20,
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",  # else a truncated JPEG reads as grey
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # that fast path gives arbitrary pixels for a truncated PNG, and no error
}
DAMAGED = "Replace the file by a sound copy."
logging.getLogger("pyvips").setLevel(logging.ERROR)  # it warns of what is then raised
pyvips.cache_set_max(0)  # it would know a file by its name, whatever stands there now


@dataclass(frozen=True)
class Raster:
    """An open file. `palette` is (256,3) uint8 where the file has one, else None; `dtype` is that of its first band.

    `nodata` is what the file says of pixels without data. Rows of a file with `region`, libvips's reader, can be read from top to bottom
    only.
    """

    path: Path
    source: rasterio.DatasetReader
    height: int
    width: int
    bands: int
    dtype: np.dtype
    palette: np.ndarray | None
    nodata: NoData
    region: pyvips.Region | None = None

    def read(self, top: int, bottom: int, bands: list[int]) -> np.ndarray:
        """Rows top..bottom-1 of the given bands (numbers from 1): (rows, width, len(bands)) of the file's dtype.

        Raises:
            DataError: the file is truncated or damaged.
        """
        if self.region is not None:
            rows = self._fetch(top, bottom)
            return rows if bands == list(range(1, self.bands + 1)) else rows[..., [band - 1 for band in bands]]
        wanted = sorted(set(bands))
        step = max(1, CHUNK // (self.width * len(wanted) * self.dtype.itemsize))
        out = np.empty((bottom - top, self.width, len(wanted)), self.dtype)
        for start in range(top, bottom, step):
            stop = min(start + step, bottom)
            try:
                block = self.source.read(wanted, window=Window(0, start, self.width, stop - start), out_dtype=self.dtype)
            except RasterioError as error:
                raise DataError(self.path, f"the pixels cannot be read ({error.__cause__ or error}).", DAMAGED) from error
            out[start - top : stop - top] = np.moveaxis(block, 0, 2)
        return out if wanted == bands else out[..., [wanted.index(band) for band in bands]]

    def read_valid(self, top: int, bottom: int, bands: list[int], nodata: NoData) -> tuple[np.ndarray, np.ndarray]:
        """As `read`, and where these pixels have data by `nodata`: (rows, width) bool.

        An alpha band that is itself among `bands` is a colour like any other.
        """
        alpha = [nodata.alpha] if nodata.alpha and nodata.alpha not in bands else []
        read = self.read(top, bottom, [*bands, *alpha])
        raw = read[..., : len(bands)]
        valid = ~nodata.at(raw, bands)
        if alpha:
            valid &= read[..., -1] != 0
        if nodata.masked:
            valid &= self._mask(top, bottom)
        return raw, valid

    def _mask(self, top: int, bottom: int) -> np.ndarray:
        """The file's own mask: (rows, width) bool."""
        out = np.empty((bottom - top, self.width), bool)
        step = max(1, CHUNK // self.width)
        for start in range(top, bottom, step):
            stop = min(start + step, bottom)
            try:
                out[start - top : stop - top] = self.source.read_masks(1, window=Window(0, start, self.width, stop - start))
            except RasterioError as error:
                raise DataError(self.path, f"its mask cannot be read ({error.__cause__ or error}).", DAMAGED) from error
        return out

    def _fetch(self, top: int, bottom: int) -> np.ndarray:
        """All bands of rows top..bottom-1, (rows, width, bands) uint8."""
        out = np.empty((bottom - top, self.width, self.bands), np.uint8)
        step = max(1, FETCHED // (self.width * self.bands))
        for start in range(top, bottom, step):
            stop = min(start + step, bottom)
            try:
                data = self.region.fetch(0, start, self.width, stop - start)
            except pyvips.Error as error:
                raise DataError(self.path, f"the pixels cannot be read ({' '.join(str(error).split())}).", DAMAGED) from error
            out[start - top : stop - top] = np.frombuffer(data, np.uint8).reshape(stop - start, self.width, self.bands)
        return out


@contextlib.contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Raster]:
    """Open one raster file.

    Raises:
        DataError: the file is missing, is no PNG, JPEG or TIFF image, has more than `max_pixels` pixels, or is made of parts so large that
            reading one takes the memory of more (see `_check_size`).
    """
    if path.is_symlink() and not path.exists():
        raise DataError(path, f"it is a link to {path.readlink()}, which is missing.", "Fetch that file, or remove the link.")
    if not path.is_file():
        raise DataError(path, "the file is missing, or is no plain file.", "Put it there, or mend the paths of the dataset.")
    driver = _driver(path)
    with rasterio.Env(**OPTIONS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                # Absolute: no relative name can then be taken for one of GDAL's own, such as GTIFF_DIR:1:a.tif.
                source = rasterio.open(path.absolute(), driver=driver)
        except RasterioError as error:
            raise DataError(path, f"the file cannot be opened as a {driver} image ({error}).", DAMAGED) from error
        with source:
            _check_size(path, source, max_pixels)
            palette = None
            if source.count == 1 and source.colorinterp[0] == ColorInterp.palette:
                palette = np.zeros((256, 3), np.uint8)
                for index, colour in source.colormap(1).items():
                    if index < 256:
                        palette[index] = colour[:3]
            facts = source.height, source.width, source.count, np.dtype(source.dtypes[0])
            plain = palette is None and "NBITS" not in source.tags(1, ns="IMAGE_STRUCTURE")  # libvips spreads 1, 2 and 4 bits over 0..255
            region = _region(path, *facts) if plain and source.driver == "PNG" else None
            yield Raster(path, source, *facts, palette, _nodata(path, source), region)


def _driver(path: Path) -> str:
    """Which driver a file is for by its first bytes."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise DataError(path, f"the file cannot be read ({error.strerror}).", "Mend its permissions, or replace it.") from error
    driver = next((driver for signature, driver in SIGNATURES.items() if start.startswith(signature)), None)
    if driver is None:
        raise DataError(path, f"the file cannot be opened as an image: it begins {start!r}, as no PNG, JPEG or TIFF does.", DAMAGED)
    return driver


def _check_size(path: Path, source: rasterio.DatasetReader, max_pixels: int) -> None:
    """Refuse a decompression bomb before a pixel is decoded: too many pixels, or a strip or tile that takes as much memory.

    A strip or tile is decoded whole, with all bands where they are interleaved; it may take the bytes of `max_pixels` RGBA pixels.
    """
    if source.height * source.width > max_pixels:
        remedy = "Raise max_pixels (datasets.NAME.patches.max_pixels) if the file is meant to be that large."
        raise DataError(path, f"{source.width} x {source.height} pixels are more than max_pixels = {max_pixels}.", remedy)
    rows, columns = source.block_shapes[0]
    together = source.count if source.profile.get("interleave") == "pixel" else 1
    size = rows * columns * together * max(1, np.dtype(source.dtypes[0]).itemsize)
    if size > 4 * max(max_pixels, 1 << 20):
        cause = (
            f"one part of it ({columns} x {rows} pixels, {together} bands) takes {size} bytes, more than max_pixels = {max_pixels} allows."
        )
        raise DataError(path, cause, "Save it with smaller strips or tiles, or raise max_pixels if it is meant to be that large.")


def _nodata(path: Path, source: rasterio.DatasetReader) -> NoData:
    try:
        return declared(source)
    except (RasterioError, CPLE_BaseError) as error:
        raise DataError(path, f"what it says of pixels without data cannot be read ({error}).", DAMAGED) from error


def _region(path: Path, height: int, width: int, bands: int, dtype: np.dtype) -> pyvips.Region | None:
    """libvips's reader of a PNG file of which it gives the same samples as GDAL; None for any other file."""
    if dtype != np.uint8:
        return None
    try:
        # The loader by its name: what else libvips would try on a file that it does not know is not wanted.
        image = pyvips.Image.pngload(str(path.absolute()), access="sequential", fail_on="error")
    except pyvips.Error:
        return None  # GDAL says what is wrong with it
    alike = (image.height, image.width, image.bands, image.format) == (height, width, bands, "uchar")
    return pyvips.Region.new(image) if alike else None


def fitted(height: int, width: int, side: int | None) -> tuple[int, int]:
    """Height and width of a scene once its longer side is brought to `side` pixels; None leaves it as it is."""
    if side is None:
        return height, width
    return tuple(max(1, round(length * side / max(height, width))) for length in (height, width))


def chosen_bands(raster: Raster, bands: list[int] | None) -> list[int]:
    """Numbers (from 1) of the bands that an image is read from: those asked for, else the first three, or the only one.

    Raises:
        DataError: a band that the file lacks.
    """
    chosen = list(bands) if bands else [1, 2, 3] if raster.bands >= 3 else [1]
    if not 1 <= min(chosen) <= max(chosen) <= raster.bands:
        raise DataError(raster.path, f"bands {chosen} are asked for, but the file has {raster.bands}.", "Mend the key bands.")
    return chosen


def rgb_rows(raster: Raster, bands: list[int] | None, scale: object) -> Callable[[int, int], np.ndarray]:
    """How rows of an image become (rows, width, 3) uint8, or (rows, width, 4) where the file says which pixels have data.

    One band is repeated, further bands are dropped, a palette is resolved. The fourth channel is 0 where there is no data, else 255;
    the other three are the same with it and without.

    Args:
        raster: an open image.
        bands: three band numbers from 1, or None for the first three (or the only one).
        scale: None for 8-bit files; [low, high] maps that range of raw values linearly to 0..255 (any dtype); "auto" does so with the
            2nd and 98th percentile over the chosen bands of this scene together, without pixels that have no data (16-bit files; 8-bit
            ones stay as they are).

    Raises:
        DataError: a band that the file lacks, or values of more than 8 bits without a `scale`.
    """
    chosen = chosen_bands(raster, bands)
    colours = _colours(raster, chosen, scale, bands is None)
    if not raster.nodata:
        return lambda top, bottom: colours(raster.read(top, bottom, chosen))

    step = max(1, FETCHED // raster.width)  # rows: raw pixels of a strip would be as much again

    def rgba(top: int, bottom: int) -> np.ndarray:
        out = np.empty((bottom - top, raster.width, 4), np.uint8)
        for start in range(top, bottom, step):
            raw, valid = raster.read_valid(start, min(start + step, bottom), chosen, raster.nodata)
            part = out[start - top : start - top + len(raw)]
            part[..., :3], part[..., 3] = colours(raw), np.where(valid, np.uint8(255), np.uint8(0))
        return out

    return rgba


def _colours(raster: Raster, bands: list[int], scale: object, plain: bool) -> Callable[[np.ndarray], np.ndarray]:
    """How raw pixels (rows, width, len(bands)) become (rows, width, 3) uint8; `plain`: a palette's colours are meant."""
    if raster.palette is not None and plain:
        palette = raster.palette
        return lambda raw: palette[raw[..., 0]]
    wide = [0, 0, 0] if len(bands) == 1 else slice(None)
    if raster.dtype == np.uint8 and scale in (None, "auto"):
        return lambda raw: raw[..., wide]
    if scale is None:
        raise DataError(
            raster.path,
            f"the image holds {raster.dtype} values, not 8 bits.",
            "Set the key scale to [low, high], the raw values that become 0 and 255, or to auto.",
        )
    low, high = _percentiles(raster, bands) if scale == "auto" else (float(scale[0]), float(scale[1]))
    if not low < high:
        raise DataError(raster.path, f"the range {low:g} to {high:g} cannot be scaled to 8 bits.", "Set the key scale to [low, high].")

    def scaled(raw: np.ndarray) -> np.ndarray:
        values = (raw.astype(np.float32) - low) * (255 / (high - low))
        return np.rint(np.nan_to_num(values, nan=0.0).clip(0, 255)).astype(np.uint8)[..., wide]

    return scaled


def _percentiles(raster: Raster, bands: list[int]) -> tuple[float, float]:
    if raster.dtype not in (np.uint16, np.int16):
        raise DataError(raster.path, f"scale: auto knows 16-bit values, not {raster.dtype}.", "Set the key scale to [low, high].")
    offset = 32768 if raster.dtype == np.int16 else 0
    counts = np.zeros(65536, np.int64)
    for top in range(0, raster.height, 256):
        bottom = min(top + 256, raster.height)
        if raster.nodata:
            raw, valid = raster.read_valid(top, bottom, bands, raster.nodata)
            raw = raw[valid]
        else:
            raw = raster.read(top, bottom, bands)
        counts += np.bincount(raw.ravel().astype(np.int32) + offset, minlength=65536)
    if not counts.any():
        return 0.0, 1.0  # a scene without any data: what becomes of its pixels is all the same
    share = np.cumsum(counts) / counts.sum()
    low, high = np.searchsorted(share, [0.02, 0.98])
    return float(low - offset), float(high - offset)


class Strips:
    """Rows that are asked for from top to bottom, with overlaps: each row is read once, and one strip is kept.

    Args:
        read: gives rows top..bottom-1 as an array whose first axis is the row.
    """

    def __init__(self, read: Callable[[int, int], np.ndarray]):
        self._read, self._top, self._rows = read, 0, read(0, 0)

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Rows top..bottom-1; `top` never goes back between calls."""
        if top < self._top:
            raise ValueError(f"row {top} was passed already")
        end = self._top + len(self._rows)
        kept = self._rows[top - self._top :]
        if bottom > end or not len(kept):
            fresh = self._read(max(top, end), max(bottom, end, top))
            kept = np.concatenate([kept, fresh]) if len(kept) else fresh
        self._rows, self._top = kept, top
        return self._rows[: bottom - top]
