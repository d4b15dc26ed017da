"""Small shards with an index as sampling leaves it, tables of neighbours and decisions, and a gallery made of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from reporting_fixtures import SPACE
from scipy import ndimage

from satsynth.pairs import IGNORE, LabelSpace, StoreWriter, bounds, open_view
from satsynth.reporting.gallery import document, packing
from satsynth.symmetries import turned

CFG = {"pairs": 5000, "tile": 96, "quality": 75, "quantile": 0.01}
WEIGHTS = ["ab" * 32, "cd" * 32]
MADE = {
    "weights": WEIGHTS,
    "samplers": [{"method": "dpmpp_2m", "steps": 20}, {"method": "ddim", "steps": 10}],
    "nfe": [20, 10],
    "block": 54,
}
NAME = "demo-{size}px-cascade"


def images_and_masks(size: int, seed: int, few: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """`few` pairs of smooth fields; larger sets repeat them, since drawing thousands takes longer than all else."""
    stream = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(stream.normal(size=(few, size, size)), (0, size / 10, size / 10))
    masks = np.digitize(fields / fields.std() + stream.normal(0, 0.5, (few, 1, 1)), [-0.4, 0.7]).astype(np.uint8)
    shade = np.asarray(SPACE.colours)[masks] * 0.6 + 40 + stream.normal(0, 6, (few, size, size, 3))
    return shade.clip(0, 255).astype(np.uint8), masks


def write_store(folder: Path, rows: list[dict], size: int, seed: int, facts: dict, classes: int = 3) -> Path:
    images, masks = images_and_masks(size, seed)
    with StoreWriter(folder, size=size, classes=classes, facts=facts) as writer:
        for number, row in enumerate(rows):
            mask = masks[number % len(masks)].copy()
            if number % 7 == 0:
                mask[: size // 8] = IGNORE
            writer.append(images[number % len(images)], mask, **row)
    return folder


def neighbours(path: Path, count: int, trained: int, seed: int, least: float = 0.2) -> Path:
    stream = np.random.default_rng(seed)
    distance = least + stream.gamma(4, 0.2, count)
    columns = {
        "feature_distance": distance,
        "feature_row": stream.integers(0, trained, count),
        "feature_turn": stream.integers(0, 8, count),
    }
    columns |= {"feature_ratio": stream.uniform(0.5, 1, count), "pixel_distance": 20 * distance, "pixel_row": 0, "pixel_turn": 0}
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"row": range(count), **columns, "pixel_ratio": 1.0}).to_csv(path, index=False)
    return path


def decisions(path: Path, first: int, count: int) -> Path:
    words = ["admitted", "masked", "rejected"]
    rows = range(first, first + count)
    frame = {"pair": range(count), "index": rows, "margin": 0.5, "invalid": 0.0, "masked": [0.25 * (row % 3 == 1) for row in rows]}
    frame |= {"distance": 1.0, "decision": [words[row % 3] for row in rows], "reasons": ["", "margin", 'distance; <b>"near"</b>'] * count}
    frame["reasons"] = [["", "agreement", 'distance <b>"&amp;"</b>'][row % 3] for row in rows]
    pd.DataFrame(frame).to_csv(path, index=False)
    return path


def outputs(folder: Path, parts: int) -> dict:
    pictures = {role: [folder / f"{role}-{number:03d}.js" for number in range(parts)] for role in ("tiles", "pairs", "real")}
    return {**pictures, "numbers": folder / "numbers.js", "strip": folder / "strip.jpg", "card": folder / "card.json"}


def write_gallery(
    root: Path,
    count: int = 60,
    size: int = 32,
    shards: int = 2,
    *,
    searched: bool = True,
    decided: bool = False,
    space: LabelSpace = SPACE,
    title: str = "Demo",
    copied: bool = False,
    parts: int | None = None,
    **cfg: int,
) -> SimpleNamespace:
    """A gallery of `count` pairs in `root`/results/report; with `copied`, pair 0 is a real patch under symmetry 5."""
    base = root / f"results/demo/{size}px"
    scenes = [{"scene": f'town "{row % 3}" <i>', "row": size * row, "column": 0} for row in range(30)]
    train = open_view([write_store(base / "real/train", scenes, size, 1, {}, space.count)])
    stream, folders, tables, judged = np.random.default_rng(3), [], [], []
    for shard in range(shards):
        first, last = bounds(shard, shards, count)
        scores = np.round(stream.uniform(0.2, 1, (last - first, 2)), 6)
        rows = [{"seed": 4, "index": first + row, "margin": score[0], "invalid": score[1] / 10} for row, score in enumerate(scores)]
        folders.append(write_store(base / f"cascade/shard-{shard:04d}", rows, size, 10 + shard, {"source": MADE}, space.count))
        tables.append(neighbours(root / f"neighbours-{shard}.csv", last - first, 30, 20 + shard))
        judged.append(decisions(root / f"decisions-{shard}.csv", first, last - first))
    if copied:
        images = np.lib.format.open_memmap(folders[0] / "images.npy", mode="r+")
        images[0] = turned(train.pair(7)[0], 5)
        images.flush()
        table = pd.read_csv(tables[0])
        # A patch is nearest to its own copy turned back: the inverse of symmetry 5 (transpose, then top-bottom) is 3.
        table.loc[0, ["feature_row", "feature_turn", "feature_distance"]] = [7, 3, 0.0]
        table.to_csv(tables[0], index=False)
    name = NAME.format(size=size)
    out = outputs(root / "results/report/gallery" / name, parts or max(1, -(-count // 200)))
    found = {"train": train, "neighbours": tables, "null": [neighbours(root / "null.csv", 120, 30, 99)]} if searched else {}
    found |= {"decisions": judged} if decided else {}
    card = packing.pack({"dataset": "demo", "source": "cascade"}, CFG | cfg, space, open_view(folders), out, **found)
    page = root / "results/report/gallery.html"
    document.write(page, title, [card])
    return SimpleNamespace(page=page, out=out, card=card, view=open_view(folders), train=train, name=name, neighbours=tables)
