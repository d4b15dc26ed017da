"""What synthetic pairs change for a class against how often the class occurs in training (paper, Fig. 7)."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from satsynth.reporting import statistics
from satsynth.reporting.figures import DPI, class_gains, palette
from satsynth.reporting.markup import number

COLUMNS = 2
LOG_FROM = 20
NAMED = 30


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A panel for each comparison: a named point a foreground class, its interval over scenes, Pearson's r in the panel's title.

    Across: share of the training pairs that hold the class (on a logarithmic axis where the largest is more than 20 times the smallest;
    a share of zero is marked at the left edge). Up: IoU of D ∪ D′ less that of D, in points, at the smallest R. Classes without a
    difference are left out; of more than 30 classes only those with the largest differences are named.

    Args:
        cfg: title (str); confidence (two-sided level of the interval of r, in (0, 1)); segmenter (str, or None for all).
        inputs: table (CSV files of the per_class view).

    Raises:
        DataError: a file is no per-class table, or none compares D ∪ D′ with D.
        ConfigError: the table lacks that segmenter.
    """
    comparisons = class_gains.read(inputs["table"], segmenter=cfg.get("segmenter"))
    columns = min(COLUMNS, len(comparisons))
    rows = math.ceil(len(comparisons) / columns)
    size = (7.2, 5.0) if columns == 1 else (5.2 * columns, 0.5 + 4.0 * rows)
    # The labels are placed at the resolution at which the figure is saved.
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    figure.suptitle(cfg["title"], x=0.01, ha="left")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    points = [_points(comparison.rows) for comparison in comparisons]
    for axes, comparison, part in zip(grid, comparisons, points):
        _panel(axes, part, f"{comparison.segmenter} ({comparison.setting})\n{_correlation(part, cfg['confidence'])}")
    for axes in grid[len(comparisons) :]:
        axes.remove()
    figure.draw_without_rendering()
    for axes, part in zip(grid, points):
        _name(axes, part)
    return figure


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[~rows["background"]].dropna(subset=["train_occurrence_pct", "gain_points"])
    return rows.reset_index(drop=True)


def _correlation(part: pd.DataFrame, confidence: float) -> str:
    r, low, high, n = statistics.pearson(part["train_occurrence_pct"].to_numpy(), part["gain_points"].to_numpy(), confidence)
    said = "Pearson r is not defined" if math.isnan(r) else f"Pearson r = {number(r, sign=True)}"
    if not math.isnan(low):
        said += f" ({100 * confidence:g} %: {number(low, sign=True)} to {number(high, sign=True)})"
    return f"{said}, n = {n} class{'' if n == 1 else 'es'}"


def _panel(axes: Axes, part: pd.DataFrame, title: str) -> None:
    share, gain = part["train_occurrence_pct"].to_numpy(float), part["gain_points"].to_numpy(float)
    shown = _scale(axes, share)
    axes.axhline(0, color="#444444", linewidth=1.0, zorder=1)
    low, high = part["gain_scene_low"].to_numpy(float), part["gain_scene_high"].to_numpy(float)
    axes.vlines(shown, low, high, color=palette.SERIES[0], alpha=0.45, linewidth=1.4, zorder=2)
    axes.plot(shown, gain, linestyle="none", marker="o", markersize=6, color=palette.SERIES[0], markeredgecolor="white", zorder=3)
    axes.margins(y=0.1)
    axes.set_title(title, fontsize=9, fontweight="normal")
    axes.set_xlabel("training pairs that hold the class (%)")
    axes.set_ylabel("difference of IoU to D (points)")


def _scale(axes: Axes, share: np.ndarray) -> np.ndarray:
    """Set the horizontal axis; the places at which the shares are drawn."""
    known = share[share > 0]
    if len(known) == 0 or known.max() <= LOG_FROM * known.min():
        top = share.max(initial=1.0)
        axes.set_xlim(-0.06 * top, 1.06 * top)
        return share
    axes.set_xscale("log")
    left, floor, right = known.min() / 1.6, known.min() / 3, known.max() * 1.6
    ticks = LogLocator(subs=(1, 2, 5) if known.max() < 1000 * known.min() else (1,)).tick_values(left, right)
    # Only where shares can lie, so that none comes near the place of zero.
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if left <= tick <= min(right, 100)]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    if len(known) < len(share):
        # Zero has no place on this axis, so it gets one left of the smallest share, with a label of its own.
        left = floor / 1.6
        axes.axvline(floor, color="#aaaaaa", linewidth=0.8, linestyle=":", zorder=0)
        spot = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "xytext": (0, -6.5)}
        axes.annotate("0", (floor, 0), **spot, ha="center", va="top")
    axes.set_xlim(left, right)
    return np.where(share > 0, share, floor)


def _name(axes: Axes, part: pd.DataFrame) -> None:
    """Write the classes beside their points, moved up or down where they would lie on one another, with a line back to the point."""
    chosen = part["gain_points"].abs().sort_values(ascending=False, kind="stable").index[:NAMED]
    if len(chosen) == 0:
        return
    spots = next(line for line in axes.lines if line.get_marker() == "o").get_xydata()
    points = axes.transData.transform(spots) * 72 / DPI
    frame = axes.get_window_extent().transformed(axes.figure.dpi_scale_trans.inverted()).get_points() * 72
    marks, lines = np.hstack([points - 4, points + 4]), np.concatenate([_bars(axes, part, spots), _zero(axes, frame)])
    taken = np.empty((0, 4))
    for row in sorted(chosen, key=lambda row: (-points[row, 1], row)):
        look = {"fontsize": 7.5, "va": "center", "textcoords": "offset points", "annotation_clip": False, "zorder": 2.5}
        look["bbox"] = {"color": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.2}
        text = axes.annotate(part["class"][row], spots[row], xytext=(6, 0), ha="left", **look)
        # Without this the layout would make room for labels that are placed by the layout.
        text.set_in_layout(False)
        wide, high = np.array([text.get_window_extent().width, text.get_window_extent().height]) * 72 / DPI
        # Its own point and bar are no obstacles: it stands beside them.
        obstacles = (taken, np.delete(marks, row, 0), np.delete(lines, row, 0))
        box, side, rise = min(_candidates(points[row], wide, high), key=lambda spot: _cost(spot, frame, obstacles))
        taken = np.vstack([taken, box])
        text.set_horizontalalignment("left" if side > 0 else "right")
        text.set_position((6 * side, rise))
        if abs(rise) > 0.8 * high:
            look = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": ((1 - side) / 2, 0.5)}
            line = axes.annotate("", spots[row], xytext=(6 * side, rise), textcoords="offset points", arrowprops=look, zorder=2)
            line.set_in_layout(False)


def _bars(axes: Axes, part: pd.DataFrame, spots: np.ndarray) -> np.ndarray:
    # Boxes (x0, y0, x1, y1) in points of the intervals, so that a label keeps off them.
    ends = [
        axes.transData.transform(np.column_stack([spots[:, 0], part[name]])) * 72 / DPI for name in ("gain_scene_low", "gain_scene_high")
    ]
    return np.column_stack([ends[0][:, 0] - 1, ends[0][:, 1], ends[1][:, 0] + 1, ends[1][:, 1]])


def _zero(axes: Axes, frame: np.ndarray) -> np.ndarray:
    height = axes.transData.transform((axes.get_xlim()[1], 0))[1] * 72 / DPI
    return np.array([[frame[0, 0], height - 1, frame[1, 0], height + 1]])


def _candidates(point: np.ndarray, wide: float, high: float) -> list[tuple[np.ndarray, int, float]]:
    """Boxes (x0, y0, x1, y1) beside a point, in points; the side (1 right, -1 left) and the rise that belong to each."""
    found = []
    for step in range(13):
        for rise in (0.5 * step * high, -0.5 * step * high)[: 1 if step == 0 else 2]:
            for side in (1, -1):
                left = point[0] + 6 if side > 0 else point[0] - 6 - wide
                box = np.array([left, point[1] + rise - high / 2, left + wide, point[1] + rise + high / 2])
                found.append((box, side, rise))
    return found


def _cost(spot: tuple[np.ndarray, int, float], frame: np.ndarray, obstacles: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple:
    """How bad a place is: a label on another cannot be read, one on a point hides it, one on a line or far off is only less pretty."""
    box, side, rise = spot
    outside = max(0.0, *(frame[0] - box[:2]), *(box[2:] - frame[1]))
    labels, marks, lines = (_overlap(box, others) for others in obstacles)
    far = abs(rise) / (box[3] - box[1])
    return (round(40 * outside + 10 * labels + 10 * marks + 0.3 * lines + 4 * far, 6), side < 0, -rise)


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    """Area that a box (4,) shares with others (N, 4), summed; a box with a NaN has none."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(np.nansum(np.maximum(sides, 0).prod(1)))
