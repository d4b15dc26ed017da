"""Shards of augmented pairs: offline, one more pair an original in each unit of R (paper, Table 5)."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from satsynth.pairs import StoreWriter, open_view
from satsynth.randomness import numpy_stream
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError
from satsynth.runtime.logs import Progress


def make_shard(folders: Sequence[str | Path], folder: Path, cfg: dict, first: int, last: int) -> None:
    """Make pairs `first` to `last - 1` and write them as a store. Pair i augments row i mod N and is a function of (seed, i) alone.

    Args:
        folders: stores of the real training pairs, joined in this order to N rows.
        folder: where the store goes. Columns of its index: pair, seed, index (absolute), original (row), and the facts of the method. Its
            card carries `source`, with the hashes of the real stores' cards as `parents`.
        cfg: `augment` (a module of this package), `seed`, `options` (of that module) and `background` (a class id, or None where every
            class is foreground).
        first: absolute index of the first pair.
        last: one past the last.

    Raises:
        ConfigError: an unknown method, options that cannot be used, a background that is no class, or an empty range.
        StoreError: a real store cannot be read, or the stores do not fit together.
    """
    pairs = open_view(folders)
    method = _method(cfg, pairs.classes, first, last)
    cfg = {**cfg, "prepared": method.prepare(pairs, cfg)}
    source = {name: cfg[name] for name in ("augment", "options", "background", "seed")}
    source |= {"first": first, "parents": [files.sha256(store.folder / "card.json") for store in pairs.stores]}
    progress = Progress("augmenting", last - first, "pairs")
    with StoreWriter(folder, size=pairs.size, classes=pairs.classes, facts={"source": source}) as writer:
        for index in range(first, last):
            row = index % len(pairs)
            stream = numpy_stream(cfg["seed"], "augment", cfg["augment"], index)
            image, mask, facts = method.augment(pairs, row, stream, cfg)
            writer.append(image, mask, seed=cfg["seed"], index=index, original=row, **facts)
            progress.update(index + 1 - first)


def _method(cfg: dict, classes: int, first: int, last: int) -> ModuleType:
    """The module that cfg["augment"] names, if it can be used as the config wants."""
    if not 0 <= first < last:
        raise ConfigError("shards", f"pairs {first} to {last - 1} are no range.", "Use fewer shards than pairs.")
    background = cfg["background"]
    if background is not None and not 0 <= background < classes:
        raise ConfigError("background", f"{background} is no class of {classes}.", f"Give an id from 0 to {classes - 1}, or null.")
    name = f"{__package__}.{cfg['augment']}"
    method = import_module(name) if find_spec(name) else None
    if not hasattr(method, "augment"):
        raise ConfigError("augment", f"there is no augmentation '{cfg['augment']}'.", f"Name a module of {__package__} that has one.")
    if wrong := set(method.OPTIONS) ^ set(cfg["options"]):
        cause = f"{', '.join(sorted(wrong))}: missing, or no option of {cfg['augment']}."
        raise ConfigError("options", cause, f"Give exactly {', '.join(method.OPTIONS)}.")
    return method
