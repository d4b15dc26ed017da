"""Confusion matrices of segmenters side by side, and what changes from one to the other."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from satsynth.pairs import LabelSpace
from satsynth.reporting.figures import DPI, palette, systems
from satsynth.reporting.markup import NONE, number
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError

NUMBERED = 16
NAMED = 40
EMPTY = "#eeeeee"


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A heat map a system: for the pixels of each true class (row), the percentage predicted as each class (column).

    The matrices of all images and of all seeds of a system are summed before rows are normalised. A row without true pixels is grey and
    bears a dash. Up to 16 classes have their numbers written in, except those that round to zero; more than 40 have ids for names, and
    no dashes. With exactly two systems a last panel shows the second less the first, in points.

    Args:
        cfg: title (str); systems (list of dicts with segmenter, arm, source, method, ratio and seed, one for each file, in the same order).
        inputs: confusions (npy files, (N, K, K) int64, rows truth), classes (one classes.json).

    Raises:
        ConfigError: systems and files differ in number, or an arm is unknown.
        StoreError: a matrix does not fit the classes, or was not counted on the same true pixels as the first.
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    found = _sum(cfg["systems"], inputs["confusions"], space.count)
    shares = [_percent(counts) for _, counts in found]
    cells = [(heading, share, False) for (heading, _), share in zip(found, shares)]
    if len(cells) == 2:
        cells.append(("Difference (points)\nsecond − first", shares[1] - shares[0], True))
    return _draw(cfg["title"], cells, space)


def _sum(named: list[dict], paths: list[Path], classes: int) -> list[tuple[str, np.ndarray]]:
    systems.check(named, paths, "confusion matrices")
    sums: dict[tuple, list] = {}
    truth = None
    for system, path in zip(named, paths):
        counts = np.load(path, mmap_mode="r")
        if counts.shape[1:] != (classes, classes):
            raise StoreError(path, f"its shape {counts.shape} does not fit {classes} classes.", "Evaluate the run again.")
        total = counts.sum(0, dtype=np.int64)
        truth = total.sum(1) if truth is None else truth
        if (total.sum(1) != truth).any():
            raise StoreError(path, f"its true pixels are not those of {paths[0]}.", "Compare runs on the same validation pairs.")
        entry = sums.setdefault(systems.key(system), [system, 0, 0])
        entry[1], entry[2] = entry[1] + total, entry[2] + 1
    return [(f"{systems.heading(system)}, {n} seed{'' if n == 1 else 's'}", total) for system, total, n in sums.values()]


def _percent(counts: np.ndarray) -> np.ndarray:
    rows = counts.sum(1, keepdims=True)
    return np.divide(100.0 * counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)


def _inches(text: str, size: float) -> float:
    return max(TextPath((0, 0), line or " ", size=size).get_extents().width for line in text.split("\n")) / 72


def _draw(title: str, cells: list[tuple[str, np.ndarray, bool]], space: LabelSpace) -> Figure:
    """Lay the panels out in inches, so that the cells of all are equally large and hold their numbers."""
    side = 4.4 if space.count > NUMBERED else space.count * min(0.7, max(0.275, 3.4 / space.count))
    named = space.count <= NAMED
    size = 8 if space.count <= NUMBERED else 6.5
    reach = max(_inches(name, size) for name in space.names) if named else 0.3
    left, below, above, bar = reach + 0.5, reach + 0.4, 0.45, 0.85
    columns = min(len(cells), 3 if space.count <= NUMBERED // 2 else 2)
    lines = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    last = max(place for place, (_, _, difference) in enumerate(cells) if not difference)
    spots, wide = [], 0.0
    for row, line in enumerate(lines):
        x = left
        for column, (heading, _, difference) in enumerate(line):
            barred = difference or row * columns + column == last
            spots.append((x, row, barred))
            x += max(side + (bar if barred else 0.0), _inches(heading, 9)) + 0.25
        wide = max(wide, x)
    wide = max(wide, _inches(title, 12.5) + 0.3)
    tall = 0.35 + len(lines) * (above + side + below)
    figure = Figure(figsize=(wide, tall), dpi=DPI)
    figure.text(0.1 / wide, 1 - 0.1 / tall, title, va="top", ha="left", fontsize=11, fontweight="bold")
    reach = max([1.0, *(np.nanmax(np.abs(share), initial=0) for _, share, difference in cells if difference)])
    for (x, row, barred), (heading, share, difference) in zip(spots, cells):
        base = tall - 0.35 - row * (above + side + below) - above - side
        axes = figure.add_axes((x / wide, base / tall, side / wide, side / tall))
        colours, limits = (colormaps["RdBu"], (-reach, reach)) if difference else (colormaps["Blues"], (0, 100))
        image = _panel(axes, share, colours, limits, difference)
        axes.set_title(heading, fontsize=9, fontweight="normal")
        _ticks(axes, space, size, named, x == left)
        if barred:
            scale = figure.add_axes(((x + side + 0.1) / wide, base / tall, 0.12 / wide, side / tall))
            figure.colorbar(image, cax=scale)
            scale.tick_params(labelsize=8)
            scale.set_ylabel("points" if difference else "% of the true pixels", fontsize=8)
    return figure


def _panel(axes: Axes, share: np.ndarray, colours: Colormap, limits: tuple[float, float], difference: bool) -> AxesImage:
    colours = colours.with_extremes(bad=EMPTY)
    image = axes.imshow(share, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect="auto")
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    classes = len(share)
    if classes <= NUMBERED:
        digits = 1 if classes <= NUMBERED // 2 else 0
        for (row, column), value in np.ndenumerate(share):
            if not np.isnan(value) and round(abs(value), digits) > 0:
                dark = np.dot(image.to_rgba(value)[:3], (0.299, 0.587, 0.114)) < 0.55
                text = number(value, digits=digits, sign=difference)
                axes.text(column, row, text, ha="center", va="center", fontsize=6.8, color="white" if dark else "black")
    for row in np.flatnonzero(np.isnan(share).all(1)) if classes <= NAMED else ():
        axes.text((classes - 1) / 2, row, NONE, ha="center", va="center", fontsize=8, color=palette.REFERENCE)
    return image


def _ticks(axes: Axes, space: LabelSpace, size: float, named: bool, first: bool) -> None:
    kind = "class" if named else "class id"
    axes.set_xlabel(f"predicted {kind}")
    if named:
        axes.set_xticks(range(space.count), space.names, rotation=90, fontsize=size)
        axes.set_yticks(range(space.count), space.names, fontsize=size)
        axes.tick_params(length=0, labelleft=first)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=8, labelleft=first)
    if first:
        axes.set_ylabel(f"true {kind}")
