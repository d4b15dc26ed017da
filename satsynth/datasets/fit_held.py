"""Cutting a training store in two by scene: `fit` to tune on, `held` to score what is tuned."""

from pathlib import Path

import pandas as pd

from satsynth.datasets.scenes import drawn
from satsynth.pairs import Store, StoreWriter


def cut(store_folder: Path, fit_folder: Path, held_folder: Path, cfg: dict) -> None:
    """Write the pairs of the scenes drawn for `held` to one store and all others to `fit`, in the order of the parent.

    The draw depends on scene names and seed only, so stores of one dataset at several sizes are cut alike.

    Args:
        store_folder: a store whose index has a column `scene`.
        fit_folder: where the larger store goes.
        held_folder: where the smaller one goes.
        cfg: `held`, the share of scenes (0..1), and `seed`.

    Raises:
        DataError: the store has fewer than two scenes. StoreError: it cannot be read.
    """
    store = Store.open(store_folder)
    # Text, since a scene may be named 007.
    index = pd.read_csv(store.folder / "index.csv", dtype=str, keep_default_na=False)
    held = drawn(index["scene"], cfg["held"], cfg["seed"], "held")
    inherited = {key: store.card[key] for key in ("patch", "stride", "remainder") if key in store.card}
    parent = store.card["sha256"]["index.csv"]
    for split, folder in (("fit", fit_folder), ("held", held_folder)):
        rows = [row for row in range(len(store)) if (index["scene"][row] in held) == (split == "held")]
        names = set(index["scene"][rows])
        facts = {**inherited, "split": split, "scenes": len(names), "parent": parent}
        with StoreWriter(folder, size=store.size, classes=store.classes, facts=facts) as writer:
            for row in rows:
                known = index.iloc[row].drop("pair").to_dict()
                writer.append(store.images[row], store.masks[row], **known, parent_pair=row)
