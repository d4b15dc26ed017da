"""A page on which plots, whole-pixel pictures and words are placed in pixels from the upper left corner (150 dpi)."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

from satsynth.pairs import IGNORE, LabelSpace
from satsynth.reporting.figures import DPI

MARGIN = 30
LINE = 32
TITLE = 30


def letters(text: str, points: float = 9) -> int:
    """Pixels that the longest line of `text` takes at most in DejaVu Sans of `points`; bold takes a quarter more."""
    return math.ceil(1.2 * points * max(map(len, text.split("\n"))))


class Page:
    """A figure of `wide` by `tall` pixels under a bold title; places are those of upper left corners, y counts down."""

    def __init__(self, title: str, wide: int, tall: int):
        self.wide, self.tall = max(wide, 2 * MARGIN + letters(title, 14)), tall
        self.figure = Figure(figsize=(self.wide / DPI, tall / DPI), dpi=DPI)
        self.write(MARGIN, MARGIN - 8, title, fontsize=11, fontweight="bold")

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

    def legend(self, y: int, space: LabelSpace, masks: np.ndarray) -> None:
        """The colours of the classes, and of ignore where `masks` hold it, in `legend_lines` lines from y on."""
        names, colours = list(space.names), [tuple(part / 255 for part in colour) for colour in space.colours]
        if (masks == IGNORE).any():
            names.append("ignore")
            colours.append((0, 0, 0))
        handles = [Patch(facecolor=colour, edgecolor="#444444", linewidth=0.6, label=name) for name, colour in zip(names, colours)]
        look = {"ncols": legend_columns(space, self.wide), "handlelength": 1.2, "handleheight": 1.2, "borderpad": 0}
        self.figure.legend(handles=handles, loc="upper left", bbox_to_anchor=((MARGIN - 6) / self.wide, 1 - y / self.tall), **look)


def legend_columns(space: LabelSpace, wide: int) -> int:
    """Classes that stand beside one another in the legend of a page of `wide` pixels."""
    return max(1, min(space.count + 1, (wide - 2 * MARGIN) // (75 + letters(max((*space.names, "ignore"), key=len), 10))))


def legend_lines(space: LabelSpace, wide: int) -> int:
    """Lines of the legend on a page of `wide` pixels, with room for ignore; `LINE` pixels each."""
    return math.ceil((space.count + 1) / legend_columns(space, wide))
