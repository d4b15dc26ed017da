"""Shapes in pixels of an image, and drawing them onto rows of class ids.

A pixel belongs to a polygon that holds its centre. Larger shapes are drawn first, so that smaller ones lie on top; of two of one area the
later one in the file does.
"""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, ShapeSkipWarning
from rasterio.features import rasterize


@dataclass(frozen=True)
class Runs:
    """Pixels as runs down the columns: column, first row and the row after the last, (n,) int64 each."""

    column: np.ndarray
    top: np.ndarray
    bottom: np.ndarray

    def rows(self, top: int, bottom: int, width: int) -> np.ndarray:
        """Which pixels of rows top..bottom-1 are covered: (rows, width) bool."""
        inside = (self.top < bottom) & (self.bottom > top)
        steps = np.zeros((bottom - top + 1, width), np.int32)
        np.add.at(steps, (self.top[inside].clip(min=top) - top, self.column[inside]), 1)
        np.add.at(steps, (self.bottom[inside].clip(max=bottom) - top, self.column[inside]), -1)
        return np.cumsum(steps, axis=0)[:-1] > 0


@dataclass(frozen=True)
class Shape:
    """One labelled shape of an image.

    Args:
        label: the category or attribute value as text.
        area: in pixels.
        top, bottom: rows between which it lies.
        form: its polygons as GeoJSON maps in pixels (x right, y down, from the corner of the first pixel), or its runs.
    """

    label: str
    area: float
    top: float
    bottom: float
    form: tuple[dict, ...] | Runs


def stacked(shapes: Sequence[tuple[Shape, int]]) -> list[tuple[Shape, int]]:
    """Shapes with their class ids in the order in which they are drawn."""
    return sorted(shapes, key=lambda pair: -pair[0].area)


def draw(shapes: Sequence[tuple[Shape, int]], background: int, top: int, bottom: int, width: int) -> np.ndarray:
    """Rows top..bottom-1 of an image: ids (rows, width) uint8, `background` where no shape is.

    Args:
        shapes: with their class ids (0..255), as `stacked` gives them.
        background: id of what no shape covers.
        top, bottom, width: in pixels.
    """
    ids = np.full((bottom - top, width), background, np.uint8)
    if not ids.size:
        return ids
    here = [(shape.form, target) for shape, target in shapes if shape.top < bottom and shape.bottom > top]
    for as_runs, group in itertools.groupby(here, key=lambda pair: isinstance(pair[0], Runs)):
        if as_runs:
            for runs, target in group:
                ids[runs.rows(top, bottom, width)] = target
            continue
        polygons = [(polygon, target) for form, target in group for polygon in form]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # pixels are what is meant
            warnings.simplefilter("ignore", ShapeSkipWarning)  # of two corners, which cover nothing
            rasterize(polygons, out=ids, transform=Affine.translation(0, top))
    return ids
