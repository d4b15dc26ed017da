"""Synthetic pairs before and after G_SR: the low-resolution pair that conditions it and the pair it makes (paper, Fig. 6)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from satsynth.pairs import LabelSpace, open_view
from satsynth.reporting.figures import headline, sheet
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """One line a pair: image and mask of the low size (pixels enlarged, nothing smoothed), then of the high size.

    Args:
        cfg: title, dataset, low, source (str); count (lines); cell (side of a patch in pixels of the sheet); seed (int).
        inputs: low and high (store folders whose rows belong together, in the same order), classes (one classes.json).

    Raises:
        StoreError: the two do not hold the same number of pairs, low is not smaller, or high was made from other pairs.
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    views = [open_view(inputs[name]) for name in ("low", "high")]
    if len(views[0]) != len(views[1]) or views[0].size >= views[1].size:
        raise StoreError(
            inputs["low"][0],
            f"{len(views[0])} pairs of {views[0].size} px do not match {len(views[1])} pairs of {views[1].size} px.",
            "Give the low and the high store of the same rows.",
        )
    _check_kinship(inputs)
    rows = sheet.pick(len(views[0]), cfg["count"], cfg["seed"])
    side = views[1].size * max(1, round(cfg["cell"] / views[1].size))
    blocks, shown = [], []
    for view, heading in zip(views, (f"{cfg['low']}, input of G_SR", f"{cfg['source']}, output of G_SR")):
        images, masks = view.gather(rows)
        shown.append(masks)
        columns = 2 if len(rows) > 1 else 1
        flat = [sheet.enlarge(cell, side) for pair in zip(images, space.paint(masks)) for cell in pair]
        flat += [None] * (-len(flat) % (2 * columns))
        cells = [flat[start : start + 2 * columns] for start in range(0, len(flat), 2 * columns)]
        canvas = sheet.tile(cells, [3, 14] * columns, [8] * len(cells))
        blocks.append((f"{view.size} px, {heading}", canvas))
    return sheet.compose(headline(cfg), blocks, space, np.concatenate([mask.reshape(-1) for mask in shown])[None])


def _check_kinship(inputs: dict[str, list[Path]]) -> None:
    """Row i of low is what row i of high was made from only if the first stage had the same weights, sampler, seed and block."""
    first = []
    for name in ("low", "high"):
        source = files.read_json(inputs[name][0] / "card.json").get("source", {})
        first.append([source.get("weights", [None])[0], source.get("samplers", [None])[0], source.get("seed"), source.get("block")])
    if first[0] != first[1]:
        raise StoreError(
            inputs["low"][0],
            f"its pairs are not what {inputs['high'][0]} was made from (weights, sampler, seed or block differ).",
            "Give both sources the same generator, sampler, seed and block.",
        )
