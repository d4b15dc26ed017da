"""Predicted masks of several segmenters beside image and truth (as in the paper's Fig. 11 and 12)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from satsynth.pairs import IGNORE, LabelSpace, open_view
from satsynth.reporting.figures import headline, sheet, systems
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A line a validation pair: image, truth, and the mask that each system predicts; unlabelled pixels are hatched.

    Args:
        cfg: title, dataset, experiment (str); cell (side of a patch in pixels of the sheet, met to the nearest whole multiple of the
            patch); systems (list of dicts with segmenter, arm, source, method, ratio and seed, one for each file of masks, in the same
            order).
        inputs: val (store folders, joined in order), masks (npy files, (M, H, W) uint8), cards (JSON files whose `rows` name the M
            pairs of the store, one for each file of masks), classes (one classes.json).

    Raises:
        ConfigError: systems, masks and cards differ in number, or an arm is unknown.
        StoreError: the systems predicted different pairs, or masks do not fit the store or the classes.
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    view = open_view(inputs["val"])
    for name in ("masks", "cards"):
        systems.check(cfg["systems"], inputs[name], f"files of {name}")
    rows = _rows(inputs["cards"], len(view))
    images, truth = view.gather(rows)
    masks = [_read(path, truth.shape, space) for path in inputs["masks"]]
    columns = [("image", images), ("truth", space.paint(truth))]
    columns += [(systems.heading(system, cfg["systems"]), space.paint(mask)) for system, mask in zip(cfg["systems"], masks)]
    blocks = []
    for heading, cells in columns:
        tiles = [[sheet.enlarge(cell, cfg["cell"])] for cell in cells]
        blocks.append((heading, sheet.tile(tiles, [0], [6] * len(tiles))))
    return sheet.compose(headline(cfg, f"{view.size} px", cfg["experiment"]), blocks, space, [truth], between=8)


def _rows(cards: list[Path], count: int) -> list[int]:
    rows = files.read_json(cards[0])["rows"]
    for path in cards[1:]:
        if files.read_json(path)["rows"] != rows:
            raise StoreError(path, f"it names other pairs than {cards[0]}.", "Predict the same pairs with every system.")
    if not rows or not 0 <= min(rows) <= max(rows) < count:
        raise StoreError(cards[0], f"its rows are not pairs of a store of {count}.", "Predict again.")
    return rows


def _read(path: Path, shape: tuple, space: LabelSpace) -> np.ndarray:
    masks = np.load(path)
    if masks.shape != shape or masks.dtype != np.uint8:
        raise StoreError(path, f"masks of shape {masks.shape} ({masks.dtype}) do not fit {shape} (uint8).", "Predict again.")
    if masks[masks != IGNORE].max(initial=0) >= space.count:
        raise StoreError(path, f"a mask holds a class that is none of the {space.count}.", "Predict again.")
    return masks
