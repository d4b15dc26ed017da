"""What the diagram of the method is drawn from: panels, arrows, networks, and made-up scenes as pairs and as stacks of planes."""

from dataclasses import dataclass

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from scipy import ndimage

from satsynth.pairs import LabelSpace
from satsynth.reporting.figures.placing import Page

GRID = 16  # pixels of a made-up scene
MOST = 5  # classes of a made-up scene
CARD = 42  # width of a plane on the board; its right edge stands `RISE` above its left one
RISE = 20
STACK = 200  # width of a stack
INK = "#333333"


def bits(classes: int) -> int:
    """n = ceil(log2 K) for K classes."""
    return (classes - 1).bit_length()


@dataclass(frozen=True)
class Scene:
    """A made-up pair: image (GRID,GRID,3) float in [0, 1] and mask (GRID,GRID) uint8."""

    image: np.ndarray
    mask: np.ndarray

    @classmethod
    def made_up(cls, space: LabelSpace, seed: int) -> "Scene":
        """Fields of up to five classes that are spread over the label space, with a road and a house; the image has muted colours."""
        stream = np.random.Generator(np.random.Philox(seed))
        ids = np.unique(np.linspace(0, space.count - 1, min(MOST, space.count)).round().astype(np.uint8))
        field = ndimage.gaussian_filter(stream.normal(size=(GRID, GRID)), 2.6, mode="wrap")
        mask = ids[np.searchsorted(np.quantile(field, np.linspace(0, 1, len(ids[:3]) + 1)[1:-1]), field)]
        rows, columns = np.mgrid[0:GRID, 0:GRID]
        mask[np.abs(rows + stream.uniform(-0.6, 0.6) * columns - stream.uniform(6, 12)) < 1.2] = ids[-2]
        top, left = stream.integers(2, GRID - 6, 2)
        mask[top : top + 4, left : left + 4] = ids[-1]
        image = 0.45 * space.paint(mask) / 255 + 0.25 + stream.normal(0, 0.035, (GRID, GRID, 1)) + stream.normal(0, 0.012, (GRID, GRID, 3))
        return cls(image.clip(0, 1), mask)

    def coarse(self, factor: int) -> "Scene":
        """The scene with every `factor`-th pixel."""
        return Scene(self.image[::factor, ::factor], self.mask[::factor, ::factor])

    def planes(self, classes: int) -> np.ndarray:
        """The stack (3 + n, H, W) in [-1, 1]: colours, then the bits of the class ids, the most significant first."""
        shifts = np.arange(bits(classes) - 1, -1, -1)[:, None, None]
        return np.concatenate([2 * self.image.transpose(2, 0, 1) - 1, 2.0 * (self.mask >> shifts & 1) - 1])


def noised(planes: np.ndarray, signal: float, seed: int) -> np.ndarray:
    """Planes with Gaussian noise, variance preserved; `signal` is the share of variance (alpha bar) that the planes keep."""
    noise = np.random.Generator(np.random.Philox(seed)).normal(size=planes.shape)
    return np.sqrt(signal) * planes + np.sqrt(1 - signal) * noise


class Board(Page):
    """A page with one system of coordinates, in pixels from the upper left corner, on which shapes are drawn."""

    def __init__(self, title: str, wide: int, tall: int):
        super().__init__(title, wide, tall)
        self.axes = self.plot(0, 0, self.wide, tall)
        self.axes.set(xlim=(0, self.wide), ylim=(tall, 0))
        self.axes.set_axis_off()

    def panel(self, x: float, y: float, wide: float, high: float, heading: str) -> None:
        """A pale box with a bold heading."""
        box = FancyBboxPatch(
            (x + 8, y + 8), wide - 16, high - 16, boxstyle="round,pad=8", facecolor="#f5f5f2", edgecolor="#d8d8d2", zorder=0
        )
        self.axes.add_patch(box)
        self.text(x + 22, y + 34, heading, va="baseline", fontweight="bold", fontsize=10)

    def text(self, x: float, y: float, words: str, **look: object) -> None:
        """Words with their upper left corner at (x, y), unless `ha` and `va` say otherwise."""
        self.axes.text(x, y, words, **{"fontsize": 9, "va": "top", "linespacing": 1.3, "zorder": 6} | look)

    def label(self, x: float, y: float, words: str) -> None:
        """Centred words under what stands around x; the first lines of labels of one y stand on one line."""
        for number, line in enumerate(words.split("\n")):
            self.text(x, y + 15 + 26 * number, line, ha="center", va="baseline")

    def arrow(self, start: tuple[float, float], end: tuple[float, float], words: str = "") -> None:
        """An arrow, with words above its middle."""
        self.axes.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, linewidth=1.4, color=INK, shrinkA=0, shrinkB=0)
        )
        if words:
            self.text((start[0] + end[0]) / 2, min(start[1], end[1]) - 8, words, ha="center", va="bottom")

    def patch(self, x: float, y: float, side: float, colours: np.ndarray, edge: str = INK) -> None:
        """An image (h, w, 3) in [0, 1] as a framed square."""
        self._mesh((x, y), (side, side), 0, colours)
        self.axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=edge, linewidth=1.6, zorder=3))

    def pair(self, x: float, y: float, side: float, scene: Scene, space: LabelSpace, edge: str) -> None:
        """The image of a scene and, to its right, its mask."""
        self.patch(x, y, side, scene.image, edge)
        self.patch(x + side + 5, y, side, space.paint(scene.mask) / 255, edge)

    def stack(self, x: float, y: float, side: float, planes: np.ndarray) -> None:
        """Planes (3 + n, h, w), about [-1, 1], as cards one behind another: three colours, then bits in grey; `STACK` pixels wide."""
        step = (STACK - CARD) / max(1, len(planes) - 1)
        levels = ((planes + 1) / 2).clip(0, 1)
        for number in range(len(planes) - 1, -1, -1):
            tint = np.where(np.arange(3) == number, 1.0, 0.25) if number < 3 else np.ones(3)
            left = x + number * step
            self._mesh((left, y + RISE), (CARD, side - RISE), RISE, levels[number][..., None] * tint)
            corners = [(left, y + RISE), (left + CARD, y), (left + CARD, y + side - RISE), (left, y + side)]
            self.axes.add_patch(Polygon(corners, fill=False, edgecolor=INK, linewidth=0.8, zorder=3))

    def network(self, x: float, y: float, wide: float, high: float, name: str, colour: str) -> None:
        """A network that narrows and widens again, with its name."""
        waist = 0.24 * high
        corners = [(x, y), (x + wide / 2, y + waist), (x + wide, y), (x + wide, y + high), (x + wide / 2, y + high - waist), (x, y + high)]
        self.axes.add_patch(Polygon(corners, facecolor=colour, edgecolor=INK, linewidth=1.2, zorder=3))
        self.text(x + wide / 2, y + high / 2, name, ha="center", va="center", fontweight="bold", fontsize=10)

    def cell(self, x: float, y: float, wide: float, high: float, words: str, face: str, ink: str) -> None:
        """A box of a row of values."""
        self.axes.add_patch(Rectangle((x, y), wide, high, facecolor=face, edgecolor="#888888", linewidth=0.8, zorder=3))
        self.text(x + wide / 2, y + high / 2, words, ha="center", va="center_baseline", color=ink, fontsize=8.5 if wide > 50 else 7.5)

    def _mesh(self, corner: tuple[float, float], size: tuple[float, float], rise: float, colours: np.ndarray) -> None:
        # Squares, not an image: they stay sharp at any size and may be sheared.
        across, down = np.meshgrid(np.linspace(0, 1, colours.shape[1] + 1), np.linspace(0, 1, colours.shape[0] + 1))
        places = (corner[0] + size[0] * across, corner[1] + size[1] * down - rise * across)
        self.axes.pcolormesh(*places, colours.clip(0, 1), edgecolors="face", linewidth=0.15, zorder=2.5)
