"""The files of one source in the gallery: its numbers, and its pictures in parts that a browser reads as they come into view."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.metrics.memorisation import calibrated
from satsynth.pairs import LabelSpace, Store, View, bounds, open_view
from satsynth.reporting.gallery import pictures
from satsynth.reporting.gallery.decisions import Decisions
from satsynth.runtime import files
from satsynth.runtime.errors import DataError, StoreError
from satsynth.runtime.logs import Progress
from satsynth.runtime.task import Task

KINDS = ("feature", "pixel")
SEARCHED = ("row", "feature_distance", "feature_row", "feature_turn", "feature_ratio", "pixel_distance", "pixel_row")
STRIP = 12  # pairs of the strip that the report shows
NEAREST = 12  # pairs nearest to a real one, of which the report says what they hold
AGAIN = "Search the neighbours again."
log = logging.getLogger(__name__)


def write_run(task: Task) -> None:
    """Write the files of one source, from what the job was given.

    Of `task`: input classes, cards (of the shards, in order), where they were searched neighbours, null and train_cards, and decisions
    where there are admissions; cfg as `pack` has it; wildcards dataset and source; output as `pack` has it.
    """
    given = {name: [Path(path) for path in paths] for name, paths in task.input.items()}
    folders = [path.parent for path in given["cards"]]
    train = [path.parent for path in given.get("train_cards", [])]
    pack(
        {name: task.wildcards[name] for name in ("dataset", "source")},
        task.cfg,
        LabelSpace.from_json(files.read_json(given["classes"][0])),
        open_view(folders),
        task.output,
        train=open_view(train) if train else None,
        neighbours=given.get("neighbours", ()),
        null=given.get("null", ()),
        decisions=given.get("decisions", ()),
    )


def pack(
    place: Mapping[str, str],
    cfg: Mapping,
    space: LabelSpace,
    view: View,
    out: Mapping[str, Path | Sequence[Path]],
    *,
    train: View | None = None,
    neighbours: Sequence[Path] = (),
    null: Sequence[Path] = (),
    decisions: Sequence[Path] = (),
) -> dict:
    """Write numbers and pictures of the first pairs of a source, by index: none is chosen by hand.

    Args:
        place: dataset and source, as they are called.
        cfg: pairs (how many at most), tile (largest side of a small picture, in pixels), quality (of WebP, 1 to 100), quantile (of the null
            distances that makes the threshold, in (0, 1)).
        space: names and colours of the classes.
        view: the source's shards in order, as one.
        out: tiles, pairs and real (lists of as many files each), numbers, strip, card: the files to write.
        train: the real training pairs; None where nothing was searched.
        neighbours: a CSV of `satsynth.segmentation.memorisation.find` for each shard.
        null: those of held-out real patches.
        decisions: a CSV of an admission for each of some shards; see `satsynth.reporting.gallery.decisions`.

    Returns:
        What was written to `out["card"]`: dataset, source, name (of the folder), size, shown, total; copies, of all pairs of these shards
        (None where nothing was searched): quantile, and for feature and pixel the fields of `satsynth.metrics.memorisation.Calibration`;
        nearest, of the shown pairs that lie nearest by features (None likewise, and where they have no labelled pixel): pairs (how many),
        class (the commonest in them), share (of it in their labelled pixels), shown (of it in those of all pairs that are shown);
        decisions (word -> count).

    Raises:
        DataError: a table of neighbours or decisions lacks a column or a pair.
        StoreError: stores and tables do not fit one another.
    """
    kept = min(cfg["pairs"], len(view))
    if kept == 0:
        raise StoreError(view.stores[0].folder, "there is no pair to show.", "Sample the source again.")
    name = out["card"].parent.name
    index = _index(view, kept)
    found = _neighbours(neighbours, view, train)
    used = np.unique(found["feature_row"].to_numpy()[:kept]) if found is not None else np.zeros(0, int)
    judged = Decisions.read(decisions, index["index"])
    numbers = {
        **_facts(place, view, kept),
        "classes": [{"name": word, "colour": colour} for word, colour in zip(space.names, space.colours)],
        "starts": _starts(len(out["pairs"]), kept),
        "realStarts": _starts(len(out["real"]), len(used)),
        "columns": {**index.to_dict("list"), **judged.columns()},
    }
    copies = None
    if found is not None:
        limits = {kind: calibrated(found[f"{kind}_distance"], _distances(null, kind), cfg["quantile"]) for kind in KINDS}
        numbers["columns"] |= _searched(found.iloc[:kept], used)
        numbers["real"] = _real(train, used)
        numbers["thresholds"] = {kind: limit.threshold for kind, limit in limits.items()}
        copies = {"quantile": cfg["quantile"], **{kind: limit._asdict() for kind, limit in limits.items()}}
    numbers["columns"]["pixels"] = _draw(name, cfg, space, view, kept, out)
    if train is not None:
        _draw_real(name, cfg, space, train, used, out["real"])
    else:
        for number, path in enumerate(out["real"]):
            _write(path, name, "real", number, {"images": [], "masks": []})
    _write(out["numbers"], name, "numbers", 0, _plain(numbers))
    pictures.strip(view, space, min(STRIP, kept), out["strip"])
    card = {**place, "name": name, "size": view.size, "shown": kept, "total": len(view), "copies": copies, "decisions": judged.counts()}
    card["nearest"] = _nearest(numbers["columns"], space) if found is not None else None
    files.write_json(out["card"], card)
    log.info("%s: %d of %d pairs, %d of the nearest training patches", name, kept, len(view), len(used))
    return card


def _facts(place: Mapping[str, str], view: View, kept: int) -> dict:
    """What all pairs of a place have in common, and where its shards begin."""
    made = view.stores[0].card.get("source", {})
    starts = np.cumsum([0, *(len(store) for store in view.stores)])
    shards = [{"path": _path(store), "start": int(start)} for store, start in zip(view.stores, starts) if start < kept]
    own = {key: made[key] for key in ("weights", "samplers", "nfe", "block", "augment") if key in made}
    return {**place, "size": view.size, "count": kept, "total": len(view), "shards": shards, "made": own}


def _path(store: Store) -> str:
    """results/{dataset}/{size}px/{source}/{shard}, as the workflow calls it, wherever the job runs."""
    return "/".join(["results", *store.folder.absolute().parts[-4:]])


def _starts(count: int, total: int) -> list[int]:
    return [bounds(number, count, total)[0] for number in range(count)] + [total] if total else [0] * (count + 1)


def _index(view: View, kept: int) -> pd.DataFrame:
    """Index, seed, margin, invalid and original of the first pairs, as far as the shards' indices have them."""
    tables = [store.index.assign(row=range(len(store))) for store in view.stores]
    table = pd.concat(tables, ignore_index=True).iloc[:kept]
    if "index" not in table:
        table = table.assign(index=np.arange(kept))
    return table[[name for name in ("index", "row", "seed", "margin", "invalid", "original") if name in table]]


def _neighbours(paths: Sequence[Path], view: View, train: View | None) -> pd.DataFrame | None:
    if train is None:
        return None
    View((*train.stores, *view.stores))  # refuses stores that do not fit one another
    if len(paths) != len(view.stores):
        cause = f"{len(view.stores)} shards come with {len(paths)} files of neighbours."
        raise StoreError(view.stores[0].folder, cause, "Give one file of neighbours for each shard.")
    return pd.concat([_read(path, store, len(train)) for path, store in zip(paths, view.stores)], ignore_index=True)


def _read(path: Path, store: Store, trained: int) -> pd.DataFrame:
    table = pd.read_csv(path)
    missing = [name for name in SEARCHED if name not in table]
    if missing:
        raise DataError(path, f"it is no table of nearest neighbours: it lacks {', '.join(missing)}.", AGAIN)
    if table["row"].tolist() != list(range(len(store))):
        raise StoreError(path, f"its rows are not the {len(store)} pairs of {store.folder}.", AGAIN)
    if len(table) and not 0 <= table["feature_row"].min() <= table["feature_row"].max() < trained:
        raise StoreError(path, f"it names training patches that a store of {trained} lacks.", AGAIN)
    return table


def _distances(paths: Sequence[Path], kind: str) -> np.ndarray:
    return pd.concat([pd.read_csv(path, usecols=[f"{kind}_distance"]) for path in paths])[f"{kind}_distance"].to_numpy()


def _searched(found: pd.DataFrame, used: np.ndarray) -> dict[str, list]:
    return {
        "distance": found["feature_distance"].tolist(),
        "ratio": found["feature_ratio"].tolist(),
        "pixelDistance": found["pixel_distance"].tolist(),
        "turn": found["feature_turn"].tolist(),
        "nearest": np.searchsorted(used, found["feature_row"].to_numpy()).tolist(),
    }


def _nearest(columns: Mapping[str, list], space: LabelSpace) -> dict | None:
    """What the pairs hold that are nearest to a real one; see `pack`."""
    pixels = np.asarray(columns["pixels"])[:, : space.count]
    near = np.argsort(columns["distance"], kind="stable")[:NEAREST]
    held = pixels[near].sum(0)
    if not held.any():
        return None
    most = int(held.argmax())
    share, shown = (float(counts[most] / counts.sum()) for counts in (held, pixels.sum(0)))
    return {"pairs": len(near), "class": space.names[most], "share": share, "shown": shown}


def _real(train: View, used: np.ndarray) -> list[dict]:
    """What is known of each training patch that is nearest to some pair: its row, and where it was cut."""
    table = pd.concat([store.index for store in train.stores], ignore_index=True).iloc[used]
    names = {"scene": "scene", "row": "top", "column": "left"}
    known = {new: table[old].tolist() for old, new in names.items() if old in table}
    return [{"row": int(row), **{key: values[place] for key, values in known.items()}} for place, row in enumerate(used)]


def _draw(name: str, cfg: Mapping, space: LabelSpace, view: View, kept: int, out: Mapping) -> list[list[int]]:
    """Write the pictures of the pairs, and return the pixels of every class and of none, pair by pair."""
    pixels, progress = [], Progress("gallery", kept, "pairs")
    for number, (small, large) in enumerate(zip(out["tiles"], out["pairs"], strict=True)):
        first, last = _starts(len(out["pairs"]), kept)[number : number + 2]
        drawn = [view.pair(row) for row in range(first, last)]
        pixels += [np.bincount(mask.ravel(), minlength=256)[[*range(space.count), 255]].tolist() for _, mask in drawn]
        _write(large, name, "pairs", number, _pictures(drawn, cfg, space, view.size))
        _write(small, name, "tiles", number, _pictures(drawn, cfg, space, min(cfg["tile"], view.size)))
        progress.update(last)
    return pixels


def _draw_real(name: str, cfg: Mapping, space: LabelSpace, train: View, used: np.ndarray, out: Sequence[Path]) -> None:
    starts = _starts(len(out), len(used))
    for number, path in enumerate(out):
        drawn = [train.pair(int(row)) for row in used[starts[number] : starts[number + 1]]]
        _write(path, name, "real", number, _pictures(drawn, cfg, space, train.size))


def _pictures(pairs: Iterable[tuple[np.ndarray, np.ndarray]], cfg: Mapping, space: LabelSpace, side: int) -> dict[str, list[str]]:
    pairs = list(pairs)
    return {
        "images": [pictures.image(image, side, cfg["quality"]) for image, _ in pairs],
        "masks": [pictures.mask(mask, side, space) for _, mask in pairs],
    }


def _plain(value: object) -> object:
    """The same value as JSON can hold it: no NaN, no type of numpy."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _write(path: Path, place: str, kind: str, number: int, value: object) -> None:
    # ASCII alone: no separator of lines that a script would end at, and nothing that depends on a file's encoding.
    text = ",".join(json.dumps(entry, ensure_ascii=True, allow_nan=False, separators=(",", ":")) for entry in (place, kind, number, value))
    files.write_text(path, f"satsynth({text})\n")
