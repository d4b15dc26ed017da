"""Sheets of small images, laid out in whole pixels so that no pixel of a patch is blurred or stretched."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from satsynth.pairs import LabelSpace
from satsynth.reporting.figures.placing import LINE, MARGIN, Legend, Page, fitted, text_width
from satsynth.runtime.errors import ConfigError

HEADING = 26  # pixels of a further line of a heading
FOLD, APART = 3, 12  # pixels between an image and its mask, and between lines of pairs


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


def pairs(images: np.ndarray, painted: np.ndarray, columns: int, side: int, gap: int) -> np.ndarray:
    """Pairs in lines of `columns`, each image above its mask: images and painted masks (M, H, W, 3) uint8 -> a canvas.

    `side` is that of a patch in pixels of the sheet, met to the nearest whole multiple of it; `gap` pixels part the columns.
    """
    cells = []
    for start in range(0, len(images), columns):
        for part in (images, painted):
            line = [enlarge(cell, side) for cell in part[start : start + columns]]
            cells.append(line + [None] * (columns - len(line)))
    return tile(cells, [gap] * columns, [FOLD, APART] * (len(cells) // 2))


def compose(
    title: str, blocks: Sequence[tuple[str, np.ndarray]], space: LabelSpace, masks: Sequence[np.ndarray], between: int = 50
) -> Figure:
    """Blocks (heading, canvas) side by side under a title, above the `Legend` of the classes.

    A heading may have several lines; the last lines of all stand at one height. `between` pixels part the blocks at least.
    """
    legend = Legend(space, masks)
    # Headings stand apart even where a short one is wider than its pictures.
    room = [max(canvas.shape[1], text_width(heading, 9.5) + max(0, 12 - between)) for heading, canvas in blocks]
    wide = fitted(2 * MARGIN + sum(room) + between * (len(blocks) - 1), title)
    high = max(canvas.shape[0] for _, canvas in blocks)
    above = MARGIN + 2 * LINE + 14 + HEADING * max(heading.count("\n") for heading, _ in blocks)
    page = Page(title, wide, above + high + 14 + legend.high(wide) + MARGIN)
    left = MARGIN
    for (heading, canvas), width in zip(blocks, room):
        page.write(left, above - 10, heading, va="bottom", fontsize=9.5, linespacing=1.2)
        page.picture(left, above, canvas)
        left += width + between
    page.legend(above + high + 14, legend)
    return page.figure
