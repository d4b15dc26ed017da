"""Class shares of real and synthetic pairs, from the cards alone (paper, Fig. 2c)."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.distance import jensenshannon

from satsynth.pairs import LabelSpace
from satsynth.reporting.figures import headline, palette
from satsynth.reporting.markup import count
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """Two panels over the classes, most frequent on top: share of pixels, and share of pairs that hold the class, in percent.

    Args:
        cfg: title, dataset, source (str); log (bool: a logarithmic axis for the pixels, on which a share of zero is marked at the left
            edge).
        inputs: real and synthetic (card.json of stores, summed), classes (one classes.json).

    Raises:
        StoreError: a card counts another number of classes than classes.json names.
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    real, synthetic = (_sum(inputs[name], space.count) for name in ("real", "synthetic"))
    order = np.argsort(-real["pixels"], kind="stable")
    figure = Figure(figsize=(8.4, 1.75 + 0.27 * space.count), layout="constrained")
    figure.suptitle(headline(cfg, f"{real['size']} px", cfg["source"]), x=0.01, ha="left")
    left, right = figure.subplots(1, 2, sharey=True)
    distance = jensenshannon(real["pixels"], synthetic["pixels"], base=2)
    _panel(left, real["pixels"], synthetic["pixels"], order, cfg["log"])
    left.set_title(f"Share of pixels (Jensen–Shannon distance {distance:.3f})", fontweight="normal", fontsize=9)
    left.set_xlabel("labelled pixels (%)")
    left.set_yticks(range(space.count), [space.names[number] for number in order])
    _panel(right, real["pairs"], synthetic["pairs"], order, False)
    right.set_title("Presence", fontweight="normal", fontsize=9)
    right.set_xlabel("pairs that hold the class (%)")
    marks = [left.plot([], [], **_mark(name))[0] for name in ("real", "synthetic")]
    names = [f"{name} ({count(card['count'])} pairs)" for name, card in (("real", real), ("synthetic", synthetic))]
    figure.legend(marks, names, loc="outside lower center", ncols=2)
    return figure


def _sum(paths: list[Path], classes: int) -> dict:
    cards = [files.read_json(path) for path in paths]
    for path, card in zip(paths, cards):
        if card["classes"] != classes:
            raise StoreError(
                path, f"it counts {card['classes']} classes, classes.json names {classes}.", "Use the classes of this dataset."
            )
    pixels = np.sum([card["class_pixels"] for card in cards], axis=0)
    pairs, total = np.sum([card["class_pairs"] for card in cards], axis=0), sum(card["count"] for card in cards)
    return {"pixels": 100 * pixels / max(1, pixels.sum()), "pairs": 100 * pairs / max(1, total), "count": total, "size": cards[0]["size"]}


def _mark(name: str) -> dict:
    if name == "real":
        return {"color": palette.REAL, "marker": "o", "linestyle": "none", "markersize": 7}
    return {
        "color": palette.SYNTHETIC,
        "marker": "D",
        "linestyle": "none",
        "markersize": 5.5,
        "markerfacecolor": "white",
        "markeredgewidth": 1.6,
    }


def _panel(axes: Axes, real: np.ndarray, synthetic: np.ndarray, order: np.ndarray, log: bool) -> None:
    known = np.concatenate([real[real > 0], synthetic[synthetic > 0]])
    floor = 0.0
    if log and len(known):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        # Zero has no place on this axis, so it gets one half a decade below the least decade, with a label of its own.
        decade = 10.0 ** np.floor(np.log10(known.min()))
        axes.set_xlim(decade / 1.3, 140)
        if len(known) < 2 * len(order):
            floor = decade / 3.5
            axes.set_xlim(floor / 1.4, 140)
            axes.axvline(floor, color="#aaaaaa", linewidth=0.8, linestyle=":", zorder=0)
            axes.annotate(
                "0", (floor, 0), xycoords=axes.get_xaxis_transform(), textcoords="offset points", xytext=(0, -6.5), ha="center", va="top"
            )
    else:
        top = known.max(initial=1.0)
        axes.set_xlim(-0.04 * top, 1.04 * top)
    for place, number in enumerate(order):
        ends = [max(real[number], floor), max(synthetic[number], floor)]
        axes.plot(ends, [place, place], color="#bbbbbb", linewidth=2.5, solid_capstyle="round", zorder=1)
        for name, spot in zip(("real", "synthetic"), ends):
            axes.plot([spot], [place], zorder=2, **_mark(name))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(order) - 0.4, -0.6)
