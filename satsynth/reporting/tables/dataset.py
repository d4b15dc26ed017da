"""What the real data are: scenes, patches, labelled pixels, and the share of every class (paper, section 5.1)."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from satsynth.reporting import markup, notes, published
from satsynth.reporting.runs import Real, Run, read_space
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, StoreError

LEAD = (("Dataset", "dataset"), ("px", "size"))
COLUMNS = (
    *("dataset", "size", "class_id", "class", "background", "split", "scenes", "patches", "patch_share_pct", "pixels", "pixel_share_pct"),
    *("ignored_pct", "foreground_pct"),
)
WHOLE = "all classes"
SPLITS = {"train": "training", "val": "validation"}


def tabulate(runs: Sequence[Run], real: Sequence[Real], cfg: dict) -> markup.Table:
    """A row a split, and below it a row for each class and split; `runs` are not read.

    Of a split: `scenes`, `patches`, labelled `pixels`, the ignored pixels in percent of all, the foreground in percent of the labelled
    (empty without a background class). Of a class: the patches that hold it and its labelled pixels, both also as shares of the split's.

    Raises:
        ConfigError: no dataset is given, or its background is none of its classes.
        StoreError: a card counts another number of classes than classes.json names.
    """
    if not real:
        raise ConfigError("datasets", "the table has no dataset.", "Give the experiment at least one.")
    rows = []
    for entry in real:
        rows += _rows(entry)
    frame = pd.DataFrame(rows).reindex(columns=COLUMNS)
    for name in ("class_id", "scenes", "patches", "pixels"):
        frame[name] = frame[name].astype("Int64")
    lead = notes.leading(frame, LEAD)
    header = (*(name for name, _ in lead), "Class", "Split", "Scenes", "Patches", "Patches (%)", "Labelled pixels", "Pixels (%)")
    cells = [
        (
            *(str(row[key]) for _, key in lead),
            row["class"],
            row["split"],
            markup.NONE if pd.isna(row["scenes"]) else markup.count(row["scenes"]),
            markup.count(row["patches"]),
            markup.number(row["patch_share_pct"]),
            markup.count(row["pixels"]),
            markup.number(row["pixel_share_pct"]),
            markup.number(row["ignored_pct"]),
            markup.number(row["foreground_pct"]),
        )
        for row in frame.to_dict("records")
    ]
    said = (
        "Patches: of a class, those that hold at least one pixel of it. Pixels (%): of the labelled pixels of the split. Ignored: of all "
        "pixels, those without a label, padding included. Foreground: of the labelled pixels, those of any class but the background; a "
        "dash where no class counts as background.",
        *_absent_notes(frame),
        *(note for entry in real for note in _paper_notes(frame, entry)),
    )
    return markup.Table(notes.title(cfg, frame, LEAD), frame, (*header, "Ignored (%)", "Foreground (%)"), tuple(cells), said)


def _rows(real: Real) -> list[dict]:
    space = read_space(real)
    whole, parts = [], []
    for folder, fallback in ((real.train, "train"), (real.val, "val")):
        path = Path(folder) / "card.json"
        card = files.read_json(path)
        if card["classes"] != space.count:
            cause = f"it counts {card['classes']} classes, classes.json names {space.count}."
            raise StoreError(path, cause, "Use the classes of this dataset.")
        labelled, patches = sum(card["class_pixels"]), card["count"]
        lead = {"dataset": real.dataset, "size": real.size, "split": card.get("split", fallback)}
        foreground = math.nan if real.background is None else labelled - card["class_pixels"][real.background]
        whole.append(
            {
                **lead,
                **{"class": WHOLE, "scenes": card.get("scenes"), "patches": patches, "pixels": labelled},
                **{"patch_share_pct": _share(patches, patches), "pixel_share_pct": _share(labelled, labelled)},
                "ignored_pct": _share(card["ignore_pixels"], labelled + card["ignore_pixels"]),
                "foreground_pct": _share(foreground, labelled),
            }
        )
        for number, name in enumerate(space.names):
            holding, pixels = card["class_pairs"][number], card["class_pixels"][number]
            line = {**lead, "class_id": number, "class": name, "background": number == real.background}
            line |= {"patches": holding, "patch_share_pct": _share(holding, patches)}
            parts.append(line | {"pixels": pixels, "pixel_share_pct": _share(pixels, labelled)})
    # The two splits of a class stand beneath each other, to be compared.
    return whole + sorted(parts, key=lambda line: line["class_id"])


def _share(part: float, whole: float) -> float:
    return 100 * part / whole if whole else math.nan


def _absent_notes(frame: pd.DataFrame) -> list[str]:
    empty = frame[frame["class_id"].notna() & (frame["pixels"] == 0)]
    if empty.empty:
        return ["Every class occurs in every split."]
    names = [f"{row['class']} ({row['dataset']}, {row['size']} px, {row['split']})" for row in empty.to_dict("records")]
    return [
        f"Absent: {markup.listing(names)}. A class that training lacks cannot be learned; one that validation lacks counts in the scores "
        "only if it is predicted."
    ]


def _paper_notes(frame: pd.DataFrame, real: Real) -> list[str]:
    ours = frame[(frame["dataset"] == real.dataset) & (frame["size"] == real.size)]
    own = ours[ours["class"] == WHOLE].set_index("split")
    said, where = [], f"{real.dataset}, {real.size} px"
    if real.format in published.IMAGES:
        annotated = ""
        if real.format in published.ANNOTATIONS:
            many, what = published.ANNOTATIONS[real.format]
            annotated = f" with {markup.count(many)} {what}"
        known = [f"{markup.count(scenes)} ({split})" for split, scenes in own["scenes"].dropna().items()]
        here = f"; scenes here ({where}): {markup.listing(known)}" if known else ""
        said.append(
            f"Paper (section 5.1): {markup.count(published.IMAGES[real.format])} images{annotated}, all splits together, the test split "
            f"included, which this table leaves out{here}."
        )
    stated = published.PATCHES.get(real.format, {})
    shared = [split for split in stated if split in own.index]
    if shared:
        paper = [f"{markup.count(stated[split])} {SPLITS[split]}" for split in shared]
        here = [markup.count(own.loc[split, "patches"]) for split in shared]
        said.append(f"Paper (section 5.1): {markup.listing(paper)} patches of 256 px; here ({where}) {markup.listing(here)}.")
    if real.format in published.FOREGROUND_PCT and real.background is not None:
        shares = own["foreground_pct"]
        here = [f"{markup.number(shares[split])} and {markup.number(100 - shares[split])} % ({split})" for split in own.index]
        said.append(
            f"Paper: foreground {markup.number(published.FOREGROUND_PCT[real.format])} % of the pixels (section 2), background more than "
            f"{published.BACKGROUND_ABOVE_PCT[real.format]} % (section 5.1); here ({where}) {markup.listing(here)}."
        )
    for name, share in published.CLASS_PCT.get(real.format, {}).items():
        here = [f"{markup.number(row['pixel_share_pct'])} % ({row['split']})" for row in ours[ours["class"] == name].to_dict("records")]
        if here:
            said.append(f"Paper (section 5.1): {name} about {share} % of the pixels; here ({where}) {markup.listing(here)}.")
    return said
