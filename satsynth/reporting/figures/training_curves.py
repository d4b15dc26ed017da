"""Loss against optimiser steps, a panel for each training."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from satsynth.reporting.figures import palette
from satsynth.runtime.errors import DataError

COLUMNS = 3


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """The loss as recorded (pale) and smoothed (dark); seeds of one training share a panel, datasets do not.

    Args:
        cfg: title (str); window (rows of the history that the centred running mean covers, at least 1; see `running_mean`).
        inputs: history (history.csv files with the columns step and loss, at the paths that this project gives them).

    Raises:
        DataError: a history lacks a column or every row.
    """
    named = [name(path) for path in inputs["history"]]
    datasets = list(dict.fromkeys(dataset for dataset, _, _ in named))
    panels: dict[str, list[tuple[str, pd.DataFrame]]] = {}
    for (dataset, panel, line), path in zip(named, inputs["history"]):
        panels.setdefault(panel if len(datasets) == 1 else f"{dataset}: {panel}", []).append((line, _read(path)))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(4.6, 3.1 * columns), 0.7 + 2.3 * rows), layout="constrained")
    figure.suptitle(f"{cfg['title']} ({', '.join(datasets)})", x=0.01, ha="left")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (panel, lines) in zip(grid.flat, panels.items()):
        _panel(axes, panel, lines, cfg["window"])
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    for row in grid:
        row[0].set_ylabel("loss")
    for place in range(columns):
        filled = [grid[row][place] for row in range(rows) if row * columns + place < len(panels)]
        filled[-1].set_xlabel("optimiser steps")
    return figure


def name(path: Path) -> tuple[str, str, str]:
    """(dataset, panel, line) of a history, told from its path: generators by name; segmenters by training set and name, seeds as lines."""
    parts = path.parts
    if "segmentation" in parts:
        place = len(parts) - 1 - parts[::-1].index("segmentation")
        training_set, segmenter, seed = (*parts[place + 1 : -1], "", "", "")[:3]
        return parts[place - 2], f"{segmenter} on\n{training_set}", seed.replace("-", " ")
    return parts[-4], f"generator\n{parts[-2]}", ""


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Centred running mean of (N,) values over at most `window` of them, as many on either side.

    Near an end the window shrinks to what both sides have, down to the first and the last value themselves: the curve reaches both ends,
    and is not drawn towards what follows or precedes on a slope.
    """
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    places = np.arange(len(values))
    half = np.minimum(np.minimum(places, places[::-1]), (window - 1) // 2)
    return (sums[places + half + 1] - sums[places - half]) / (2 * half + 1)


def _read(path: Path) -> pd.DataFrame:
    history = pd.read_csv(path)
    if not {"step", "loss"} <= set(history) or history["loss"].dropna().empty:
        raise DataError(path, "it has no row with step and loss.", "Run the training again.")
    return history.dropna(subset=["loss"]).sort_values("step")


def _panel(axes: Axes, title: str, lines: list[tuple[str, pd.DataFrame]], window: int) -> None:
    values = pd.concat([history["loss"] for _, history in lines])
    for number, (line, history) in enumerate(lines):
        colour = palette.SERIES[number % len(palette.SERIES)]
        smooth = running_mean(history["loss"].to_numpy(), window)
        axes.plot(history["step"], history["loss"], color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(history["step"], smooth, color=colour, label=line or None, linestyle=("-", "--", "-.", ":")[number % 4])
    if values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(title, fontsize=8.5, fontweight="normal")
    axes.set_xlim(left=0)
    if any(line for line, _ in lines):
        axes.legend(fontsize=7.5, handlelength=1.8)
