"""Cutting a large scene (image and mask, PNG) into patches of 256 px: in strips, against Pillow; and the memory that it takes.

    .venv/bin/python -m benchmarks.tiling [--side 4000]

One peer decodes both files whole with Pillow and reshapes them, the other opens them again for every patch (of which it cuts a few).
Memory is what a process needs beyond its imports. Aims: 2.5 times the patches per CPU second of the first at a tenth of its memory, 500
times those of the second, and less than 400 MB for a scene of 13,000 x 13,000 pixels.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.interleaved import AT_MOST, Bench
from benchmarks.memory import added
from benchmarks.presets import demo_tiles
from satsynth.datasets.demo import generate
from satsynth.datasets.folder import labels
from satsynth.datasets.scenes import Scene
from satsynth.datasets.tiling import patches

SIZE, WORLD, LARGE, OPENED = 256, 1024, 13_000, 2
Image.MAX_IMAGE_PIXELS = None


def prepare(folder: Path, side: int) -> Path:
    """A scene of `side` pixels pieced together from scenes of the demo world, each piece another turn of one of them."""
    if not (folder / "world").exists():
        generate(folder / "world", {"scenes": 2, "size": WORLD, "zoom": 2, "seed": 0})
    pieces = -(-side // WORLD)
    for part in ("images", "masks"):
        known = [np.asarray(Image.open(path)) for path in sorted((folder / "world" / part).iterdir())]
        rows = []
        for row in range(pieces):
            turned = [np.rot90(known[(row + column) % len(known)], row * pieces + column) for column in range(pieces)]
            rows.append(np.concatenate(turned, 1)[:, :side])
        place = folder / str(side) / part
        place.mkdir(parents=True)
        Image.fromarray(np.concatenate(rows)[:side]).save(place / "scene.png")
    return folder / str(side)


def cut(scene: Path) -> int:
    """Every patch, as tiling makes it."""
    reading = demo_tiles("train", SIZE, val=0.5) | {"max_pixels": 10**9}
    found = Scene("scene", scene / "images/scene.png", scene / "masks/scene.png")
    return sum(1 for _ in patches(found, labels(reading), reading))


def decode_whole(scene: Path) -> int:
    """Every patch, from arrays that Pillow decoded whole."""
    count = 0
    for part in ("images", "masks"):
        array = np.asarray(Image.open(scene / part / "scene.png"))
        side = array.shape[0] // SIZE
        cropped = array[: side * SIZE, : side * SIZE]
        folded = cropped.reshape(side, SIZE, side, SIZE, -1).swapaxes(1, 2).reshape(side * side, SIZE, SIZE, -1)
        count = len(np.ascontiguousarray(folded))
    return count


def open_again(scene: Path) -> None:
    """A few patches, for each of which both files are opened."""
    for number in range(OPENED):
        for part in ("images", "masks"):
            with Image.open(scene / part / "scene.png") as image:
                np.asarray(image.crop((number * SIZE, 0, (number + 1) * SIZE, SIZE)))


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=3)
    bench.parser.add_argument("--side", type=int, default=4000)
    side = 1000 if bench.quick else bench.chosen.side
    with tempfile.TemporaryDirectory() as place:
        scene = prepare(Path(place), side)
        count = (side // SIZE) ** 2
        for peer, call, made, how, aim in (
            ("Pillow, opened again", open_again, OPENED, "opens it again for each", 500),
            ("Pillow, whole", decode_whole, count, "decodes it whole", 2.5),
        ):
            what = f"patches of a {side} x {side} PNG against Pillow that {how}"
            sides = {peer: partial(call, scene), "satsynth": partial(cut, scene)}
            bench.ratio(what, sides, units={peer: made, "satsynth": count}, unit="patches", aim=aim)
        whole, strips = added(decode_whole, scene), added(cut, scene)
        detail = {"Pillow, whole, MB": whole, "satsynth, MB": strips}
        bench.record(f"memory for a {side} x {side} PNG against Pillow", [strips / whole], aim=0.1, sense=AT_MOST, detail=detail)
        if not bench.quick:
            needed = added(cut, prepare(Path(place), LARGE))
            bench.record(f"memory for a {LARGE} x {LARGE} PNG", [needed], aim=400, sense=AT_MOST, unit="MB")
    bench.close()


if __name__ == "__main__":
    main()
