"""mIoU against the resampling ratio R (paper, Fig. 5), from the CSV of the gain table."""

import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from satsynth.reporting.figures import palette
from satsynth.runtime.errors import DataError

COLUMNS = 3


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A panel for each comparison: mean mIoU ± standard error over seeds, D as a dashed line with its band.

    D' alone and the control are drawn as markers and a dotted line. Where D' alone lies far below the rest, the axis is broken,
    so that the differences that matter stay readable.

    Args:
        cfg: title (str).
        inputs: table (CSV files of the gain view).

    Raises:
        DataError: a file is no gain table.
    """
    frames = [pd.read_csv(path, keep_default_na=True) for path in inputs["table"]]
    for path, frame in zip(inputs["table"], frames):
        if not {"arm", "ratio", "miou_pct", "miou_se_pct"} <= set(frame):
            raise DataError(path, "it is not the CSV of a gain table.", "Give the CSV of an experiment with the view gain.")
    groups = list(pd.concat(frames).groupby(["dataset", "size", "segmenter"], sort=False))
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure = Figure(figsize=(max(5.2, 3.6 * columns), 1.2 + 2.9 * rows), layout="constrained")
    figure.suptitle(cfg["title"], x=0.01, ha="left")
    panels = figure.subfigures(rows, columns, squeeze=False)
    handles: dict[str, object] = {}
    for place, ((dataset, size, segmenter), part) in enumerate(groups):
        for axes in _panel(panels.flat[place], part, f"{dataset}, {size} px, {segmenter}"):
            handles |= {text: handle for handle, text in zip(*axes.get_legend_handles_labels()) if text not in handles}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(3, len(handles)))
    return figure


def _panel(panel: Figure, part: pd.DataFrame, title: str) -> list[Axes]:
    """Draw one comparison; two axes, upper and lower, where the scale is broken."""
    trained = part[part["arm"] != "constant"]
    reach = trained["miou_se_pct"].fillna(0)
    low, high = trained["miou_pct"] - reach, trained["miou_pct"] + reach
    near = trained["arm"] != "synthetic"
    span, alone = high[near].max() - low[near].min(), low[~near]
    broken = len(alone) > 0 and low[near].min() - high[~near].max() > 2 * max(span, 0.5)
    if not broken:
        axes = panel.subplots()
        _draw(axes, trained)
        pair = [axes]
    else:
        pair = list(panel.subplots(2, 1, sharex=True, height_ratios=[3, 1], gridspec_kw={"hspace": 0.06}))
        for axes in pair:
            _draw(axes, trained)
        _limit(pair[0], low[near].min(), high[near].max())
        _limit(pair[1], alone.min(), high[~near].max())
        pair[1].yaxis.set_major_locator(MaxNLocator(2))
        pair[0].spines["bottom"].set_visible(False)
        pair[0].tick_params(axis="x", length=0, labelbottom=False)
        # Slanted strokes at the cut, in axes coordinates: the sign of a broken axis.
        stroke = {"marker": [(-1, -0.6), (1, 0.6)], "markersize": 9, "linestyle": "none", "color": "#444444", "clip_on": False}
        pair[0].plot([0], [0], transform=pair[0].transAxes, **stroke)
        pair[1].plot([0], [1], transform=pair[1].transAxes, **stroke)
    pair[0].set_title(title)
    pair[-1].set_xlabel("R (synthetic pairs per real pair)")
    pair[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    pair[0].set_ylabel("mIoU (%)")
    top = max(trained["ratio"].max(), 1)
    pair[0].set_xlim(-0.25, top + 0.25)
    return pair


def _limit(axes: Axes, low: float, high: float) -> None:
    slack = max(0.15 * (high - low), 0.25)
    axes.set_ylim(low - slack, high + slack)


def _draw(axes: Axes, part: pd.DataFrame) -> None:
    real = part[part["arm"] == "real"].iloc[0]
    bar = {"capsize": 3, "elinewidth": 1.2, "capthick": 1.2}
    axes.axhline(real["miou_pct"], color=palette.REFERENCE, linestyle="--", linewidth=1.3, label="D (R = 0)", zorder=1)
    if real["miou_se_pct"] > 0:
        band = (real["miou_pct"] - real["miou_se_pct"], real["miou_pct"] + real["miou_se_pct"])
        axes.axhspan(*band, color=palette.REFERENCE, alpha=0.12, linewidth=0, zorder=0)
    for _, row in part[part["arm"] == "control"].iterrows():
        axes.axhline(row["miou_pct"], color=palette.CONTROL, linestyle=":", linewidth=1.6, label="D, as many real exposures", zorder=1)
    unions = part[part["arm"] == "union"]
    for number, (source, curve) in enumerate(unions.groupby("source", sort=False)):
        several = f" ({source})" if unions["source"].nunique() > 1 else ""
        curve = pd.concat([part[part["arm"] == "real"], curve]).sort_values("ratio")
        colour, marker = palette.SERIES[number % len(palette.SERIES)], palette.MARKERS[number % len(palette.MARKERS)]
        axes.errorbar(
            curve["ratio"],
            curve["miou_pct"],
            curve["miou_se_pct"],
            color=colour,
            marker=marker,
            markersize=6,
            label=f"D ∪ D′{several}",
            **bar,
        )
    for number, (source, points) in enumerate(part[part["arm"] == "synthetic"].groupby("source", sort=False)):
        several = f" ({source})" if part[part["arm"] == "synthetic"]["source"].nunique() > 1 else ""
        look = {"color": palette.ALONE, "marker": ("D", "d", "p", "h")[number % 4], "markerfacecolor": "white", "markersize": 6.5}
        axes.errorbar(
            points["ratio"], points["miou_pct"], points["miou_se_pct"], linestyle="none", label=f"D′ alone{several}", **look, **bar
        )
