"""A page on which plots, whole-pixel pictures and words are placed in pixels from the upper left corner (150 dpi)."""

import functools
import math
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from satsynth.pairs import HATCH, IGNORE, LabelSpace
from satsynth.reporting.figures import DPI

MARGIN = 30
LINE = 32  # of a legend
TITLE = {"fontsize": 11, "fontweight": "bold"}
# Of a legend at 9 pt: the patch before a name, and what parts it from the name and the name from the next patch.
PATCH = 75


@functools.cache
def text_width(text: str, points: float = 9, weight: str = "normal") -> int:
    """Pixels that the longest line of `text` takes in DejaVu Sans of `points`."""
    font = FontProperties(family="DejaVu Sans", size=points, weight=weight)
    # A path ends where the ink of its last letter does; whole-pixel letters are a little wider than their outlines.
    lines = text.replace("$", r"\$").split("\n")  # a dollar is a dollar, see `figures.draw`
    ends = [TextPath((0, 0), line, prop=font).get_extents().x1 for line in lines if line.strip()]
    return math.ceil(1.03 * max(ends, default=0) * DPI / 72)


class Legend:
    """The colours of the classes and, where one of `masks` (uint8 arrays of any shape) holds ignore, its hatching."""

    def __init__(self, space: LabelSpace, masks: Iterable[np.ndarray]):
        self.names, self.colours = list(space.names), [tuple(part / 255 for part in colour) for colour in space.colours]
        self.hatches = [None] * space.count
        if any((mask == IGNORE).any() for mask in masks):
            self.names.append("unlabelled")
            self.colours.append(tuple(part / 255 for part in HATCH[0]))
            self.hatches.append("//////")

    def columns(self, wide: int) -> int:
        """Classes that stand beside one another on a page of `wide` pixels."""
        return max(1, min(len(self.names), (wide - 2 * MARGIN) // (PATCH + max(map(text_width, self.names)))))

    def high(self, wide: int) -> int:
        """Pixels that the lines take on a page of `wide` pixels."""
        return math.ceil(len(self.names) / self.columns(wide)) * LINE


class Page:
    """A figure of `wide` by `tall` pixels under a bold title; places are those of upper left corners, y counts down.

    A title that is wider makes the page wider.
    """

    def __init__(self, title: str, wide: int, tall: int):
        self.wide, self.tall = fitted(wide, title), tall
        self.figure = Figure(figsize=(self.wide / DPI, tall / DPI), dpi=DPI)
        self.write(MARGIN, MARGIN - 8, title, **TITLE)

    def write(self, x: float, y: float, text: str, **look: object) -> Text:
        """Words whose upper left corner stands at (x, y), unless `ha` and `va` say otherwise; 9 pt."""
        look = {"ha": "left", "va": "top", "fontsize": 9, "linespacing": 1.35} | look
        return self.figure.text(x / self.wide, 1 - y / self.tall, text, **look)

    def plot(self, x: float, y: float, wide: float, high: float) -> Axes:
        """Axes whose frame has this corner and size; ticks and labels stand outside of it."""
        return self.figure.add_axes((x / self.wide, 1 - (y + high) / self.tall, wide / self.wide, high / self.tall))

    def picture(self, x: int, y: int, canvas: np.ndarray) -> None:
        """An image (h, w, 3) uint8, a pixel of it a pixel of the page."""
        axes = self.plot(x, y, canvas.shape[1], canvas.shape[0])
        axes.imshow(canvas, interpolation="nearest", aspect="auto")
        axes.set_axis_off()

    def legend(self, y: int, legend: Legend) -> None:
        """The legend in lines from y on, `legend.high` of the page's width in all."""
        handles = [
            Patch(facecolor=colour, edgecolor="#444444", linewidth=0.6, label=name, hatch=hatch)
            for name, colour, hatch in zip(legend.names, legend.colours, legend.hatches, strict=True)
        ]
        look = {"ncols": legend.columns(self.wide), "handlelength": 1.2, "handleheight": 1.2, "borderpad": 0}
        self.figure.legend(handles=handles, loc="upper left", bbox_to_anchor=((MARGIN - 6) / self.wide, 1 - y / self.tall), **look)


def fitted(wide: int, title: str) -> int:
    """Pixels across of a page that wants `wide` and bears `title`."""
    return max(wide, 2 * MARGIN + text_width(title, TITLE["fontsize"], TITLE["fontweight"]))
