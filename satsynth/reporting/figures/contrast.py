"""Colour and contrast of two kinds of synthetic pairs beside real ones, such as direct generation and a cascade (paper, Fig. 10)."""

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from satsynth.pairs import LabelSpace, View, open_view
from satsynth.reporting.figures import headline, palette, sheet
from satsynth.reporting.figures.placing import MARGIN, Legend, Page, fitted, text_width
from satsynth.reporting.markup import count, number
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError

COLOURS = {"real": palette.REAL, "first": palette.SYNTHETIC, "second": palette.ALONE}
STATISTICS = ("Saturation", "Brightness", "RMS contrast")
BLOCK = 64  # images
# Pixels: the least frame of a plot, what stands to its right (medians) and below it, and what parts blocks of pairs.
PLOT = (320, 210)
MEDIANS, BELOW, BETWEEN = 95, 75, 40


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """Above, pairs drawn by a seed and not chosen, each image above its mask, a block for real and for each source; below, a violin for
    each of the three in the plots of `STATISTICS`, with quartiles (bar), the 5 % to 95 % range (line), and the median (dot, and in
    figures at the right).

    Args:
        cfg: title, dataset (str); first, second (names of the two sources); rows, columns (pairs of a block); cell (side of an image in
            pixels of the sheet, met to the nearest whole multiple of it); count (images of each kind that the statistics take, at most
            as many as there are); seed (int).
        inputs: real, first and second (store folders, joined in order), classes (one classes.json).

    Raises:
        ConfigError: a source holds no pair, or nothing is to be shown or measured.
        StoreError: the stores differ in size or classes.
    """
    if min(cfg["rows"], cfg["columns"], cfg["count"]) < 1:
        raise ConfigError("count", "rows, columns and count must be at least 1.", "Show and measure at least one image.")
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    headings = {"real": "real", "first": cfg["first"], "second": cfg["second"]}
    views = {role: open_view(inputs[role]) for role in headings}
    # One view of all refuses sizes that differ: contrast depends on the size.
    size = View(tuple(store for view in views.values() for store in view.stores)).size
    canvases, values, shown = {}, {}, []
    for role, view in views.items():
        rows = sheet.pick(len(view), len(view), cfg["seed"])
        images, masks = view.gather(rows[: cfg["rows"] * cfg["columns"]])
        canvases[role] = sheet.pairs(images, space.paint(masks), cfg["columns"], cfg["cell"], 4)
        values[role] = appearance(view, np.sort(rows[: cfg["count"]]))
        shown.append(masks)
    titles = {role: f"{headings[role]}, {size} px: {len(masks)} of {count(len(view))}" for (role, view), masks in zip(views.items(), shown)}
    return _lay(headline(cfg, f"{size} px"), Legend(space, shown), headings, titles, canvases, values)


def appearance(view: View, rows: np.ndarray) -> np.ndarray:
    """Statistics of images (len(rows), 3) float64, each in [0, 1].

    Mean saturation of HSV (0 for black); mean brightness (luma, ITU-R BT.601); RMS contrast, the standard deviation of the luma
    over the pixels (Peli, 1990).
    """
    found = []
    for start in range(0, len(rows), BLOCK):
        images = view.gather(rows[start : start + BLOCK])[0].astype(np.float32) / 255
        most, least = images.max(-1), images.min(-1)
        saturation = np.divide(most - least, most, out=np.zeros_like(most), where=most > 0)
        luma = (images @ np.asarray(palette.LUMA, np.float32)).astype(np.float64)
        found.append(np.stack([saturation.mean((1, 2), np.float64), luma.mean((1, 2)), luma.std((1, 2))], 1))
    return np.concatenate(found)


def _lay(title: str, legend: Legend, headings: dict, titles: dict, canvases: dict, values: dict) -> Figure:
    labels = max(text_width(name) for name in headings.values()) + 25
    room = max(max(canvases[role].shape[1], text_width(titles[role])) for role in headings) + BETWEEN
    room = max(room, math.ceil(labels / 3) + PLOT[0] + MEDIANS)
    frame = room - math.ceil(labels / 3) - MEDIANS
    wide = fitted(2 * MARGIN + 3 * room, title)
    pictures, high = MARGIN + 80, max(canvas.shape[0] for canvas in canvases.values())
    plots = pictures + high + 14 + legend.high(wide) + 66
    page = Page(title, wide, plots + PLOT[1] + BELOW + MARGIN)
    for place, role in enumerate(headings):
        page.write(MARGIN + place * room, pictures - 8, titles[role], va="bottom")
        page.picture(MARGIN + place * room, pictures, canvases[role])
    page.legend(pictures + high + 14, legend)
    for place, name in enumerate(STATISTICS):
        axes = page.plot(MARGIN + labels + place * (frame + MEDIANS), plots, frame, PLOT[1])
        _violins(axes, [values[role][:, place] for role in headings])
        axes.set_yticks(range(3), headings.values() if place == 0 else [""] * 3)
        axes.set_title(name, fontsize=9)
        axes.annotate("median", (1, 1), xycoords="axes fraction", xytext=(5, 5), textcoords="offset points", fontsize=8)
    measured = sorted({len(part) for part in values.values()})
    taken = count(measured[0]) if len(measured) == 1 else f"{count(measured[0])} to {count(measured[-1])}"
    page.write(
        MARGIN, plots + PLOT[1] + 45, f"{taken} random images of each kind; saturation of HSV, brightness and contrast of the luma, 0 to 1"
    )
    return page.figure


def _violins(axes: Axes, parts: list[np.ndarray]) -> None:
    for place, (part, colour) in enumerate(zip(parts, COLOURS.values())):
        if part.max() > part.min():
            body = axes.violinplot(part, [place], orientation="horizontal", widths=0.8, showextrema=False)["bodies"][0]
            body.set(facecolor=colour, edgecolor=colour, alpha=0.3)
        low, first, middle, third, high = np.quantile(part, [0.05, 0.25, 0.5, 0.75, 0.95])
        axes.plot([low, high], [place, place], color=colour, linewidth=1.2)
        axes.plot([first, third], [place, place], color=colour, linewidth=5, solid_capstyle="butt")
        axes.plot([middle], [place], marker="o", markersize=5, color="white", markeredgecolor="black", markeredgewidth=0.8)
        axes.annotate(
            number(middle, digits=3),
            (1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xlim(left=0)
    axes.set_ylim(2.55, -0.55)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
