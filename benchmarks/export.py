"""Writing pairs of 256 px as PNG files: against Pillow as it comes; the whole tree against a plain loop; its memory.

    .venv/bin/python -m benchmarks.export [--photos FOLDER]

Images are patches of the JPEG photos below FOLDER; where none is named, of the demo's painted world. Masks are the demo's, with one label
in fifty drawn at random, since sampled masks have speckles; its clean ones are measured too. The peer saves images and masks with Pillow's
defaults, and rows with the csv module. Aims: 3 times the images and twice the masks per CPU second, no more bytes, twice the pairs per CPU
second of a whole split, and less than 64 MB beyond the imports and the mapped store for 2,000 pairs on two threads (their pixels are
524 MB, which the kernel keeps while nobody else needs the room).
"""

import csv
import io
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.interleaved import AT_MOST, Bench
from benchmarks.memory import added
from satsynth.datasets.demo import generate, label_space
from satsynth.export.encoding import encode_image, encode_mask
from satsynth.export.rows import Part
from satsynth.export.tree import write_split
from satsynth.pairs import StoreWriter

SIZE, PAIRS, MANY = 256, 32, 2000
NAMES = tuple(label_space({}).names)
SOURCE = {"weights": ["0" * 64], "samplers": [{"method": "ddim", "steps": 50}], "nfe": [50], "seed": 0, "block": 32}


def patches(folder: Path, photos: Path | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of an image (256,256,3) and a mask (256,256), uint8."""
    generate(folder / "world", {"scenes": 2, "size": 4 * SIZE, "zoom": 2, "seed": 0})
    masks = itertools.cycle(list(_cut(folder / "world/masks", ".png", "L")))
    images = _cut(photos, ".jpg", "RGB") if photos else _cut(folder / "world/images", ".png", "RGB")
    return list(itertools.islice(zip(images, masks), PAIRS))


def speckled(mask: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """A mask in which one pixel in fifty has a label drawn at random."""
    return np.where(stream.random(mask.shape) < 0.02, stream.integers(0, len(NAMES), mask.shape), mask).astype(np.uint8)


def _cut(folder: Path, suffix: str, mode: str) -> Iterator[np.ndarray]:
    for path in sorted(folder.rglob(f"*{suffix}")):
        pixels = np.asarray(Image.open(path).convert(mode))
        for top in range(0, len(pixels) - SIZE + 1, SIZE):
            for left in range(0, pixels.shape[1] - SIZE + 1, SIZE):
                yield np.ascontiguousarray(pixels[top : top + SIZE, left : left + SIZE])


def store(folder: Path, pairs: list[tuple[np.ndarray, np.ndarray]], count: int) -> Path:
    """A shard of so many pairs, these in turn."""
    with StoreWriter(folder, size=SIZE, classes=len(NAMES), facts={"source": SOURCE}) as writer:
        for index, (image, mask) in zip(range(count), itertools.cycle(pairs)):
            writer.append(image, mask, seed=0, index=index, margin=1.0, invalid=0.0)
    return folder


def pillow(pixels: np.ndarray) -> bytes:
    """A PNG file as Pillow writes it where nothing is said."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def plain_loop(out: Path, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """A split as a short script would write it."""
    shutil.rmtree(out, ignore_errors=True)
    for part in ("images", "masks"):
        (out / part).mkdir(parents=True)
    with open(out / "metadata.csv", "w", newline="") as file:
        table = csv.writer(file)
        for index, (image, mask) in enumerate(pairs):
            Image.fromarray(image).save(out / f"images/{index}.png")
            Image.fromarray(mask).save(out / f"masks/{index}.png")
            table.writerow([f"images/{index}.png", f"masks/{index}.png", index, *np.bincount(mask.ravel(), minlength=256).tolist()])


def tree(out: Path, shard: Path, threads: int) -> None:
    """The same as an export writes it."""
    shutil.rmtree(out, ignore_errors=True)
    write_split(out, [Part(shard, "made", True, 0)], NAMES, threads=threads)


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=5)
    bench.parser.add_argument("--photos", type=Path)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pairs = patches(folder, bench.chosen.photos)
        clean, stream = pairs, np.random.default_rng(0)
        pairs = [(image, speckled(mask, stream)) for image, mask in clean]
        kinds = (("images", pairs, 0, encode_image, 3), ("masks", pairs, 1, encode_mask, 2), ("clean masks", clean, 1, encode_mask, None))
        for kind, made, number, encode, aim in kinds:
            files = [pair[number] for pair in made]
            sides = {"Pillow": lambda files=files: list(map(pillow, files))}
            sides["satsynth"] = lambda files=files, encode=encode: list(map(encode, files))
            bench.ratio(f"PNG files of {kind} of 256 px against Pillow", sides, units=dict.fromkeys(sides, len(files)), unit=kind, aim=aim)
            sizes = {name: sum(map(len, call())) / len(files) for name, call in sides.items()}
            detail = {f"{name}, bytes a file": size for name, size in sizes.items()}
            share = sizes["satsynth"] / sizes["Pillow"]
            bench.record(f"bytes of {kind} against Pillow's", [share], aim=aim and 1.0, sense=AT_MOST, detail=detail)
        shard = store(folder / "shard-0000", pairs, len(pairs))
        sides = {"Pillow in a loop": partial(plain_loop, folder / "loop", pairs), "satsynth": partial(tree, folder / "tree", shard, 1)}
        bench.ratio("a split of an export against a plain loop", sides, units=dict.fromkeys(sides, len(pairs)), unit="pairs", aim=2)
        count = 200 if bench.quick else MANY
        large = store(folder / "shard-0001", pairs, count)
        needed = added(tree, folder / "large", large, 2)
        mapped = sum((large / name).stat().st_size for name in ("images.npy", "masks.npy")) / 2**20
        bench.record(f"memory for a split of {count} pairs, without the mapped store", [needed - mapped], aim=64, sense=AT_MOST, unit="MB")
    bench.close()


if __name__ == "__main__":
    main()
