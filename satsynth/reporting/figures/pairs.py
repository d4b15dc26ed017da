"""Random synthetic pairs, beside random real ones (paper, Fig. 3) or alone (Fig. 13), each image above its mask."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from satsynth.pairs import LabelSpace, View, open_view
from satsynth.reporting.figures import sheet
from satsynth.reporting.markup import count
from satsynth.runtime import files

KINDS = {"real": "Real pairs (D)", "synthetic": "Synthetic pairs (D′)"}


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A block of pairs for each kind, drawn by a seed from all pairs of the stores and not chosen.

    Args:
        cfg: title (str); rows, columns (pairs per block); cell (side of a patch in pixels of the sheet, met to the nearest whole
            multiple of the patch); seed (int).
        inputs: synthetic and, where they are shown too, real (store folders, joined in order), classes (one classes.json).
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    blocks, masks = [], []
    for name, heading in KINDS.items():
        if name not in inputs:
            continue
        view = open_view(inputs[name])
        canvas, shown = _block(view, space, cfg)
        blocks.append((f"{heading}: {len(shown)} of {count(len(view))}, drawn at random", canvas))
        masks.append(shown)
    return sheet.compose(f"{cfg['title']} ({view.size} px)", blocks, space, masks)


def _block(view: View, space: LabelSpace, cfg: dict) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = cfg["rows"], cfg["columns"]
    images, masks = view.gather(sheet.pick(len(view), rows * columns, cfg["seed"]))
    painted = space.paint(masks)
    cells = []
    for row in range(rows):
        places = range(row * columns, (row + 1) * columns)
        for source in (images, painted):
            cells.append([sheet.enlarge(source[place], cfg["cell"]) if place < len(images) else None for place in places])
    cells = [line for line in cells if any(cell is not None for cell in line)]
    return sheet.tile(cells, [8] * columns, [3, 12] * rows), masks
