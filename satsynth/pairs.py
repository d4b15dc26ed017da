"""Pairs and the store that holds them: the one thing that flows through the whole project.

A store is a folder of four files: `images.npy` (N,H,W,3 uint8), `masks.npy` (N,H,W uint8), `index.csv` (a row a pair) and
`card.json` (count, size, classes, content hashes; content only: no time, host, path or version). The card is written last, so
a folder without a fitting card is no store.
"""

import bisect
import contextlib
import functools
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.runtime import files
from satsynth.runtime.errors import CardError, ConfigError, StoreError

IGNORE = 255
HATCH = (225, 225, 225), (95, 95, 95)  # ground and lines of what is unlabelled, in pictures of masks
FORMAT = 1
AGAIN = "Delete the folder and run again; finished work comes back from results/state."
FILES = ("images.npy", "masks.npy", "index.csv", "card.json")


@dataclass(frozen=True)
class LabelSpace:
    """Names and display colours of the classes; the class id is the position. 255 means "ignore" everywhere."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= 255:
            raise ConfigError("classes", f"{len(self.names)} classes are given.", "Give 2 to 255 classes.")
        if len(set(self.names)) != len(self.names):
            raise ConfigError("classes", "a class name stands twice.", "Give every class a name of its own.")
        if len(self.colours) != len(self.names):
            raise ConfigError("classes", f"{len(self.colours)} colours for {len(self.names)} classes.", "Give one colour a class.")

    @property
    def count(self) -> int:
        """K, the number of classes."""
        return len(self.names)

    def paint(self, masks: np.ndarray) -> np.ndarray:
        """Masks (...,H,W) uint8 -> colours (...,H,W,3) uint8; ignore pixels are hatched, since a class may be black or of any grey."""
        table = np.zeros((256, 3), np.uint8)
        table[: self.count] = self.colours
        colours, ignored = table[masks], masks == IGNORE
        if ignored.any():
            down, across = np.indices(masks.shape[-2:])
            lines = np.asarray(HATCH, np.uint8)[((down + across) % 6 < 2).astype(int)]
            colours = np.where(ignored[..., None], lines, colours)
        return colours

    def to_json(self) -> dict:
        """A plain dict that `from_json` reads."""
        return {"names": list(self.names), "colours": [list(colour) for colour in self.colours]}

    @classmethod
    def from_json(cls, value: dict) -> "LabelSpace":
        """Read what `to_json` gave."""
        return cls(tuple(value["names"]), tuple(tuple(colour) for colour in value["colours"]))


@dataclass(frozen=True)
class Store:
    """An open store. `images` and `masks` are memory-mapped and read-only."""

    folder: Path
    images: np.ndarray
    masks: np.ndarray
    index: pd.DataFrame
    card: dict

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of a pair in pixels."""
        return self.card["size"]

    @property
    def classes(self) -> int:
        """K of the label space that the masks use."""
        return self.card["classes"]

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = False) -> "Store":
        """Open a store; with `verify`, compare the content hashes too.

        Raises:
            StoreError: a file is missing, or the four files do not fit together.
        """
        folder = Path(folder)
        for name in FILES:
            if not (folder / name).is_file():
                raise StoreError(folder / name, "this file of the store is missing.", AGAIN)
        card = _read_card(folder / "card.json")
        if verify:
            for name in FILES[:-1]:
                if files.sha256(folder / name) != card["sha256"][name]:
                    raise StoreError(folder / name, "the content is not what the card says.", AGAIN)
        images, masks = _mapped(folder / "images.npy"), _mapped(folder / "masks.npy")
        index = _read_index(folder / "index.csv")
        count, size = card["count"], card["size"]
        shapes = (images.shape, masks.shape, len(index), images.dtype, masks.dtype)
        if shapes != ((count, size, size, 3), (count, size, size), count, np.uint8, np.uint8):
            raise StoreError(folder, f"card and arrays disagree (card: {count} pairs of {size} px; files: {shapes[:3]}).", AGAIN)
        if index["pair"].tolist() != list(range(count)):
            raise StoreError(folder / "index.csv", "its column pair does not count the pairs from 0.", AGAIN)
        return cls(folder, images, masks, index, card)


def _read_card(path: Path) -> dict:
    """A store's card, of which everything that this module reads is of its type."""
    try:
        card = files.read_json(path)
    except CardError as error:
        raise StoreError(path, f"the card cannot be read: {error.cause}", AGAIN) from error
    except OSError as error:
        raise StoreError(path, f"the card cannot be read ({error.strerror}).", AGAIN) from error
    if card.get("format") != FORMAT:
        raise StoreError(path, f"format {card.get('format')} is not {FORMAT}.", AGAIN)
    for key, lowest, highest in (("count", 0, None), ("size", 1, None), ("classes", 2, 255)):
        value = card.get(key)
        if type(value) is not int or value < lowest or (highest is not None and value > highest):
            kind = f"a whole number of {lowest} or more" if highest is None else f"a whole number from {lowest} to {highest}"
            raise StoreError(path, f"{key} is {value!r:.60}, not {kind}.", AGAIN)
    hashes, source = card.get("sha256"), card.get("source", {})
    if not isinstance(hashes, dict) or not all(isinstance(hashes.get(name), str) for name in FILES[:-1]):
        raise StoreError(path, f"sha256 does not give a hash of each of {', '.join(FILES[:-1])}.", AGAIN)
    if not isinstance(source, dict):
        raise StoreError(path, f"source is a {type(source).__name__}, not a map.", AGAIN)
    return card


def _mapped(path: Path) -> np.ndarray:
    """A .npy file as a read-only memory map: no memory is taken for what its header claims, nothing is unpickled or unpacked."""
    try:
        with np.errstate(over="ignore"):  # of a claimed size; numpy finds that the file is too short for it
            return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a damaged header surfaces as anything from TokenError to OverflowError
        cause = f"the array cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})."
        raise StoreError(path, cause, AGAIN) from error


def _read_index(path: Path) -> pd.DataFrame:
    """The rows of a store's pairs; a scene is text, even where it is named nan or 007."""
    try:
        index = pd.read_csv(path, keep_default_na=False, na_values=["nan"], dtype={"scene": str}, encoding="utf-8")
    except (ValueError, OverflowError, OSError) as error:
        raise StoreError(path, f"the index cannot be read ({' '.join(str(error).split())[:200]}).", AGAIN) from error
    if "pair" not in index:
        raise StoreError(path, "it has no column pair.", AGAIN)
    return index.fillna({"scene": "nan"}) if "scene" in index else index


class StoreWriter:
    """Writes a store pair by pair, so that a large set is never held in memory.

    Args:
        folder: where the four files go; nothing of them is visible before `close`.
        size: side of the pairs in pixels.
        classes: K; a mask value that is neither below K nor 255 is refused.
        facts: further keys of the card (content only).
    """

    def __init__(self, folder: str | Path, *, size: int, classes: int, facts: dict | None = None):
        self.folder, self.size, self.classes, self.facts = Path(folder), size, classes, facts or {}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict] = []
        self.class_pixels = np.zeros(256, np.int64)
        self.class_pairs = np.zeros(256, np.int64)
        # The stack closes the files and then either publishes both arrays or removes what was written of them.
        self._stack = contextlib.ExitStack()
        self._paths = {name: self._stack.enter_context(files.replacing(self.folder / name)) for name in FILES[:2]}
        self._files = {name: open(path, "w+b") for name, path in self._paths.items()}  # noqa: SIM115 (closed in _close)
        self._stack.callback(self._close)
        self._write_headers()

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind, error, trace) -> bool | None:
        if kind is None:
            self.close()
            return None
        return self._stack.__exit__(kind, error, trace)

    def _close(self) -> None:
        failures = []
        for file in self._files.values():
            try:
                file.close()
            except OSError as error:  # a full disk shows when buffers are flushed; the other file must be closed too
                failures.append(error)
        if failures:
            raise failures[0]

    def _write_headers(self) -> None:
        # numpy pads the header for a growing first axis, so the final count fits where 0 stood.
        for name, file in self._files.items():
            shape = (len(self.rows), self.size, self.size) + ((3,) if name == "images.npy" else ())
            file.seek(0)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})

    def append(self, image: np.ndarray, mask: np.ndarray, **row: object) -> None:
        """Add one pair: image (H,W,3) uint8, mask (H,W) uint8, and what its maker knows of it."""
        if image.shape != (self.size, self.size, 3) or mask.shape != (self.size, self.size):
            raise StoreError(self.folder, f"a pair of shapes {image.shape} and {mask.shape} does not fit {self.size} px.", "Tile again.")
        if image.dtype != np.uint8 or mask.dtype != np.uint8:
            raise StoreError(self.folder, f"a pair is {image.dtype} and {mask.dtype}, not uint8.", "Scale it to 8 bits first.")
        pixels = np.bincount(mask.ravel(), minlength=256)
        if pixels[self.classes : IGNORE].any():
            value = self.classes + int(np.flatnonzero(pixels[self.classes : IGNORE])[0])
            raise StoreError(self.folder, f"a mask holds {value}, but there are {self.classes} classes.", "Mend label_map or classes.")
        self.class_pixels += pixels
        self.class_pairs += pixels > 0
        self._files["images.npy"].write(np.ascontiguousarray(image))
        self._files["masks.npy"].write(np.ascontiguousarray(mask))
        self.rows.append(row)

    def close(self) -> dict:
        """Publish the store and return its card."""
        with self._stack:
            self._write_headers()
            self._close()
            hashes = {name: files.sha256(path) for name, path in self._paths.items()}
        table = pd.DataFrame(self.rows)
        table.insert(0, "pair", range(len(table)))
        text = io.StringIO()
        table.to_csv(text, index=False, lineterminator="\n")
        files.write_text(self.folder / "index.csv", text.getvalue())
        hashes["index.csv"] = hashlib.sha256(text.getvalue().encode()).hexdigest()
        card = {
            **self.facts,
            "format": FORMAT,
            "count": len(self.rows),
            "size": self.size,
            "classes": self.classes,
            "class_pixels": self.class_pixels[: self.classes].tolist(),
            "class_pairs": self.class_pairs[: self.classes].tolist(),
            "ignore_pixels": int(self.class_pixels[IGNORE]),
            "sha256": hashes,
        }
        files.write_json(self.folder / "card.json", card)
        return card


@dataclass(frozen=True)
class View:
    """Several stores read as one, in the order given; nothing is copied to join them."""

    stores: tuple[Store, ...]

    def __post_init__(self) -> None:
        if not self.stores:
            raise StoreError("view", "no store is given.", "Name at least one store.")
        first = self.stores[0]
        for other in self.stores[1:]:
            if (other.size, other.classes) != (first.size, first.classes):
                raise StoreError(
                    other.folder,
                    f"{other.size} px and {other.classes} classes do not fit {first.folder} ({first.size} px, {first.classes}).",
                    "Join stores of one dataset and size only.",
                )

    def __len__(self) -> int:
        return sum(len(store) for store in self.stores)

    @property
    def size(self) -> int:
        """Side of a pair in pixels."""
        return self.stores[0].size

    @property
    def classes(self) -> int:
        """K of the label space."""
        return self.stores[0].classes

    @functools.cached_property
    def _places(self) -> tuple[list[int], list[tuple[np.ndarray, np.ndarray]]]:
        """Where each store begins, and its arrays as plain ones over the mapped files: indexing a memory map costs more than a patch."""
        starts = np.cumsum([0] + [len(store) for store in self.stores]).tolist()
        return starts, [(np.asarray(store.images), np.asarray(store.masks)) for store in self.stores]

    def pair(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H,W,3) and mask (H,W), uint8, of one row of the joined set: read-only views of the mapped files."""
        starts, arrays = self._places
        if not 0 <= row < starts[-1]:
            raise IndexError(f"row {row} of a view of {starts[-1]} pairs")
        number = bisect.bisect_right(starts, row) - 1
        images, masks = arrays[number]
        return images[row - starts[number]], masks[row - starts[number]]

    def gather(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images (B,H,W,3) and masks (B,H,W), uint8, of the given rows of the joined set."""
        images = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        masks = np.empty((len(rows), self.size, self.size), np.uint8)
        # Pair by pair: numpy's assignment to many rows at once moves single bytes and is twenty times slower.
        for place, row in enumerate(np.asarray(rows).tolist()):
            images[place], masks[place] = self.pair(row)
        return images, masks


def open_view(folders: Sequence[str | Path]) -> View:
    """Open stores as one view.

    Raises:
        StoreError: a store cannot be opened, the stores do not fit one another, or shards of one source were not made alike (see
            `check_one_origin`).
    """
    view = View(tuple(Store.open(folder) for folder in folders))
    check_one_origin(view.stores)
    return view


def check_one_origin(stores: Sequence[Store]) -> None:
    """Refuse shards of one generated source that were not made alike: by other weights, samplers, seed or blocks.

    Args:
        stores: in any order. Shards of one source lie side by side in one folder, and their cards carry `source` with its weights (see
            `satsynth.diffusion.sampling.sample_shard`); stores that no generator made are passed over.

    Raises:
        StoreError: two shards of a folder differ; the message says in what.
    """
    known: dict[Path, Store] = {}
    for store in stores:
        made = store.card.get("source", {})
        if "weights" not in made:
            continue
        other = known.setdefault(store.folder.absolute().parent, store)
        facts = other.card["source"]
        differing = [name for name in ("weights", "samplers", "seed", "block") if made.get(name) != facts.get(name)]
        if differing:
            cause = f"its {', '.join(differing)} differ from those of {other.folder}, a shard of the same source."
            raise StoreError(store.folder, cause, "Sample all shards of the source with one generator.")


def bounds(shard: int, shards_per_unit: int, count: int) -> tuple[int, int]:
    """Absolute pair indices [first, last) of a shard.

    A unit of the resampling ratio R holds `count` pairs in `shards_per_unit` shards; shards are numbered on through the units,
    so a larger R adds shards and moves none.

    Args:
        shard: number of the shard, from 0.
        shards_per_unit: S.
        count: N, pairs in the real training set.

    Raises:
        ConfigError: the numbers make no range.
    """
    if shard < 0 or shards_per_unit < 1 or count < 1:
        cause = f"shard {shard}, {shards_per_unit} shards a unit and {count} pairs make no range."
        raise ConfigError("shards", cause, "Give shards >= 1 and a store that holds pairs.")
    return shard * count // shards_per_unit, (shard + 1) * count // shards_per_unit
