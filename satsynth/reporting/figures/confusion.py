"""Confusion matrices of segmenters side by side, and what changes from one to the other."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from satsynth.pairs import LabelSpace
from satsynth.reporting.figures import DPI, headline, palette, systems
from satsynth.reporting.figures.placing import text_width
from satsynth.reporting.markup import NONE, number
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError

NUMBERED = 16
NAMED = 40
EMPTY = "#dddddd"
# Blue is good and red is bad, in every cell of every panel; told apart with any colour vision.
COLOURS = "RdBu"
BAR = 0.85


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A heat map a system, below one another: for the pixels of each true class (row), the percentage predicted as each class (column).

    The matrices of all images and of all seeds of a system are summed before rows are normalised. A hit (on the diagonal) is blue and a
    mistake (off it) red, the stronger the more. A row without true pixels is grey and bears a dash. Up to 16 classes have their numbers
    written in, except mistakes and differences that round to zero; more than 40 have ids for names, and no dashes. With exactly two
    systems a last panel shows the second less the first, in points: blue where the second is better, with more hits or fewer mistakes.

    Args:
        cfg: title, dataset, experiment (str); systems (list of dicts with segmenter, arm, source, method, ratio and seed, one for each
            file, in the same order).
        inputs: confusions (npy files, (N, K, K) int64, rows truth), classes (one classes.json).

    Raises:
        ConfigError: systems and files differ in number, or an arm is unknown.
        StoreError: a matrix does not fit the classes, or was not counted on the same true pixels as the first.
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    found = _sum(cfg["systems"], inputs["confusions"], space.count)
    shares = [_percent(counts) for _, counts in found]
    panels = [(heading, share, False) for (heading, _), share in zip(found, shares)]
    if len(panels) == 2:
        panels.append(("Difference (points)\nsecond − first", shares[1] - shares[0], True))
    return _draw(headline(cfg, cfg["experiment"]), panels, space)


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


def _draw(title: str, panels: list[tuple[str, np.ndarray, bool]], space: LabelSpace) -> Figure:
    """Lay the panels out in inches, in one column: a figure that is as narrow as its panels can be read on a telephone."""
    side = 4.8 if space.count > NUMBERED else space.count * min(0.75, max(0.3, 3.4 / space.count))
    named = space.count <= NAMED
    size = 10 if space.count <= NUMBERED // 2 else 9 if space.count <= NUMBERED else 6.5
    reach = max(text_width(name, size) for name in space.names) / DPI if named else 0.3
    left, below, above = reach + 0.5, reach + 0.45, 0.5
    headings = [text_width(heading, 10) / DPI for heading, *_ in panels]
    wide = max(left + max(side + BAR, *headings), text_width(title, 11.5, "bold") / DPI + 0.1) + 0.15
    tall = 0.4 + len(panels) * (above + side + below)
    figure = Figure(figsize=(wide, tall), dpi=DPI)
    figure.text(0.1 / wide, 1 - 0.1 / tall, title, va="top", ha="left", fontsize=11.5, fontweight="bold")
    most = max([1.0, *(np.nanmax(np.abs(share), initial=0) for _, share, difference in panels if difference)])
    for place, (heading, share, difference) in enumerate(panels):
        base = tall - 0.4 - place * (above + side + below) - above - side
        axes = figure.add_axes((left / wide, base / tall, side / wide, side / tall))
        image = _panel(axes, share, most if difference else 100, difference)
        axes.set_title(heading, fontsize=10, fontweight="normal")
        _ticks(axes, space, size, named)
        scale = figure.add_axes(((left + side + 0.12) / wide, base / tall, 0.14 / wide, side / tall))
        _scale(figure, scale, image, ("worse", "better") if difference else ("wrong (%)", "right (%)"))
    return figure


def _panel(axes: Axes, share: np.ndarray, limit: float, difference: bool) -> AxesImage:
    classes = len(share)
    # More on the diagonal is good and more off it is bad, so the colour turns its sign there; the numbers do not.
    goodness = np.where(np.eye(classes, dtype=bool), share, -share)
    colours = colormaps[COLOURS].with_extremes(bad=EMPTY)
    image = axes.imshow(goodness, cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest", aspect="auto")
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    if classes <= NUMBERED:
        few = classes <= NUMBERED // 2
        for (row, column), value in np.ndenumerate(share):
            hit = row == column and not difference
            if not np.isnan(value) and (hit or round(abs(value), int(few)) > 0):
                dark = np.dot(image.to_rgba(goodness[row, column])[:3], palette.LUMA) < 0.55
                text = number(value, digits=int(few), sign=difference)
                axes.text(column, row, text, ha="center", va="center", fontsize=9 if few else 7.5, color="white" if dark else "black")
    for row in np.flatnonzero(np.isnan(share).all(1)) if classes <= NAMED else ():
        axes.text((classes - 1) / 2, row, NONE, ha="center", va="center", fontsize=9, color=palette.REFERENCE)
    return image


def _scale(figure: Figure, axes: Axes, image: AxesImage, words: tuple[str, str]) -> None:
    """The colour bar: amounts both ways from zero, and what either way means."""
    figure.colorbar(image, cax=axes, format=lambda value, _: f"{abs(value):g}")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=9)
    for word, height in zip(words, (0.25, 0.75)):
        axes.text(4.2, height, word, transform=axes.transAxes, rotation=90, ha="center", va="center", fontsize=9)


def _ticks(axes: Axes, space: LabelSpace, size: float, named: bool) -> None:
    kind = "class" if named else "class id"
    axes.set_xlabel(f"predicted {kind}", fontsize=10)
    axes.set_ylabel(f"true {kind}", fontsize=10)
    if named:
        axes.set_xticks(range(space.count), space.names, rotation=90, fontsize=size)
        axes.set_yticks(range(space.count), space.names, fontsize=size)
        axes.tick_params(length=0)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=9)
