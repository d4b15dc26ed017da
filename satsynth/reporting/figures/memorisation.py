"""How near synthetic pairs come to the training pairs: distances against a null, and the nearest pairs of all."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from satsynth.metrics.memorisation import Calibration, calibrated
from satsynth.pairs import LabelSpace, View, open_view
from satsynth.reporting.figures import headline, palette, sheet
from satsynth.reporting.figures.placing import MARGIN, Legend, Page, fitted, text_width
from satsynth.reporting.markup import count, number
from satsynth.runtime import files
from satsynth.runtime.errors import DataError, StoreError
from satsynth.symmetries import turned

KINDS = {
    "feature": ("Evaluator features", "Euclidean distance to the nearest training pair"),
    "pixel": ("Pixels", "RMS difference to the nearest training pair (0 to 255)"),
}
COLUMNS = ("row", *(f"{kind}_{name}" for kind in KINDS for name in ("distance", "row", "turn")))
# Pixels: the least and the largest frame of a plot, what stands left of it, above it (three lines) and below it.
WIDE, LOW, HIGH = 480, 220, 340
LEFT, ABOVE, BELOW = 85, 112, 75
# Above the first line of pairs, between two lines (the distance), and between columns.
HEADINGS, LABEL, APART = 76, 42, 34


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """Left, for features and for pixels, the share of pairs whose nearest training pair is at most so far; right, the nearest `count`.

    The null is the same distance of real patches that nobody trained on. Its quantile is the threshold: where nothing is memorised,
    about that share of the synthetic pairs lies below it. The pairs at the right have the least feature distances, the least first;
    the synthetic one is turned as it fits best, and its distance is given in units of the threshold (or as it is, if that is zero).

    Args:
        cfg: title, dataset, source (str); count (pairs shown); cell (side of a patch in pixels of the sheet, met to the nearest whole
            multiple of the patch); quantile (of the null, in (0, 1)).
        inputs: classes (one classes.json), synthetic (store folders), neighbours (a CSV for each of these stores, in the same order),
            null (CSV files of the held-out real patches), train (store folders of the training pairs).

    Raises:
        DataError: a CSV lacks a column or every row, or holds a distance that is none.
        StoreError: CSV files and stores differ in number, stores do not fit one another, or a CSV names a row that its store lacks.
        MeasureError: quantile is not in (0, 1).
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    train, pairs = open_view(inputs["train"]), open_view(inputs["synthetic"])
    View((*train.stores, *pairs.stores))  # refuses stores that do not fit one another
    if len(pairs.stores) != len(inputs["neighbours"]):
        cause = f"{len(pairs.stores)} stores come with {len(inputs['neighbours'])} files of neighbours."
        raise StoreError(inputs["synthetic"][0], cause, "Give one file of neighbours for each store.")
    if not len(pairs):
        raise StoreError(inputs["synthetic"][0], "there is no synthetic pair to show.", "Loosen the thresholds of its admission.")
    starts = np.cumsum([0, *(len(store) for store in pairs.stores)])
    # A shard of which nothing was admitted has neighbours of no pair.
    held = [entry for entry in zip(inputs["neighbours"], pairs.stores, starts) if len(entry[1])]
    tables = [_read(path, len(store), len(train)).assign(start=start) for path, store, start in held]
    found = pd.concat([table.assign(row=table["row"] + table["start"]) for table in tables], ignore_index=True)
    null = pd.concat([_read(path, None, len(train)) for path in inputs["null"]], ignore_index=True)
    limits = {kind: calibrated(found[f"{kind}_distance"], null[f"{kind}_distance"], cfg["quantile"]) for kind in KINDS}
    worst = found.sort_values(["feature_distance", "pixel_distance", "row"]).head(cfg["count"])
    cells, masks = _cells(pairs.gather(worst["row"].to_numpy()), worst, train, space, cfg["cell"])
    title = headline(cfg, f"{train.size} px", cfg["source"])
    return _lay(title, cfg["quantile"], Legend(space, masks), (found, null, limits), worst, cells)


def _read(path: Path, rows: int | None, trained: int) -> pd.DataFrame:
    table = pd.read_csv(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing or table.empty:
        cause = f"it lacks {', '.join(missing)}." if missing else "it holds no pair."
        raise DataError(path, f"it is no table of nearest neighbours: {cause}", "Search the neighbours again.")
    distances = table[[f"{kind}_distance" for kind in KINDS]].to_numpy(float)
    if not np.isfinite(distances).all() or distances.min() < 0:
        raise DataError(path, "it holds a distance that is negative or no number.", "Search the neighbours again.")
    limits = {"row": rows, "feature_row": trained, "pixel_row": trained}
    for name, limit in limits.items():
        if limit is not None and not 0 <= table[name].min() <= table[name].max() < limit:
            raise StoreError(path, f"its {name} names pairs that a store of {limit} lacks.", "Search the neighbours again.")
    return table


def _cells(pairs: tuple, worst: pd.DataFrame, train: View, space: LabelSpace, side: int) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """For each pair the synthetic image and mask, then the training image and mask; and all masks, for the legend."""
    nearest = train.gather(worst["feature_row"].to_numpy())
    moved = [[turned(item, number) for item, number in zip(array, worst["feature_turn"])] for array in pairs]
    masks = np.stack([*moved[1], *nearest[1]])
    shown = zip(moved[0], space.paint(np.stack(moved[1])), nearest[0], space.paint(nearest[1]))
    return [[sheet.enlarge(cell, side) for cell in row] for row in shown], masks


def _lay(title: str, quantile: float, legend: Legend, tables: tuple, worst: pd.DataFrame, cells: list[list[np.ndarray]]) -> Figure:
    side, limits = cells[0][0].shape[0], tables[2]
    heading = f"The {count(len(cells))} nearest of {count(len(tables[0]))} synthetic pairs, by features"
    half = max(2 * side + 3, text_width("nearest real (D)"), text_width("synthetic (D′)")) + 10
    # As high as the plots, and then as wide as needed; but never more than three pairs in a line.
    plots = 2 * (ABOVE + LOW + BELOW)
    columns = min(3, math.ceil(len(cells) / max(1, (plots - HEADINGS) // (side + LABEL))))
    tall = max(plots, HEADINGS + math.ceil(len(cells) / columns) * (side + LABEL))
    high = min(HIGH, tall // 2 - ABOVE - BELOW)
    top, left = MARGIN + 44, MARGIN + LEFT + WIDE + 60
    wide = fitted(left + max(columns * (2 * half + APART) - APART, text_width(heading, 9, "bold")) + MARGIN, title)
    page = Page(title, wide, top + tall + legend.high(wide) + MARGIN)
    for place, (kind, (name, unit)) in enumerate(KINDS.items()):
        y = top + place * (ABOVE + high + BELOW)
        page.write(MARGIN, y + 15, name, va="baseline", fontweight="bold")
        page.write(MARGIN, y + 26, _found(limits[kind], quantile))
        axes = page.plot(MARGIN + LEFT, y + ABOVE, WIDE, high)
        _plot(axes, tables[1][f"{kind}_distance"], tables[0][f"{kind}_distance"], limits[kind])
        axes.set_xlabel(unit)
    page.write(left, top + 15, heading, va="baseline", fontweight="bold")
    for place, (row, distance) in enumerate(zip(cells, worst["feature_distance"])):
        x, y = left + place % columns * (2 * half + APART), top + HEADINGS + place // columns * (side + LABEL)
        for spot, cell in zip((0, side + 3, half, half + side + 3), row):
            page.picture(x + spot, y, cell)
        if place < columns:
            page.write(x, y - 8, "synthetic (D′)", va="bottom")
            page.write(x + half, y - 8, "nearest real (D)", va="bottom")
        page.write(x, y + side + 4, _said(distance, limits["feature"].threshold))
    page.legend(top + tall, legend)
    return page.figure


def _found(limit: Calibration, quantile: float) -> str:
    share, expected = (number(100 * part, digits=2 if 0 < part < 0.01 else 1) for part in (limit.share, limit.expected))
    said = f"{share} % of {count(limit.synthetic_count)} synthetic pairs lie below the threshold\n"
    return said + f"({expected} % expected), {100 * quantile:g} % quantile of {count(limit.null_count)} held-out: {limit.threshold:.3g}"


def _said(distance: float, threshold: float) -> str:
    return f"{number(distance / threshold)} × threshold" if threshold > 0 else f"distance {distance:.3g}"


def _plot(axes: Axes, null: pd.Series, synthetic: pd.Series, limit: Calibration) -> None:
    """Both empirical distributions; shares are logarithmic, so that the few nearest pairs can be seen."""
    for values, look in (
        (null, {"color": palette.REAL, "linestyle": "--", "label": "held-out real"}),
        (synthetic, {"color": palette.SYNTHETIC, "linestyle": "-", "label": "synthetic (D′)"}),
    ):
        values = np.sort(values.to_numpy(float))
        # A step starts below the axis, so that a single near pair can be seen too.
        axes.step([values[0], *values], [1e-9, *(100 * np.arange(1, len(values) + 1) / len(values))], where="post", **look)
    most = max(null.max(), synthetic.max()) or 1
    look = {"color": palette.REFERENCE, "linewidth": 1, "linestyle": ":"}
    axes.axvline(limit.threshold, label="threshold", **look)
    axes.plot([-most, limit.threshold], [100 * limit.expected] * 2, **look)
    axes.set_yscale("log")
    axes.set_ylim(70 / max(len(null), len(synthetic)), 140)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlim(-0.02 * most, 1.02 * most)
    axes.set_ylabel("pairs at most so far (%)")
    axes.legend(loc="lower right")
