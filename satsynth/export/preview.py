"""Some pairs of an export to look at: images above coloured masks. The masks that are exported bear class ids, no colours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from satsynth.export.rows import Part
from satsynth.pairs import LabelSpace, open_view
from satsynth.randomness import numpy_stream
from satsynth.runtime import files

COLUMNS, LINES, GAP, SIDE = 8, 2, 4, 128


def draw(path: Path, parts: Sequence[Part], space: LabelSpace) -> None:
    """Draw pairs at random, the same ones for the same set, as a PNG sheet; small patches are enlarged by whole pixels."""
    view = open_view([part.folder for part in parts])
    chosen = numpy_stream(0, "preview").permutation(len(view))[: COLUMNS * LINES]
    images, masks = view.gather(np.sort(chosen))
    factor = max(1, SIDE // view.size)
    step = factor * view.size + GAP
    lines = -(-len(images) // COLUMNS)
    sheet = np.full((lines * 2 * step + GAP, min(COLUMNS, len(images)) * step + GAP, 3), 255, np.uint8)
    for place, pair in enumerate(zip(images, space.paint(masks))):
        for row, pixels in enumerate(pair):
            top, left = GAP + (place // COLUMNS * 2 + row) * step, GAP + place % COLUMNS * step
            sheet[top : top + step - GAP, left : left + step - GAP] = pixels.repeat(factor, 0).repeat(factor, 1)
    with files.replacing(path) as partial:
        Image.fromarray(sheet).save(partial, "PNG")
