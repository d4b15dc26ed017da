"""Reading pairs: the pair store against a folder of PNG files, as plain arrays and as normalised batches for a segmenter.

    .venv/bin/python -m benchmarks.input_pipeline

Arrays: random pairs of 128 px as uint8, opened and decoded with Pillow, or gathered from the store. Batches: random pairs under a random
flip and quarter turn, images normalised to float32, masks as whole numbers, from a DataLoader over the PNG files or from the store; in the
order of memory that each makes at the least cost, and that a network takes: NCHW from the DataLoader, channels-last from the store.
Aims: 100 times the pairs per CPU second, and 20 times.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.interleaved import Bench
from benchmarks.presets import demo_tiles
from satsynth.datasets.demo import generate
from satsynth.datasets.tiling import tile
from satsynth.pairs import Store, open_view
from satsynth.segmentation.batches import Mixture
from satsynth.segmentation.segmenter import MEAN, STD, Segmenter

SIZE, BATCH, BATCHES, GATHERED = 128, 32, 4, 64


class PngFolder(Dataset):
    """What most training code does: a PNG pair is opened, decoded, turned and normalised for every item."""

    def __init__(self, folder: Path):
        self.images = sorted((folder / "images").glob("*.png"))
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def __len__(self) -> int:
        return len(self.images)

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H,W,3) and mask (H,W), uint8."""
        path = self.images[number]
        image = np.asarray(Image.open(path))
        return image, np.asarray(Image.open(path.parents[1] / "masks" / path.name))

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = self.read(number)
        flip, quarters = torch.randint(0, 2, ()).item(), torch.randint(0, 4, ()).item()
        if flip:
            image, mask = image[:, ::-1], mask[:, ::-1]
        image, mask = np.rot90(image, quarters).copy(), np.rot90(mask, quarters).copy()
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        return (pixels - self.mean) / self.std, torch.from_numpy(mask).long()


def prepare(folder: Path, scenes: int) -> Store:
    """Patches of the demo world as a store and as PNG files."""
    generate(folder / "raw", {"scenes": scenes, "size": 1024, "zoom": 2, "seed": 0})
    tile("demo", folder / "raw", "train", demo_tiles("train", SIZE, val=0.1), {SIZE: folder / "store"})
    store = Store.open(folder / "store")
    for part, arrays in (("images", store.images), ("masks", store.masks)):
        (folder / part).mkdir()
        for number, array in enumerate(arrays):
            Image.fromarray(np.asarray(array)).save(folder / part / f"{number:05d}.png")
    return store


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=7)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        store = prepare(folder, scenes=3 if bench.quick else 9)
        pngs, view = PngFolder(folder), open_view([store.folder])
        draws = np.random.default_rng(0).integers(0, len(store), (BATCHES, BATCH))
        loader = DataLoader(pngs, BATCH, shuffle=True, drop_last=True)
        mixture = Mixture(view, None, "cpu")
        normalise = Segmenter(torch.nn.Identity(), 32, "bfloat16")
        steps = iter(range(10**9))

        def decoded() -> None:
            for number in draws[0]:
                pngs.read(number)

        def gathered() -> None:
            for _ in range(GATHERED // BATCHES):
                for rows in draws:
                    view.gather(rows)

        def from_png() -> None:
            for number, _ in enumerate(loader, 1):
                if number == BATCHES:
                    return

        def from_store() -> None:
            for _ in range(8 * BATCHES):
                images, masks = mixture.draw(0, next(steps), BATCH)
                normalise.normalised(images), masks.long()

        arrays = {"PNG folder, Pillow": BATCH, "pair store": BATCH * GATHERED}
        what = f"uint8 pairs of {SIZE} px from the pair store against a PNG folder"
        bench.ratio(what, dict(zip(arrays, (decoded, gathered))), units=arrays, unit="pairs", aim=100)
        batches = {"PNG folder, Pillow and DataLoader": BATCH * BATCHES, "pair store": 8 * BATCH * BATCHES}
        what = f"float batches of {BATCH} pairs of {SIZE} px from the pair store against a DataLoader"
        bench.ratio(what, dict(zip(batches, (from_png, from_store))), units=batches, unit="pairs", aim=20)
    bench.close()


if __name__ == "__main__":
    main()
