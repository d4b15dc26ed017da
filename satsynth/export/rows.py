"""What an export says of every pair: a row of plain values, of one type a column, in every split and form alike.

Readers guess the type of a column from its first rows, and a gap changes the guess. So no value is ever missing: a number that is not
known, or that a pair cannot have, is -1, and such a text is "-".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.pairs import IGNORE, Store
from satsynth.runtime.errors import StoreError

NO_NUMBER, NO_TEXT = -1, "-"
REAL, UNFILTERED = "real", "unfiltered"  # decisions on pairs that nobody had to judge
FILES = {"file_name": str, "mask_file_name": str}
FACTS = {
    **{"synthetic": bool, "source": str, "index": int, "shard": int, "patch": str},
    **{"seed": int, "block": int, "weights": str, "sampler": str, "nfe": int},
    **{"margin": float, "invalid": float},
    **{"neighbour": int, "neighbour_distance": float, "neighbour_pixels": int, "neighbour_pixels_distance": float},
    **{"decision": str, "masked": float, "judged_distance": float, "reasons": str},
}
# Column of the file of nearest training patches -> ours.
SEARCHED = {
    "feature_row": "neighbour",
    "feature_distance": "neighbour_distance",
    "pixel_row": "neighbour_pixels",
    "pixel_distance": "neighbour_pixels_distance",
}
JUDGED = ("decision", "masked", "judged_distance", "reasons")  # margin and invalid are those of the store
HASH_DIGITS = 12


@dataclass(frozen=True)
class Part:
    """A store that goes into one split.

    Args:
        folder: the store.
        name: what its files are called after: the source, or real-train and real-val.
        synthetic: whether a source made it.
        shard: its number; -1 for real pairs.
        neighbours: CSV file of `satsynth.segmentation.memorisation.find`, or None.
        decisions: CSV file with a row a pair that was judged (see `satsynth.selection.admission.admit`), or None.
    """

    folder: Path
    name: str
    synthetic: bool
    shard: int = NO_NUMBER
    neighbours: Path | None = None
    decisions: Path | None = None


def columns(names: tuple[str, ...]) -> dict[str, type]:
    """Column -> type of a row of `metadata.csv`, in order; the last ones count the pixels of every class, and those to be ignored."""
    return {**FILES, **FACTS, **{f"pixels_{name}": int for name in (*names, "ignore")}}


def key(part: Part, index: int) -> str:
    """The name of a pair's files: the part and the absolute index."""
    return f"{part.name}-{index:07d}"


def describe(part: Part, store: Store) -> pd.DataFrame:
    """The facts of every pair of a store, in its order: the columns of `FACTS`.

    Raises:
        StoreError: a file beside the store is not about its pairs.
    """
    known, count = store.index, len(store)
    index = known["index"] if part.synthetic else known["pair"]
    made = store.card.get("source", {})
    values: dict[str, object] = {
        **{"synthetic": part.synthetic, "source": part.name, "index": index, "shard": part.shard, "patch": _patches(known)},
        **{"seed": known.get("seed", NO_NUMBER), "block": made.get("block", NO_NUMBER)},
        **{"weights": weights_text(made), "sampler": sampler_text(made), "nfe": sum(made.get("nfe", [0]))},
        **{"decision": UNFILTERED if part.synthetic else REAL, "masked": 0.0, "reasons": NO_TEXT},
    }
    values |= {name: known[name] for name in ("margin", "invalid") if name in known}
    values |= _searched(part, count) | _judged(part, index)
    unknown = {name: NO_TEXT if kind is str else NO_NUMBER for name, kind in FACTS.items()}
    return pd.DataFrame({name: values.get(name, default) for name, default in unknown.items()}, index=range(count)).fillna(unknown)


def rows(frame: pd.DataFrame) -> Iterator[dict]:
    """The rows of `describe` as dicts of bool, int, float and str."""
    kinds = list(FACTS.items())
    for values in frame.itertuples(index=False, name=None):
        yield {name: kind(value) for (name, kind), value in zip(kinds, values)}


def counts(mask: np.ndarray, names: tuple[str, ...]) -> dict[str, int]:
    """Pixels of every class of a mask (H,W) uint8, and those to be ignored, by column."""
    pixels = np.bincount(mask.ravel(), minlength=IGNORE + 1).tolist()
    return {f"pixels_{name}": pixels[number] for number, name in [*enumerate(names), (IGNORE, "ignore")]}


def weights_text(made: Mapping) -> str:
    """The networks behind a pair: the first digits of their weights' SHA-256, joined by "+"; `recipe.json` has them whole."""
    hashes = made.get("weights")
    return "sha256:" + "+".join(digest[:HASH_DIGITS] for digest in hashes) if hashes else NO_TEXT


def sampler_text(made: Mapping) -> str:
    """How each was sampled, in two words a network; an augmentation by its name."""
    samplers = made.get("samplers")
    if not samplers:
        return made.get("augment", NO_TEXT)
    return "+".join(
        f"{sampler['method']} {sampler['steps']}" if "method" in sampler else " ".join(f"{key} {value}" for key, value in sampler.items())
        for sampler in samplers
    )


def _patches(known: pd.DataFrame) -> list[str] | str:
    """Where real pairs were cut: scene, row and column of the upper left pixel. Synthetic ones lie nowhere."""
    if not {"scene", "row", "column"} <= set(known.columns):
        return NO_TEXT
    places = zip(known["scene"].tolist(), known["row"].tolist(), known["column"].tolist())
    return [f"{scene} row {row} column {column}" for scene, row, column in places]


def _searched(part: Part, count: int) -> dict[str, pd.Series]:
    if part.neighbours is None:
        return {}
    found = pd.read_csv(part.neighbours)
    if found["row"].tolist() != list(range(count)):
        raise StoreError(part.neighbours, f"it is not about the {count} pairs of {part.folder}.", "Delete it and run again.")
    return {ours: found[theirs] for theirs, ours in SEARCHED.items()}


def _judged(part: Part, index: pd.Series) -> dict[str, np.ndarray]:
    """Of an admitted source: what was decided on each pair, and by what."""
    if part.decisions is None:
        return {}
    found = pd.read_csv(part.decisions, keep_default_na=False, na_values=["nan", ""]).set_index("index")
    if not found.index.is_unique or not set(index) <= set(found.index):
        raise StoreError(part.decisions, f"it does not judge every pair of {part.folder} once.", "Delete it and run again.")
    found = found.loc[index.tolist()].rename(columns={"distance": "judged_distance"})
    return {name: found[name].to_numpy() for name in JUDGED}
