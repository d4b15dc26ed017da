"""Forest plot of what synthetic pairs change for every class, with both uncertainties."""

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from satsynth.reporting import statistics
from satsynth.reporting.figures import class_gains, palette
from satsynth.reporting.figures.class_gains import Comparison
from satsynth.reporting.markup import NONE, number

COLUMNS = 5
COLOUR = palette.SERIES[0]


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A panel a segmenter on common axes, a line a class, those that most training pairs hold on top.

    The point is the IoU of D ∪ D′ less that of D, in points; the thick bar its interval over seeds, the thin one that over scenes,
    each where there is one. A point is filled where the difference counts as shown (`satsynth.reporting.statistics.outcome`): there is an
    interval over seeds, and every interval leaves out zero on the same side. A dash stands for a class without a difference.

    Args:
        cfg: title (str); ratio (R, or None for the smallest that each segmenter and source has).
        inputs: table (CSV files of the per_class view).

    Raises:
        DataError: a file is no per-class table, or none compares D ∪ D′ with D.
        ConfigError: the table lacks that R.
    """
    blocks: dict[str, list[Comparison]] = {}
    for comparison in class_gains.read(inputs["table"], ratio=cfg.get("ratio")):
        blocks.setdefault(comparison.setting, []).append(comparison)
    columns = min(COLUMNS, max(map(len, blocks.values())))
    lines = [math.ceil(len(block) / columns) for block in blocks.values()]
    classes = [len(_order(block)) for block in blocks.values()]
    high = [0.75 + many * (0.75 + 0.23 * count) for many, count in zip(lines, classes)]
    figure = Figure(figsize=(max(6.4, 1.9 + 1.85 * columns), sum(high) + 0.85), layout="constrained")
    figure.suptitle(cfg["title"], x=0.01, ha="left")
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=high)[:, 0]
    for part, (setting, block), many in zip(parts, blocks.items(), lines):
        part.suptitle(setting, x=0.01, ha="left", fontsize=9, fontweight="normal")
        _block(part, block, many, columns)
    handles = _legend([row for block in blocks.values() for each in block for row in each.rows.to_dict("records")])
    figure.legend(handles=handles, loc="outside lower center", ncols=min(2, len(handles) - 1))
    return figure


def _order(block: list[Comparison]) -> dict[int, str]:
    """Class ids and how their lines are called, most frequent on top."""
    known = {row["class_id"]: row for comparison in block for row in comparison.rows.to_dict("records")}
    shares = {key: -1.0 if math.isnan(row["train_occurrence_pct"]) else row["train_occurrence_pct"] for key, row in known.items()}
    names = {}
    for key in sorted(known, key=lambda key: (-shares[key], key)):
        share = shares[key]
        said = NONE if share < 0 else f"{number(share, digits=0 if share >= 10 else 1 if share >= 1 else 2)} %"
        names[key] = f"{known[key]['class']} ({said})"
    return names


def _block(part: Figure, block: list[Comparison], lines: int, columns: int) -> None:
    names = _order(block)
    grid = part.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    place = {key: line for line, key in enumerate(names)}
    for axes, comparison in zip(grid.flat, block):
        axes.axvline(0, color="#444444", linewidth=1.0, zorder=1)
        for row in comparison.rows.to_dict("records"):
            _line(axes, row, place[row["class_id"]])
        axes.set_title(comparison.segmenter, fontsize=9)
        axes.set_xlabel("difference of IoU (points)", fontsize=8)
        axes.tick_params(axis="x", labelbottom=True, labelsize=8)
        axes.tick_params(axis="y", length=0)
    for axes in list(grid.flat)[len(block) :]:
        axes.remove()
    grid[0, 0].set_yticks(range(len(names)), list(names.values()))
    grid[0, 0].set_ylim(len(names) - 0.4, -0.6)


def _line(axes: Axes, row: dict, place: int) -> None:
    if math.isnan(row["gain_points"]):
        axes.text(0, place, NONE, ha="center", va="center", color=palette.REFERENCE, bbox={"color": "white", "pad": 0.5})
        return
    told = statistics.outcome((row["gain_low"], row["gain_high"]), (row["gain_scene_low"], row["gain_scene_high"]))
    axes.plot([row["gain_low"], row["gain_high"]], [place] * 2, color=COLOUR, alpha=0.3, linewidth=5, solid_capstyle="butt", zorder=2)
    axes.plot([row["gain_scene_low"], row["gain_scene_high"]], [place] * 2, color=COLOUR, linewidth=1.1, zorder=3)
    axes.plot([row["gain_points"]], [place], zorder=4, **_mark(told != "undecided"))


def _mark(shown: bool) -> dict:
    face = COLOUR if shown else "white"
    return {"color": COLOUR, "marker": "o", "linestyle": "none", "markersize": 5.5, "markerfacecolor": face, "markeredgewidth": 1.3}


def _legend(rows: list[dict]) -> list[Line2D]:
    # Only what the figure holds is explained.
    values = {name: np.array([row[name] for row in rows], float) for name in ("gain_points", "gain_low", "gain_scene_low")}
    handles = [
        Line2D([], [], **_mark(True), label="no interval includes zero, and one is over seeds"),
        Line2D([], [], **_mark(False), label="otherwise: the difference may be chance"),
    ]
    if not np.isnan(values["gain_low"]).all():
        handles.append(Line2D([], [], color=COLOUR, alpha=0.3, linewidth=5, label="interval over seeds"))
    if not np.isnan(values["gain_scene_low"]).all():
        handles.append(Line2D([], [], color=COLOUR, linewidth=1.1, label="interval over scenes"))
    if np.isnan(values["gain_points"]).any():
        handles.append(Line2D([], [], linestyle="none", marker="_", color=palette.REFERENCE, label="absent: no difference"))
    return handles
