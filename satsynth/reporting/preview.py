"""The picture of `check_data`: patches of a dataset above their masks, over a legend."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import findfont
from matplotlib.text import Text
from PIL import Image, ImageDraw, ImageFont

from satsynth.datasets.tallies import Shown
from satsynth.pairs import IGNORE, LabelSpace
from satsynth.reporting.figures import DPI, STYLE, sheet
from satsynth.runtime import files

CELL, COLUMNS, APART = 150, 3, 8  # pixels of a patch in the preview, patches in a line, pixels between two of them
CAPTION, LETTERS = 24, 17  # pixels of a line below a patch, and of its letters
HEADINGS = {"train": "train, drawn at random", "val": "val, drawn at random", "classes": "most of each class"}


def draw(name: str, shown: dict[str, list[Shown]], space: LabelSpace, strange: np.ndarray, path: Path) -> None:
    """Write the preview as PNG: patches of both splits and of every class, each image above its mask, over a legend.

    Args:
        name: of the dataset.
        shown: patches by heading.
        space: names and colours of the classes.
        strange: colours (256,3) uint8 of ids that no class has (see `inspection.inspect`).
        path: the file.
    """
    blocks, masks = [], []
    for part, patches in shown.items():
        if not patches:
            continue
        images, labels = (np.stack([_fitted(getattr(patch, kind)) for patch in patches]) for kind in ("image", "mask"))
        known = (labels < space.count) | (labels == IGNORE)
        colours = np.where(known[..., None], space.paint(labels), strange[labels])
        blocks.append((HEADINGS[part], _lines(images, colours, [patch.title for patch in patches])))
        masks.append(labels)
    if not blocks:
        blocks = [("There is no patch to show.", np.full((CELL, 2 * CELL, 3), 255, np.uint8))]
    with matplotlib.rc_context(), files.replacing(path) as partial:
        matplotlib.rcdefaults()  # a user's own matplotlibrc must not change what comes out
        matplotlib.rcParams.update(STYLE)
        figure = sheet.compose(f"Images and masks of {name}", blocks, space, masks)
        for text in figure.findobj(Text):
            text.set_parse_math(False)  # a dollar in a name is a dollar
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})


def _fitted(patch: np.ndarray) -> np.ndarray:
    """An image or mask (S,S,...) of about `CELL` pixels a side: every n-th pixel of it, or each of them n times."""
    step = max(1, len(patch) // CELL)
    return sheet.enlarge(patch[::step, ::step], CELL)


def _lines(images: np.ndarray, painted: np.ndarray, titles: list[str]) -> np.ndarray:
    """A canvas of pairs in lines, images and painted masks (M,S,S,3) uint8, each over its title where they have any."""
    side = images.shape[1]
    if not any(titles):
        return sheet.pairs(images, painted, COLUMNS, side, APART)
    fold = np.full((sheet.FOLD, side, 3), 255, np.uint8)
    cells = [np.concatenate([image, fold, mask, _caption(title, side)]) for image, mask, title in zip(images, painted, titles, strict=True)]
    cells += [None] * (-len(cells) % COLUMNS)
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    return sheet.tile(rows, [APART] * COLUMNS, [sheet.APART] * len(rows))


def _caption(title: str, side: int) -> np.ndarray:
    """A title in one line (CAPTION, side, 3) uint8, cut off where it is too long."""
    font = ImageFont.truetype(findfont("DejaVu Sans"), LETTERS)
    text = title = " ".join(title.split())  # a break in the name of a class, as YAML's | leaves one, is none here
    while font.getlength(text) > side:
        title = title[:-1]
        text = f"{title}…"
    line = Image.new("RGB", (side, CAPTION), "white")
    ImageDraw.Draw(line).text((0, CAPTION - 6), text, fill="black", font=font, anchor="ls")
    return np.asarray(line)
