"""An export whole: both splits, archives, descriptors, recipe, preview and card."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from satsynth.export import descriptors, recipe, rows
from satsynth.export.archives import Parquet, Tars, check_parquet
from satsynth.export.card import Facts, write_card
from satsynth.export.measures import measure
from satsynth.export.preview import draw
from satsynth.export.rows import Part
from satsynth.export.tree import Archive, Totals, write_split
from satsynth.pairs import LabelSpace, Store, check_one_origin
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError
from satsynth.runtime.task import Paths, Task

TRAIN, VAL = "train", "val"


def write_export(task: Task) -> None:
    """Write an export, from the files that the job was given.

    Of `task`: input as `parts` and `satsynth.export.measures.measure` take it, classes (one file) and generators (their cards); cfg as
    `satsynth.plan.exports.export` gives it; output train, val, webdataset and parquet (folders; the last three where they are wanted),
    card, classes, data, mmsegmentation, recipe and preview (files).

    Raises:
        StoreError: a store cannot be used, or does not fit the others, or none of the source holds a pair.
        ConfigError: Parquet files are wanted, and pyarrow is not installed.
    """
    if "parquet" in task.output:
        check_parquet()
    space = LabelSpace.from_json(files.read_json(*task.input["classes"]))
    splits = parts(task.input, task.cfg)
    made = [part for part in splits[TRAIN] if part.synthetic]
    stores = [Store.open(part.folder) for part in made]
    check_one_origin(stores)
    if not any(map(len, stores)):
        raise StoreError(made[0].folder.parent, "no pair of this source was admitted.", "Loosen its thresholds, or export what it judges.")
    known = recipe.write(task.output["recipe"], task.cfg, made, task.input["generators"])
    totals = {split: _split(split, chosen, space, task) for split, chosen in splits.items()}
    files.write_json(task.output["classes"], descriptors.classes(space))
    files.write_text(task.output["data"], descriptors.ultralytics(space, VAL in splits))
    files.write_text(task.output["mmsegmentation"], descriptors.mmsegmentation(space, VAL in splits))
    draw(task.output["preview"], made, space)
    measured = measure(task.input, task.cfg) if task.cfg["measures"] else None
    judged = sum((Counter(store.card.get("admission", {}).get("decisions", {})) for store in stores), Counter())
    write_card(task.output["card"], Facts(task.cfg, space, totals, known, measured, judged))


def parts(given: Paths, cfg: Mapping) -> dict[str, list[Part]]:
    """The stores of each split.

    Args:
        given: cards of the shards, real_cards and val_cards (of the real stores; none, or one each), neighbours and val_neighbours (CSV
            files of the shards and of the validation patches; none where nothing is measured), decisions (CSV files of the shards; none
            where nothing was judged).
        cfg: source.
    """

    def listed(name: str) -> Sequence[Path | None]:
        found = given.get(name, [])
        return found or [None] * len(given["cards"])

    shards = [
        Part(card.parent, cfg["source"], True, int(card.parent.name.removeprefix("shard-")), neighbours, decisions)
        for card, neighbours, decisions in zip(given["cards"], listed("neighbours"), listed("decisions"), strict=True)
    ]
    found = {TRAIN: shards + [Part(card.parent, "real-train", False) for card in given.get("real_cards", [])]}
    nearest = next(iter(given.get("val_neighbours", [])), None)
    if given.get("val_cards"):
        found[VAL] = [Part(card.parent, "real-val", False, neighbours=nearest) for card in given["val_cards"]]
    return found


def _split(split: str, chosen: Sequence[Part], space: LabelSpace, task: Task) -> Totals:
    size, columns = task.cfg["images_per_tar"], rows.columns(space.names)
    with contextlib.ExitStack() as stack:
        archives: list[Archive] = []
        if "webdataset" in task.output:
            archives.append(stack.enter_context(contextlib.closing(Tars(task.output["webdataset"], split, size))))
        if "parquet" in task.output:
            archives.append(stack.enter_context(contextlib.closing(Parquet(task.output["parquet"], split, size, columns))))
        return write_split(task.output[split], chosen, space.names, threads=task.threads, archives=archives)
