"""The method as a diagram: pairs become stacks, G learns and samples them, and segmenters train on both (paper, Fig. 2a and 2b)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from satsynth.pairs import LabelSpace
from satsynth.reporting.figures import palette
from satsynth.reporting.figures.diagram import STACK, Board, Scene, bits, noised
from satsynth.reporting.markup import count
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError

WIDE, TALL = 1740, 1140
SIDE = 108  # of a drawn patch
BELOW = SIDE + 14  # from the top of a patch to its label
REAL, SYNTHETIC = (1, 2, 3), (4, 5, 6)  # seeds of the made-up scenes
DECODE = 106  # from a stack to its pair
PIXEL = (8, 8)  # the one whose code is shown
GENERATOR, SEGMENTER = "#dbe7f3", "#e4efdc"
SAMPLED = (0.9, 0.8, 1.1, 0.7, 0.6, 1.0, 0.8, 0.9)  # how far made-up samples are from zero


def compose(cfg: dict, inputs: dict[str, list[Path]]) -> Figure:
    """Four panels: how G learns, the bit code of one pixel, how pairs are sampled, and how they are used. All scenes are made up.

    Args:
        cfg: title (str); low (side of G's pairs in px); high (side of G_SR's pairs in px, or None where there is no cascade); timesteps
            (T of the diffusion); prediction (epsilon, x0, v or edm: what G learns to give back).
        inputs: classes (one classes.json), from which K, the number n of bits and the colours follow.

    Raises:
        ConfigError: low is no size, or high is not larger.
    """
    low, high = cfg["low"], cfg.get("high")
    if low < 1 or (high is not None and high <= low):
        raise ConfigError("high", f"no cascade leads from {low} px to {high} px.", "Give a high that is larger than low, or none.")
    space = LabelSpace.from_json(files.read_json(inputs["classes"][0]))
    board = Board(cfg["title"], WIDE, TALL)
    _learn(board, space, low, high, *_words(cfg["prediction"], cfg["timesteps"]))
    _code(board, space)
    _sample(board, space, low, high)
    _use(board, space, high or low)
    return board.figure


def _words(prediction: str, timesteps: int) -> tuple[str, str]:
    """How much noise is added, and what the network then predicts."""
    if prediction == "edm":
        return "noised to a\nrandom level", "the clean stack"
    targets = {"epsilon": "the noise", "x0": "the clean stack", "v": "v, noise and stack"}
    return f"noised to a random step\nt of T = {count(timesteps)}", targets[prediction]


def _learn(board: Board, space: LabelSpace, low: int, high: int | None, noised_to: str, target: str) -> None:
    board.panel(30, 80, 1130, 330, "1   Learn image and mask together")
    y, scene = 165, Scene.made_up(space, REAL[0]).coarse(2 if high else 1)
    middle, planes = y + SIDE / 2, scene.planes(space.count)
    board.pair(60, y, SIDE, scene, space, palette.REAL)
    board.label(60 + SIDE, y + BELOW, f"real pairs (D)\n{low} px")
    board.arrow((296, middle), (366, middle), "encode")
    board.stack(382, y, SIDE, planes)
    board.label(382 + STACK / 2, y + BELOW, f"stack of 3 colours\nand n = {_channels(space)}")
    board.arrow((598, middle), (674, middle), "+ noise")
    board.stack(690, y, SIDE, noised(planes, 0.4, 1))
    board.label(690 + STACK / 2, y + BELOW, noised_to)
    board.arrow((906, middle), (966, middle))
    board.network(982, y - 10, 140, SIDE + 20, "G", GENERATOR)
    board.label(1052, y + BELOW, f"U-Net predicts\n{target}")
    if high:
        board.text(60, 358, f"G_SR learns likewise at {high} px, and also sees the same pair at {low} px.")


def _channels(space: LabelSpace) -> str:
    return f"{bits(space.count)} bit plane{'' if bits(space.count) == 1 else 's'}"


def _code(board: Board, space: LabelSpace) -> None:
    board.panel(1185, 80, 525, 330, "2   Code the class of a pixel in bits")
    mask = Scene.made_up(space, REAL[0]).mask
    row, column = PIXEL
    shown = mask[row - 2 : row + 3, column - 2 : column + 3]
    board.patch(1213, 136, 100, space.paint(shown) / 255)
    board.patch(1213 + 40, 136 + 40, 20, space.paint(shown[2:3, 2:3]) / 255, "black")
    number, width = int(mask[row, column]), bits(space.count)
    name = space.names[number] if len(space.names[number]) <= 24 else space.names[number][:23] + "…"
    board.text(1335, 150, f"class id {number}, K = {space.count}:\n{name}")
    word = np.array([int(bit) for bit in f"{number:0{width}b}"])
    signs = 2 * word - 1
    wide = min(58, 370 / width)
    for place, (label, values) in enumerate((("bits", word), ("±1", signs), ("sampled", signs * SAMPLED[:width]))):
        y = 250 + 35 * place
        board.text(1213, y + 16, label, va="center_baseline")
        for spot, value in enumerate(values):
            words = ("{:d}", "{:+d}", "{:+.1f}")[place].format(value).replace("-", "−")
            face, ink = ("#333333", "white") if place < 2 and not word[spot] else ("white", "black")
            board.cell(1320 + spot * wide, y, wide - 3, 32, words, face, ink)
    board.text(1213, 366, "Read back: the class with the nearest word.")


def _sample(board: Board, space: LabelSpace, low: int, high: int | None) -> None:
    board.panel(30, 433, 1680, 290, "3   Sample new pairs" + (", first small, then large" if high else ""))
    y, scene = 523, Scene.made_up(space, SYNTHETIC[0])
    middle, first = y + SIDE / 2, scene.coarse(2 if high else 1).planes(space.count)
    gap = 70 if high else 110
    x = (WIDE - STACK - (2 if high else 1) * (2 * gap + 130 + STACK) - DECODE - 2 * SIDE) / 2
    board.stack(x, y, SIDE, noised(first, 0, 2))
    board.label(x + STACK / 2, y + BELOW, "Gaussian noise")
    x = _through(board, x + STACK, middle, gap, "G", "denoises\nstep by step")
    board.stack(x, y, SIDE, first)
    board.label(x + STACK / 2, y + BELOW, f"stack, {low} px")
    if high:
        x = _through(board, x + STACK, middle, gap, "G_SR", "denoises, given\nthe small stack")
        board.stack(x, y, SIDE, scene.planes(space.count))
        board.label(x + STACK / 2, y + BELOW, f"stack, {high} px")
    x += STACK
    board.arrow((x + 12, middle), (x + DECODE - 16, middle), "decode")
    board.pair(x + DECODE, y, SIDE, scene, space, palette.SYNTHETIC)
    board.label(x + DECODE + SIDE, y + BELOW, f"synthetic pairs (D′)\n{high or low} px")


def _through(board: Board, x: float, middle: float, gap: float, name: str, words: str) -> float:
    """A network with an arrow in and an arrow out; the place where its output begins."""
    board.arrow((x + 12, middle), (x + gap - 14, middle))
    board.network(x + gap, middle - SIDE / 2 - 10, 130, SIDE + 20, name, GENERATOR)
    board.label(x + gap + 65, middle - SIDE / 2 + BELOW, words)
    board.arrow((x + gap + 144, middle), (x + 2 * gap + 118, middle))
    return x + 2 * gap + 130


def _use(board: Board, space: LabelSpace, size: int) -> None:
    board.panel(30, 746, 1680, 364, "4   Train segmenters on D ∪ D′, score them on real pairs")
    real, synthetic = ([Scene.made_up(space, seed) for seed in seeds] for seeds in (REAL, SYNTHETIC))
    side, middle = 96, 928
    for y, scene, colour, words in (
        (810, real[0], palette.REAL, "real pairs (D)"),
        (958, synthetic[0], palette.SYNTHETIC, "synthetic pairs (D′)"),
    ):
        board.pair(60, y, side, scene, space, colour)
        board.label(60 + side, y + side + 10, words)
        board.arrow((270, y + side / 2), (352, middle + (-26 if y < middle else 26)))
    small = 74
    for slot in range(6):
        scene, colour = (real, synthetic)[slot % 2][slot // 2], (palette.REAL, palette.SYNTHETIC)[slot % 2]
        board.patch(370 + slot * (small + 8), middle - small - 4, small, scene.image, colour)
        board.patch(370 + slot * (small + 8), middle + 4, small, space.paint(scene.mask) / 255, colour)
    board.label(
        370 + 3 * (small + 8) - 4,
        middle + small + 18,
        f"a batch at {size} px: real and synthetic in turn,\nhowever many synthetic pairs there are",
    )
    board.arrow((878, middle), (946, middle), "train")
    board.network(960, middle - SIDE / 2 - 10, 180, SIDE + 20, "segmenter", SEGMENTER)
    board.arrow((1154, middle), (1232, middle), "score")
    judged = Scene.made_up(space, 7)
    guess = judged.mask[1::2, 1::2].repeat(2, 0).repeat(2, 1)
    for place, (colours, words) in enumerate(
        ((judged.image, "image"), (space.paint(judged.mask) / 255, "truth"), (space.paint(guess) / 255, "prediction"))
    ):
        x = 1250 + place * (SIDE + 32)
        board.patch(x, middle - SIDE / 2, SIDE, colours, palette.REAL if place < 2 else "#333333")
        board.label(x + SIDE / 2, middle - SIDE / 2 + BELOW, words)
    board.label(1250 + 1.5 * SIDE + 32, middle + SIDE / 2 + 48, "real validation pairs that no generator\nand no segmenter was trained on")
