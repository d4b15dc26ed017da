"""Random synthetic pairs, beside random real ones (paper, Fig. 3) or alone (Fig. 13), each image above its mask."""

from pathlib import Path

from matplotlib.figure import Figure

from satsynth.pairs import LabelSpace, open_view
from satsynth.reporting.figures import headline, sheet
from satsynth.reporting.markup import count
from satsynth.runtime import files

KINDS = {"real": "Real pairs (D)", "synthetic": "Synthetic pairs (D′)"}


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """A block of pairs for each kind, drawn by a seed from all pairs of the stores and not chosen.

    Args:
        cfg: title, dataset, source (str); rows, columns (pairs per block); cell (side of a patch in pixels of the sheet, met to the
            nearest whole multiple of the patch); seed (int).
        inputs: synthetic and, where they are shown too, real (store folders, joined in order), classes (one classes.json).
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    blocks, shown = [], []
    for name, heading in KINDS.items():
        if name not in inputs:
            continue
        view = open_view(inputs[name])
        images, masks = view.gather(sheet.pick(len(view), cfg["rows"] * cfg["columns"], cfg["seed"]))
        canvas = sheet.pairs(images, space.paint(masks), cfg["columns"], cfg["cell"], 8)
        blocks.append((f"{heading}: {len(masks)} of {count(len(view))}, drawn at random", canvas))
        shown.append(masks)
    return sheet.compose(headline(cfg, f"{view.size} px", cfg["source"]), blocks, space, shown)
