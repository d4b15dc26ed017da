"""mIoU against the resampling ratio R (paper, Fig. 5), from the CSV of the gain table."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from satsynth.reporting import methods
from satsynth.reporting.figures import palette
from satsynth.runtime.errors import DataError

COLUMNS = 3
NEEDED = ("dataset", "size", "segmenter", "arm", "source", "method", "ratio", "n", "miou_pct", "miou_se_pct")
PAPER = "paper_miou_pct"
DODGE = 0.07
BAR = {"capsize": 3, "elinewidth": 1.2, "capthick": 1.2}
HOLLOW = ("D", "d", "p", "h")


@dataclass(frozen=True)
class Series:
    """One line: a segmenter and what is added to D, how it looks, and how far it stands beside its R (`home`: beside R = 0)."""

    segmenter: str
    source: str
    method: str
    colour: str
    marker: str
    line: str
    shift: float
    home: float
    first: bool

    def places(self, ratios: pd.Series) -> pd.Series:
        """Where the points of these R stand."""
        return (ratios + self.shift).where(ratios > 0, self.home)


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A panel for each dataset and size: mean mIoU ± standard error over seeds, a line for each segmenter and source, D dashed.

    D' alone and the control are drawn as markers and a dotted line, the paper's values (column `paper_miou_pct`, where there is one) as
    hollow grey markers. Where D' alone or the paper's values lie far from the rest, the axis is broken, so that the differences that
    matter stay readable. Several lines stand a little beside one another at each R.

    Args:
        cfg: title (str).
        inputs: table (CSV files of the gain view).

    Raises:
        DataError: a file is no gain table.
    """
    frames = [pd.read_csv(path, keep_default_na=True) for path in inputs["table"]]
    for path, frame in zip(inputs["table"], frames):
        if not set(NEEDED) <= set(frame):
            raise DataError(path, "it is not the CSV of a gain table.", "Give the CSV of an experiment with the view gain.")
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[frame["arm"] != "constant"].fillna({"source": "", "method": ""})
    if PAPER not in frame:
        frame[PAPER] = math.nan
    series = _series(frame)
    groups = list(frame.groupby(["dataset", "size"], sort=False))
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    legend = _legend(frame, series)
    wide = max(5.2, 3.6 * columns)
    fitting = max(1, int((wide - 0.2) / (0.6 + 0.066 * max(len(handle.get_label()) for handle in legend))))
    high = 2.9 if frame["segmenter"].nunique() == 1 else 3.8
    figure = Figure(figsize=(wide, 1.0 + high * rows + 0.2 * math.ceil(len(legend) / fitting)), layout="constrained")
    figure.suptitle(cfg["title"], x=0.01, ha="left")
    panels = figure.subfigures(rows, columns, squeeze=False)
    for panel, ((dataset, size), part) in zip(panels.flat, groups):
        names = part["segmenter"].unique()
        _panel(panel, part, series, ", ".join([dataset, f"{size} px", *(names if len(names) == 1 else [])]))
    figure.legend(handles=legend, loc="outside lower center", ncols=min(fitting, len(legend)))
    return figure


def _series(frame: pd.DataFrame) -> list[Series]:
    pairs: dict[tuple[str, str], str] = {}
    for segmenter, part in frame.groupby("segmenter", sort=False):
        union = part[part["arm"] == "union"].drop_duplicates("source")
        # A segmenter without such a training set still has its D, and perhaps D' alone.
        made = dict(zip(union["source"], union["method"])) or {"": ""}
        pairs |= {(segmenter, source): method for source, method in made.items()}
    several, found = len(pairs), []
    shifts = {pair: (place - (several - 1) / 2) * min(DODGE, 0.4 / several) for place, pair in enumerate(pairs)}
    for place, ((segmenter, source), method) in enumerate(pairs.items()):
        look = (palette.SERIES[place % 7], palette.MARKERS[place % 7], ("-", "--", "-.", ":")[place // 7 % 4])
        # The lines of a segmenter start from one D, so they share its place.
        own = [shift for (name, _), shift in shifts.items() if name == segmenter]
        first = all(each.segmenter != segmenter for each in found)
        found.append(Series(segmenter, source, method, *look, shifts[segmenter, source], sum(own) / len(own), first))
    return found


def _legend(frame: pd.DataFrame, series: list[Series]) -> list[Line2D]:
    segmenters, sources = {each.segmenter for each in series}, {each.source for each in series if methods.is_synthetic(each.method)}
    handles = [Line2D([], [], color=palette.REFERENCE, linestyle="--", linewidth=1.3, label="D (R = 0)")]
    if (frame["arm"] == "control").any():
        colour = palette.CONTROL if len(segmenters) == 1 else palette.REFERENCE
        handles.append(Line2D([], [], color=colour, linestyle=":", label="D, as many real exposures"))
    for each in series:
        told = [each.segmenter] if len(segmenters) > 1 else []
        told += [each.source] if len(sources) > 1 and each.source in sources else []
        label = f"D ∪ {methods.name(each.method, each.source)}" + (f" ({', '.join(told)})" if told else "")
        handles.append(Line2D([], [], color=each.colour, marker=each.marker, linestyle=each.line, markersize=6, label=label))
    alone = frame[frame["arm"] == "synthetic"].drop_duplicates("source")
    several = sum(map(methods.is_synthetic, alone["method"])) > 1
    for place, (source, method) in enumerate(zip(alone["source"], alone["method"])):
        label = f"{methods.name(method, source)} alone" + (f" ({source})" if several and methods.is_synthetic(method) else "")
        colour = palette.ALONE if len(segmenters) == 1 else palette.REFERENCE
        handles.append(Line2D([], [], **_hollow(colour, place), label=label))
    if frame[PAPER].notna().any():
        handles.append(Line2D([], [], **_paper("o" if len(series) > 1 else series[0].marker), label="paper (CVPR 2024)"))
    counts = sorted({int(n) for n in frame["n"]})
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if frame["miou_se_pct"].notna().any():
        bar = {"color": palette.REFERENCE, "marker": "|", "markersize": 11, "markeredgewidth": 1.2}
        handles.append(Line2D([], [], linestyle="none", label=f"± standard error (n = {span})", **bar))
    else:
        handles.append(Line2D([], [], linestyle="none", label=f"n = {span}, no standard error"))
    return handles


def _hollow(colour: str, place: int) -> dict:
    return {"color": colour, "marker": HOLLOW[place % 4], "markerfacecolor": "white", "markersize": 6.5, "linestyle": "none"}


def _paper(marker: str) -> dict:
    return {"color": "#888888", "marker": marker, "markerfacecolor": "white", "markersize": 6, "linestyle": "none"}


def _segments(part: pd.DataFrame) -> list[tuple[float, float, bool]]:
    """What the vertical axis shows, from the top: (low, high, whether it is the main part); one part where nothing lies far off."""
    reach = part["miou_se_pct"].fillna(0)
    low, high = part["miou_pct"] - reach, part["miou_pct"] + reach
    alone, paper = part["arm"] == "synthetic", part[PAPER].dropna()
    core = (low[~alone].min(), high[~alone].max())
    gap = 2 * max(core[1] - core[0], 0.5)
    above, below, near = [], [], [core]
    for group in ((low[alone].min(), high[alone].max()), (paper.min(), paper.max())):
        if math.isnan(group[0]):
            continue
        (below if core[0] - group[1] > gap else above if group[0] - core[1] > gap else near).append(group)
    parts = [(above, False), (near, True), (below, False)]
    return [(min(low for low, _ in ends), max(high for _, high in ends), main) for ends, main in parts if ends]


def _panel(panel: Figure, part: pd.DataFrame, series: list[Series], title: str) -> None:
    """Draw one dataset; several axes, one above the other, where the scale is broken."""
    segments = _segments(part)
    ratios = [3 if main else 1 for _, _, main in segments]
    shape = {"sharex": True, "squeeze": False, "height_ratios": ratios, "gridspec_kw": {"hspace": 0.06} if len(segments) > 1 else {}}
    stack = list(panel.subplots(len(segments), 1, **shape)[:, 0])
    for axes, (low, high, main) in zip(stack, segments):
        _draw(axes, part, series)
        if len(segments) > 1:
            slack = max(0.15 * (high - low), 0.25)
            axes.set_ylim(low - slack, high + slack)
        if main:
            axes.set_ylabel("mIoU (%)")
        else:
            axes.yaxis.set_major_locator(MaxNLocator(2))
    # Slanted strokes at the cuts, in axes coordinates: the sign of a broken axis.
    stroke = {"marker": [(-1, -0.6), (1, 0.6)], "markersize": 9, "linestyle": "none", "color": "#444444", "clip_on": False}
    for upper, lower in itertools.pairwise(stack):
        upper.spines["bottom"].set_visible(False)
        upper.tick_params(axis="x", length=0, labelbottom=False)
        upper.plot([0], [0], transform=upper.transAxes, **stroke)
        lower.plot([0], [1], transform=lower.transAxes, **stroke)
    stack[0].set_title(title)
    added = "added" if any(map(methods.is_augmentation, part["method"])) else "synthetic"
    stack[-1].set_xlabel(f"R ({added} pairs per real pair)")
    stack[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    top = max(part["ratio"].max(), 1)
    stack[0].set_xlim(-0.25, top + 0.25)


def _draw(axes: Axes, part: pd.DataFrame, series: list[Series]) -> None:
    single = part["segmenter"].nunique() == 1
    for each in series:
        rows = part[part["segmenter"] == each.segmenter]
        if rows.empty:
            continue
        real = rows[rows["arm"] == "real"]
        if each.first:
            _draw_references(axes, rows, real.iloc[0], None if single else each.colour)
        curve = pd.concat([real, rows[(rows["arm"] == "union") & (rows["source"] == each.source)]]).sort_values("ratio")
        # Every source of a segmenter starts from the same D, so only the first marks it.
        marked = curve if each.first else curve[curve["arm"] != "real"]
        look = {"color": each.colour, "zorder": 3}
        axes.plot(each.places(curve["ratio"]), curve["miou_pct"], linestyle=each.line, **look)
        axes.errorbar(each.places(marked["ratio"]), marked["miou_pct"], marked["miou_se_pct"], fmt=each.marker, markersize=6, **look, **BAR)
        known = marked.dropna(subset=[PAPER])
        axes.plot(each.places(known["ratio"]) + 0.1, known[PAPER], zorder=4, **_paper(each.marker))


def _draw_references(axes: Axes, rows: pd.DataFrame, real: pd.Series, colour: str | None) -> None:
    """D as a dashed line, the control as a dotted one, D' alone as hollow markers; `colour` tells several segmenters apart."""
    axes.axhline(real["miou_pct"], color=colour or palette.REFERENCE, linestyle="--", linewidth=1.3 if colour is None else 0.8, zorder=1)
    if colour is None and real["miou_se_pct"] > 0:
        band = (real["miou_pct"] - real["miou_se_pct"], real["miou_pct"] + real["miou_se_pct"])
        axes.axhspan(*band, color=palette.REFERENCE, alpha=0.12, linewidth=0, zorder=0)
    for value in rows.loc[rows["arm"] == "control", "miou_pct"]:
        axes.axhline(value, color=colour or palette.CONTROL, linestyle=":", linewidth=1.6, zorder=1)
    alone = rows[rows["arm"] == "synthetic"]
    for place, (_, points) in enumerate(alone.groupby("source", sort=False)):
        axes.errorbar(
            points["ratio"], points["miou_pct"], points["miou_se_pct"], zorder=2, **_hollow(colour or palette.ALONE, place), **BAR
        )
        known = points.dropna(subset=[PAPER])
        axes.plot(known["ratio"] + 0.1, known[PAPER], zorder=4, **_paper(HOLLOW[place % 4]))
