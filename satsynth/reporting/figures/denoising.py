"""Pairs on their way from noise: images over masks at some steps of the sampler (paper, Fig. 8)."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from satsynth.pairs import IGNORE, LabelSpace
from satsynth.reporting import methods
from satsynth.reporting.figures import headline, sheet
from satsynth.reporting.figures.placing import LINE, MARGIN, Legend, Page, fitted, text_width
from satsynth.reporting.markup import count, number
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError

# Pixels: between moments, between an image and its mask, between pairs, above the pictures, and a line of numbers below them.
GAP, FOLD, APART, ABOVE, NUMBERS = 6, 3, 16, 84, 28


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """Two lines a pair, its image and its mask, a column a moment from noise (left) to the pair (right).

    Below each column stand the step of the sampler and the noise level as log SNR = -2 ln sigma (natural logarithm), which is -∞ for noise
    alone and ∞ for the pair. A generator of images alone has no lines of masks.

    Args:
        cfg: title, dataset, source (str); cell (side of a state in pixels of the sheet, met to the nearest whole multiple of it).
        inputs: images, masks and cards (one file each, as `satsynth.diffusion.denoising.trace_pairs` writes them), classes (one
            classes.json).

    Raises:
        StoreError: arrays and card do not fit one another, or know other classes than classes.json.
    """
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    images, masks, card = _read(inputs, space)
    labelled = card["codes"] != "none"
    cells, gaps = [], []
    for pair in range(len(images)):
        for part in (images[pair], space.paint(masks[pair]))[: 1 + labelled]:
            cells.append([sheet.enlarge(cell, cfg["cell"]) for cell in part])
            gaps.append(max(FOLD, LINE - 6 - cells[-1][0].shape[0]))  # a word stands beside every line
        gaps[-1] += APART - FOLD
    side = cells[0][0].shape[0]
    steps, levels = [count(step) for step in card["steps"]], [_level(sigma) for sigma in card["sigmas"]]
    gap = max(GAP, max(map(text_width, steps + levels)) + 2 * GAP - side)  # numbers below small states need more room
    canvas = sheet.tile(cells, [gap] * images.shape[1], gaps)
    heads = ["image", *(["mask"] if labelled else []), "step", "log SNR"]
    left = MARGIN + max(map(text_width, heads)) + 14
    told = _told(len(images), card)
    title, legend = headline(cfg, f"{card['size']} px", cfg["source"]), Legend(space, masks)
    wide = fitted(max(left + canvas.shape[1], MARGIN + text_width(told)) + MARGIN, title)
    below = ABOVE + canvas.shape[0] + 8
    page = Page(title, wide, below + 2 * NUMBERS + 16 + (legend.high(wide) if labelled else 0) + MARGIN - 14)
    page.write(MARGIN, 52, told)
    page.picture(left, ABOVE, canvas)
    top = ABOVE
    for line, following in enumerate(gaps):
        page.write(left - 10, top + side / 2, heads[line % (1 + labelled)], ha="right", va="center")
        top += side + following
    for line, (head, values) in enumerate(zip(heads[-2:], (steps, levels))):
        base = below + 16 + line * NUMBERS
        page.write(left - 10, base, head, ha="right", va="baseline")
        for place, value in enumerate(values):
            page.write(left + place * (side + gap) + side / 2, base, value, ha="center", va="baseline")
    if labelled:
        page.legend(below + 2 * NUMBERS + 16, legend)
    return page.figure


def _read(inputs: dict[str, list[Path]], space: LabelSpace) -> tuple[np.ndarray, np.ndarray, dict]:
    (card_path,), (image_path,), (mask_path,) = (inputs[name] for name in ("cards", "images", "masks"))
    card, images, masks = files.read_json(card_path), np.load(image_path), np.load(mask_path)
    again = "Follow the pairs again."
    frame = (len(card["steps"]), card["size"], card["size"])
    if masks.shape[1:] != frame or images.shape != (*masks.shape, 3) or not len(masks) or len(card["sigmas"]) != len(card["steps"]):
        raise StoreError(card_path, f"states of shapes {images.shape} and {masks.shape} do not fit {frame}.", again)
    if {images.dtype, masks.dtype} != {np.dtype(np.uint8)}:
        raise StoreError(card_path, f"states are {images.dtype} and {masks.dtype}, not uint8.", again)
    if card["classes"] != space.count or masks[masks != IGNORE].max(initial=0) >= space.count:
        cause = f"its generator knows {card['classes']} classes, classes.json names {space.count}."
        raise StoreError(card_path, cause, "Use a generator of this dataset.")
    return images, masks, card


def _told(pairs: int, card: dict) -> str:
    which = "the first pair" if pairs == 1 else f"the first {count(pairs)} pairs"
    return f"{which.capitalize()} of G, {methods.sampler(card['sampler'])} sampler of {count(card['steps'][-1])} steps"


def _level(sigma: float | None) -> str:
    """log SNR of a noise level; None is an infinite one."""
    if sigma is None:
        return "−∞"
    return number(-2 * math.log(sigma), digits=1) if sigma else "∞"
