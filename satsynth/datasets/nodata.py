"""Which pixels of a file have no data, by what the file itself says: alpha, a declared no-data value, or a mask of its own."""

from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags


@dataclass(frozen=True)
class NoData:
    """What a file says of pixels without data; a pixel has none where any of the three says so. False where it says nothing.

    `alpha`: number of the alpha band, which is 0 there. `pixels`: raw pixels, a value a band, that mean no data (None: the band has no such
    value). `masked`: the file has a mask of its own, which is 0 there.
    """

    alpha: int | None = None
    pixels: tuple[tuple[float | None, ...], ...] = ()
    masked: bool = False

    def __bool__(self) -> bool:
        return bool(self.alpha or self.pixels or self.masked)

    def __str__(self) -> str:
        values = sorted({value for pixel in self.pixels for value in pixel if value is not None})
        named = [f"no-data value {', '.join(f'{value:.10g}' for value in values)}"] if self.pixels else []
        return " and ".join(["alpha"] * bool(self.alpha) + named + ["a mask of its own"] * self.masked)

    def at(self, raw: np.ndarray, bands: list[int]) -> np.ndarray:
        """Where raw pixels (rows,width,len(bands)), read of these bands (numbers from 1), equal one of `pixels`: (rows,width) bool."""
        found = np.zeros(raw.shape[:2], bool)
        for pixel in self.pixels:
            wanted = {band: _as(pixel[band - 1], raw.dtype) for band in bands}
            if None in wanted.values():
                continue
            same = np.ones_like(found)
            for band, value in wanted.items():
                layer = raw[..., bands.index(band)]
                same &= np.isnan(layer) if value != value else layer == value
            found |= same
        return found


def _as(value: float | None, dtype: np.dtype) -> np.generic | None:
    """A declared value as the file's pixels can hold it; None where they cannot."""
    if value is None:
        return None
    if dtype.kind in "iu":
        facts = np.iinfo(dtype)
        return dtype.type(value) if float(value).is_integer() and facts.min <= value <= facts.max else None
    with np.errstate(over="ignore"):
        held = dtype.type(value)
    return None if np.isinf(held) and not np.isinf(value) else held


def declared(source: rasterio.DatasetReader) -> NoData:
    """What an open file says of pixels without data.

    In a palette the entries of alpha 0 mean so; a value that is declared for all bands does where all bands that are read hold it.
    """
    alpha = next((band for band, meaning in enumerate(source.colorinterp, 1) if meaning == ColorInterp.alpha), None)
    flags = source.mask_flag_enums[0]
    masked = MaskFlags.per_dataset in flags and not {MaskFlags.alpha, MaskFlags.nodata} & set(flags)
    pixels = {source.nodatavals} if any(value is not None for value in source.nodatavals) else set()
    if source.count == 1 and source.colorinterp[0] == ColorInterp.palette:
        pixels |= {(float(index),) for index, colour in source.colormap(1).items() if not colour[3]}
    return NoData(alpha, tuple(sorted(pixels, key=str)), masked)
