"""One split of an export: `images/`, `masks/` and `metadata.csv`, and the same pairs in archives where they are wanted.

Threads encode and write some pairs at a time (libvips and the file system work outside of Python's lock); the caller's thread writes the
rows, and the archives, in the order of the pairs. Memory is that of the pairs under way, however many there are.
"""

import contextlib
import csv
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from satsynth.export import rows
from satsynth.export.encoding import encode_image, encode_mask
from satsynth.export.rows import Part
from satsynth.pairs import Store
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError
from satsynth.runtime.logs import Progress

CHUNK = 16  # pairs that a thread takes at a time
AHEAD = 3  # chunks a thread that are encoded or wait to be written


@dataclass(frozen=True)
class Pair:
    """One pair on its way: its key, its row, and both files as bytes."""

    key: str
    row: dict
    image: bytes
    mask: bytes


class Archive(Protocol):
    """What takes pairs in order, beside the tree (see `satsynth.export.archives`)."""

    def add(self, pair: Pair) -> None:
        """Write one pair."""


@dataclass
class Totals:
    """What was written: pairs, bytes of the PNG files, and pairs and pixels by column of the counted classes."""

    pairs: int = 0
    bytes: int = 0
    pixels: dict[str, int] = field(default_factory=dict)
    holding: dict[str, int] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        self.pairs += 1
        self.bytes += len(pair.image) + len(pair.mask)
        for name, value in pair.row.items():
            if name.startswith("pixels_"):
                self.pixels[name] = self.pixels.get(name, 0) + value
                self.holding[name] = self.holding.get(name, 0) + (value > 0)
        self.decisions[pair.row["decision"]] = self.decisions.get(pair.row["decision"], 0) + 1


def write_split(folder: Path, parts: Sequence[Part], names: tuple[str, ...], *, threads: int, archives: Sequence[Archive] = ()) -> Totals:
    """Write a split; the folder must be new.

    Args:
        folder: gets `images/KEY.png` (RGB), `masks/KEY.png` (8-bit grey class ids, 255: ignore) and `metadata.csv` (a row a pair, see
            `satsynth.export.rows`; files by their paths below `folder`).
        parts: stores, in the order in which their pairs are written.
        names: of the classes.
        threads: that encode at the same time.
        archives: take every pair too.

    Raises:
        StoreError: a store cannot be used, or has other classes than `names`, or two pairs have one name.
    """
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    opened = [(part, Store.open(part.folder)) for part in parts]
    for part, store in opened:
        if store.classes != len(names):
            cause = f"its masks are of {store.classes} classes, and {len(names)} are named."
            raise StoreError(part.folder, cause, "Make it again for this dataset.")
    count = sum(len(store) for _, store in opened)
    progress, totals = Progress(f"writing {folder.name}", count, "pairs"), Totals()
    with contextlib.ExitStack() as stack:
        partial = stack.enter_context(files.replacing(folder / "metadata.csv"))
        file = stack.enter_context(open(partial, "w", encoding="utf-8", newline=""))
        table = csv.DictWriter(file, rows.columns(names), lineterminator="\n")
        table.writeheader()
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        for pair in _in_order(pool, _chunks(folder, opened, names), AHEAD * threads):
            table.writerow({name: _text(value) for name, value in pair.row.items()})
            for archive in archives:
                archive.add(pair)
            totals.add(pair)
            progress.update(totals.pairs)
    return totals


def _text(value: object) -> object:
    """A value as the table holds it: floats keep a point, so that a column of whole ones is not taken for integers."""
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else value


def _chunks(folder: Path, opened: Sequence[tuple[Part, Store]], names: tuple[str, ...]) -> Iterator[Callable[[], list[Pair]]]:
    """Calls that encode and write some pairs each."""
    for part, store in opened:
        if not len(store):
            continue  # nothing of it was admitted, and its table has no columns
        described = enumerate(rows.rows(rows.describe(part, store)))
        while chosen := list(itertools.islice(described, CHUNK)):
            yield lambda chosen=chosen, part=part, store=store: [_write(folder, part, store, names, *row) for row in chosen]


def _write(folder: Path, part: Part, store: Store, names: tuple[str, ...], number: int, facts: dict) -> Pair:
    key, mask = rows.key(part, facts["index"]), store.masks[number]
    pair = Pair(
        key=key,
        row={"file_name": f"images/{key}.png", "mask_file_name": f"masks/{key}.png", **facts, **rows.counts(mask, names)},
        image=encode_image(store.images[number]),
        mask=encode_mask(mask),
    )
    for name, content in ((pair.row["file_name"], pair.image), (pair.row["mask_file_name"], pair.mask)):
        try:
            with open(folder / name, "xb") as file:
                file.write(content)
        except FileExistsError as error:
            raise StoreError(part.folder, f"two pairs are called {key}.", "Make the shards of this source again.") from error
    return pair


def _in_order(pool: ThreadPoolExecutor, calls: Iterator[Callable[[], list[Pair]]], ahead: int) -> Iterator[Pair]:
    """What the calls give, in their order, with no more than `ahead` of them under way."""
    waiting: deque[Future] = deque()
    try:
        for call in calls:
            waiting.append(pool.submit(call))
            if len(waiting) >= ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for future in waiting:  # after an error: nothing more is begun
            future.cancel()
