"""Sheets of small images, laid out in whole pixels so that no pixel of a patch is blurred or stretched."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

from satsynth.pairs import IGNORE, LabelSpace
from satsynth.reporting.figures import DPI
from satsynth.runtime.errors import ConfigError

MARGIN = 30
LINE = 32
HEADING = 26


def pick(count: int, wanted: int, seed: int) -> np.ndarray:
    """Row numbers of `wanted` pairs of `count`, drawn without replacement in drawn order: random, never curated."""
    if count < 1:
        raise ConfigError("inputs", "a store of the figure holds no pair.", "Generate or tile some pairs first.")
    return np.random.Generator(np.random.Philox(seed)).permutation(count)[:wanted]


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """Repeat the pixels of (H, W, 3) a whole number of times, to `side` pixels or the nearest multiple (at least once)."""
    factor = max(1, round(side / image.shape[0]))
    return image.repeat(factor, 0).repeat(factor, 1)


def tile(cells: Sequence[Sequence[np.ndarray | None]], gap_x: Sequence[int], gap_y: Sequence[int]) -> np.ndarray:
    """Rows of equally large (h, w, 3) uint8 cells on white; `gap_x[j]` pixels follow column j, `gap_y[i]` row i; None stays white."""
    high, wide, _ = next(cell for row in cells for cell in row if cell is not None).shape
    left = np.concatenate([[0], np.cumsum([wide + gap for gap in gap_x])])
    top = np.concatenate([[0], np.cumsum([high + gap for gap in gap_y])])
    canvas = np.full((top[len(cells) - 1] + high, left[len(cells[0]) - 1] + wide, 3), 255, np.uint8)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell is not None:
                canvas[top[i] : top[i] + high, left[j] : left[j] + wide] = cell
    return canvas


def compose(
    title: str, blocks: Sequence[tuple[str, np.ndarray]], space: LabelSpace, masks: Sequence[np.ndarray], between: int = 50
) -> Figure:
    """Blocks (heading, canvas) side by side under a title, above the legend of the classes (and of ignore, where `masks` hold it).

    A heading may have several lines; the last lines of all stand at one height. `between` pixels part the blocks at least.
    """
    names = list(space.names)
    colours = [tuple(part / 255 for part in colour) for colour in space.colours]
    if any((mask == IGNORE).any() for mask in masks):
        names.append("ignore")
        colours.append((0, 0, 0))
    # Headings stand apart even where a short one is wider than its pictures.
    room = [max(canvas.shape[1], _width(heading, 9.5) + max(0, 12 - between)) for heading, canvas in blocks]
    # DejaVu Sans at 150 dpi: some 14 px a letter at 11 pt bold, at most 12 px at 9 pt; a legend's patch takes 75 px.
    wide = 2 * MARGIN + max(sum(room) + between * (len(blocks) - 1), 14 * len(title))
    columns = max(1, min(len(names), (wide - 2 * MARGIN) // (75 + 12 * max(map(len, names)))))
    high = max(canvas.shape[0] for _, canvas in blocks)
    lines = max(heading.count("\n") for heading, _ in blocks)
    above, below = MARGIN + 2 * LINE + 14 + HEADING * lines, math.ceil(len(names) / columns) * LINE + MARGIN + 14
    figure = Figure(figsize=(wide / DPI, (above + high + below) / DPI), dpi=DPI)
    tall = above + high + below
    figure.text(MARGIN / wide, 1 - (MARGIN - 8) / tall, title, va="top", ha="left", fontsize=11, fontweight="bold")
    left = MARGIN
    for (heading, canvas), width in zip(blocks, room):
        figure.text(left / wide, 1 - (above - 10) / tall, heading, va="bottom", ha="left", fontsize=9.5)
        box = (left / wide, 1 - (above + canvas.shape[0]) / tall, canvas.shape[1] / wide, canvas.shape[0] / tall)
        axes = figure.add_axes(box)
        axes.imshow(canvas, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        left += width + between
    handles = [Patch(facecolor=colour, edgecolor="#444444", linewidth=0.6, label=name) for name, colour in zip(names, colours)]
    spot = ((MARGIN - 6) / wide, (below - 14) / tall)
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=spot, ncols=columns, handlelength=1.2, handleheight=1.2, borderpad=0)
    return figure


def _width(text: str, points: float) -> int:
    """Pixels that the longest line of `text` takes in DejaVu Sans."""
    font = FontProperties(family="DejaVu Sans", size=points)
    return math.ceil(max(TextPath((0, 0), line, prop=font).get_extents().x1 for line in text.split("\n")) * DPI / 72)
