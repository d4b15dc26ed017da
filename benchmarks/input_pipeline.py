"""Normalised float batches for a segmenter: the pair store against a folder of PNG files behind a DataLoader.

    .venv/bin/python benchmarks/input_pipeline.py

Both sides draw the same kind of batch: random pairs of 128 px under a random flip and quarter turn, images normalised to float32, masks as
whole numbers. Aim: 20 times the images per CPU second.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.interleaved import measure, rounds, say

# isort: split

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from satsynth.datasets.demo import generate, label_space
from satsynth.datasets.tiling import tile
from satsynth.pairs import Store, open_view
from satsynth.segmentation.batches import Mixture
from satsynth.segmentation.segmenter import MEAN, STD, Segmenter

SIZE, BATCH, BATCHES = 128, 32, 4


class PngFolder(Dataset):
    """What most training code does: a PNG pair is opened, decoded, turned and normalised for every item."""

    def __init__(self, folder: Path):
        self.images = sorted((folder / "images").glob("*.png"))
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        path = self.images[number]
        image = np.asarray(Image.open(path).convert("RGB"))
        mask = np.asarray(Image.open(path.parents[1] / "masks" / path.name))
        flip, quarters = torch.randint(0, 2, ()).item(), torch.randint(0, 4, ()).item()
        if flip:
            image, mask = image[:, ::-1], mask[:, ::-1]
        image, mask = np.rot90(image, quarters).copy(), np.rot90(mask, quarters).copy()
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        return (pixels - self.mean) / self.std, torch.from_numpy(mask).long()


def prepare(folder: Path) -> Store:
    """Patches of the demo world as a store and as PNG files."""
    generate(folder / "raw", {"scenes": 9, "size": 1024, "zoom": 2, "seed": 0})
    cfg = {"size": SIZE, "stride": SIZE, "remainder": "drop", "max_ignore": 1.0, "resize": None, "max_pixels": 10**9}
    reading = {"images": "images", "labels": "masks", "ignore": None, "unknown": "error", "bands": None, "scale": None, "label_map": None}
    split = {"split": {"by": "scene", "val": 0.1, "seed": 0}, "class_count": len(label_space({}).names)}
    tile("demo", folder / "raw", "train", {**cfg, **reading, **split}, {SIZE: folder / "store"})
    store = Store.open(folder / "store")
    for part, arrays in (("images", store.images), ("masks", store.masks)):
        (folder / part).mkdir()
        for number, array in enumerate(arrays):
            Image.fromarray(np.asarray(array)).save(folder / part / f"{number:05d}.png")
    return store


def main() -> None:
    """Measure and print."""
    repeats = rounds(7)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        store = prepare(folder)
        loader = DataLoader(PngFolder(folder), BATCH, shuffle=True, drop_last=True)
        mixture = Mixture(open_view([store.folder]), None, "cpu")
        normalise = Segmenter(torch.nn.Identity(), 32, "bfloat16")
        steps = iter(range(10**9))

        def from_png() -> None:
            for number, _ in enumerate(loader, 1):
                if number == BATCHES:
                    return

        def from_store() -> None:
            for _ in range(8 * BATCHES):
                images, masks = mixture.draw(0, next(steps), BATCH)
                normalise.normalised(images), masks.long()

        seconds = measure({"PNG folder, Pillow and DataLoader": from_png, "pair store": from_store}, repeats)
    units = {"PNG folder, Pillow and DataLoader": BATCH * BATCHES, "pair store": 8 * BATCH * BATCHES}
    say(f"Normalised batches of {BATCH} pairs of {SIZE} px", seconds, units, "images", aim=20)


if __name__ == "__main__":
    main()
