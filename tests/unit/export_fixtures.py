"""Exports of small stores: many classes, ignored pixels, and everything beside the pairs."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.export.making import write_export
from satsynth.pairs import IGNORE, LabelSpace, StoreWriter, open_view
from satsynth.runtime import files
from satsynth.runtime.task import Task

CLASSES = 200
SPACE = LabelSpace(tuple(f"class {number}" for number in range(CLASSES)), tuple((number, 255 - number, 7) for number in range(CLASSES)))
SAMPLER = {"method": "ddim", "steps": 5}
SOURCE = {"weights": ["a" * 64], "samplers": [SAMPLER], "nfe": [5], "seed": 3, "block": 4}
GENERATOR = {
    **{"kind": "ddpm", "size": 16, "codes": "bits", "steps": 10, "images_seen": 40},
    "weights_sha256": "a" * 64,
}
CFG = {
    **{"folder": "results/exports/set", "dataset": "town", "source": "made", "size": 16, "ratio": 1, "real": False, "val": True},
    **{
        "measures": False,
        "webdataset": False,
        "parquet": False,
        "images_per_tar": 3,
        "licence": None,
        "generators": ["g"],
        "compile": False,
    },
}
FIDELITY = {
    **{"count": 5, "reference_count": 4, "fid": 1.5, "sfid": 2.5, "is": 1.25, "kid": 0.002, "precision": 0.5, "recall": 0.25},
    **{"density": 0.75, "coverage": 1.0, "class_js": 0.125, "presence_js": None},
}


def write_store(
    folder: Path, count: int, *, first: int | None = None, size: int = 16, classes: int = CLASSES, facts: dict | None = None
) -> Path:
    """Random pairs with every class and ignored pixels; a shard from absolute index `first` on, or real patches."""
    stream = np.random.default_rng(count + 100 * (first or 0) + 10**6 * (first is None))
    with StoreWriter(folder, size=size, classes=classes, facts=facts or ({} if first is None else {"source": SOURCE})) as writer:
        for number in range(count):
            mask = stream.integers(0, classes, (size, size)).astype(np.uint8)
            mask[stream.random((size, size)) < 0.1] = IGNORE
            row = (
                {"scene": "nan", "row": 16 * number, "column": 0}
                if first is None
                else {"seed": 3, "index": first + number, "margin": 1.0, "invalid": 0.0}
            )
            writer.append(stream.integers(0, 256, (size, size, 3)).astype(np.uint8), mask, **row)
    return folder


def neighbours(path: Path, count: int, distance: float) -> Path:
    frame = pd.DataFrame(
        {"row": range(count), "feature_row": range(count), "pixel_row": 1, "feature_distance": distance, "pixel_distance": 2.0}
    )
    text = io.StringIO()
    frame.to_csv(text, index=False)
    files.write_text(path, text.getvalue())
    return path


class World:
    """Two shards of five pairs in all, four real training and three validation patches in `folder`; exports of them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.shards = [write_store(folder / f"made/shard-000{shard}", count, first=first) for shard, count, first in ((0, 3, 0), (1, 2, 3))]
        self.real, self.val = write_store(folder / "real/train", 4), write_store(folder / "real/val", 3)
        files.write_json(folder / "classes.json", SPACE.to_json())
        files.write_json(folder / "generator.json", GENERATOR)

    def export(self, name: str = "set", threads: int = 2, given: dict | None = None, **changes: object) -> Path:
        """The folder of a new export."""
        cfg, place = {**CFG, **changes}, self.folder / name
        inputs = {
            "cards": [shard / "card.json" for shard in self.shards],
            "classes": [self.folder / "classes.json"],
            "generators": [self.folder / "generator.json"],
            **({"real_cards": [self.real / "card.json"]} if cfg["real"] else {}),
            **({"val_cards": [self.val / "card.json"]} if cfg["val"] else {}),
            **(self.measured() if cfg["measures"] else {}),
            **(given or {}),
        }
        wanted = ("train", *(part for part in ("val", "webdataset", "parquet") if cfg[part]))
        outputs = {part: place / part for part in wanted}
        outputs |= {
            "card": place / "README.md",
            "classes": place / "classes.json",
            "data": place / "data.yaml",
            "recipe": place / "recipe.json",
        }
        outputs |= {"mmsegmentation": place / "mmsegmentation.py", "preview": place / "preview.png"}
        place.mkdir()
        rest = {"rule": "export_pairs", "wildcards": {}, "code": {}, "raw": None, "gpus": 0, "device": "cpu", "log": None, "deadline": None}
        write_export(Task(input=inputs, output=outputs, declared=outputs, cfg=cfg, threads=threads, work=place, **rest))
        return place

    def measured(self) -> dict:
        """What is measured beside these pairs; CFG needs null_quantile and evaluator then."""
        for name, fid in (("made", 1.5), ("real", 0.5)):
            files.write_json(self.folder / f"{name}.json", FIDELITY | {"fid": fid})
        return {
            "neighbours": [neighbours(self.folder / f"{shard.name}.csv", count, 0.5) for shard, count in zip(self.shards, (3, 2))],
            "val_neighbours": [neighbours(self.folder / "val.csv", 3, 0.75)],
            "fidelity": [self.folder / "made.json", self.folder / "real.json"],
        }

    def pairs(self, split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """key -> image and mask, as the stores have them."""
        view = open_view(self.shards if split == "train" else [self.val])
        names = [f"{'made' if split == 'train' else 'real-val'}-{number:07d}" for number in range(len(view))]
        return {name: view.pair(number) for number, name in enumerate(names)}
