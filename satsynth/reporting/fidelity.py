"""How close the pairs of every source come to real training pairs (paper, Table 1a), and whether any is a copy."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.metrics.memorisation import calibrated
from satsynth.reporting import alone, markup, methods, notes, published, yields
from satsynth.reporting.runs import Real, Run, real_data
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError
from satsynth.runtime.job import Task

LEAD = (("Dataset", "dataset"), ("px", "size"))
REAL = "real"  # the row of the real validation patches
MEASURES = (
    *("count", "reference_count", "fid", "sfid", "kid", "kid_se", "is", "is_se", "is_logits", "is_pixels"),
    *("precision", "recall", "density", "coverage", "class_js", "presence_js", "component_distance", "invalid", "margin"),
)
COPIES = ("copies_features", "copies_pixels", "copies_expected", "null_count")
CHANGES = ("labels_changed", "labels_changed_se", "labels_unrelated", "labels_compared")
COLUMNS = (
    *("dataset", "size", "source", "method", "samplers", "nfe", *MEASURES, *COPIES, *CHANGES, *alone.COLUMNS),
    *("paper_fid", "paper_sfid", "paper_is", "evaluator_sha256"),
)
# What stands in a table only where a row has it.
OPTIONAL = ("NFE", "Labels changed (%)", alone.HEADER, "Paper FID", "Paper sFID", "Paper IS")
HEADER = (  # the paper's measures first, then what pairs are for and whether they are new: a screen cuts a wide table on the right
    *("Pairs", "N", "NFE", "FID ↓", "Paper FID", "sFID ↓", "Paper sFID", "IS ↑", "Paper IS", alone.HEADER, "Near copies (%)", "KID ×10³ ↓"),
    *("Precision ↑", "Recall ↑", "Density ↑", "Coverage ↑", "Class JS ↓", "Presence JS ↓", "Component size ↓", "Invalid codes (%)"),
    "Labels changed (%)",
)


def write_run(task: Task) -> None:
    """Write the table of one experiment, from the files that the job was given.

    Of `task`: input fidelity, changes, neighbours and stores (see `join`), and what the runs are read from; cfg as `tabulate` has it, with
    rows (see `join`) and runs (the fields of `satsynth.reporting.runs.Run`); output csv, md, tex.
    """
    rows = join(task.cfg["rows"], task.input)
    formats = {row["dataset"]: row["format"] for row in rows}
    real = [real_data(dataset, task.cfg["size"], format=raw) for dataset, raw in formats.items()]
    write(rows, task.cfg, task.output, [Run(**run) for run in task.cfg["runs"]], real)


def join(planned: Sequence[Mapping], given: Mapping[str, Sequence[Path]]) -> list[dict]:
    """The rows of `tabulate`: what is planned of each, with its files.

    Args:
        planned: dicts of dataset, source, method, format, sets (how many measured sets the row has) and compared (whether its labels are
            compared with the baseline's), in the order of the rows.
        given: fidelity (a file a row), neighbours and stores (a file a set; those of one row follow each other) and changes (a file for
            each row that is compared).

    Raises:
        StoreError: there are more or fewer files than the rows have.
    """
    wanted = {"fidelity": len(planned), "changes": sum(row["compared"] for row in planned)}
    wanted |= dict.fromkeys(("neighbours", "stores"), sum(row["sets"] for row in planned))
    for name, count in wanted.items():
        if len(given[name]) != count:
            raise StoreError(name, f"{len(given[name])} files are given for {count}.", "Run the table's rules again.")
    sets, changes, rows = iter(zip(given["neighbours"], given["stores"])), iter(given["changes"]), []
    for row, path in zip(planned, given["fidelity"]):
        neighbours, stores = zip(*itertools.islice(sets, row["sets"]))
        changed = next(changes) if row["compared"] else None
        rows.append({**row, "fidelity": path, "neighbours": neighbours, "stores": stores, "changes": changed})
    return rows


def write(
    rows: Sequence[Mapping], cfg: Mapping, out: dict[str, str | Path], runs: Sequence[Run] = (), real: Sequence[Real] = ()
) -> markup.Table:
    """Make the table and write it to `out` (keys csv, md, tex); see `tabulate`."""
    table = tabulate(rows, cfg, runs, real)
    markup.write(table, out)
    return table


def tabulate(rows: Sequence[Mapping], cfg: Mapping, runs: Sequence[Run] = (), real: Sequence[Real] = ()) -> markup.Table:
    """A row a source, after the row of the real validation patches of its dataset.

    Near copies: the share of pairs that lie closer to a real training patch than the `null_quantile` of the real validation patches do,
    by the evaluator's features and by pixels, under the eight flips and turns; a generator that invents has that quantile itself.

    Args:
        rows: dicts of dataset, source ("real" for the validation patches), method, format, fidelity (JSON of
            `satsynth.segmentation.fidelity.score`), neighbours (CSV files of `satsynth.segmentation.memorisation.find`) and stores (the
            cards of its stores); and changes (JSON of `satsynth.segmentation.label_changes.compare` with the baseline), or None.
        cfg: title, size, null_quantile, neighbours, coverage_neighbours, evaluator (its name), baseline (a source, or None).
        runs: of one segmenter, on D and on the pairs of each source alone; none where the table has no such column.
        real: the real data behind these.

    Raises:
        StoreError: rows of one dataset were measured by different evaluators, or runs do not fit each other.
    """
    trained = alone.load(runs, real)
    nulls = {row["dataset"]: _distances(row["neighbours"]) for row in rows if row["source"] == REAL}
    found = [{**_row(row, cfg, nulls[row["dataset"]]), **trained.cells(row["dataset"], row["source"])} for row in rows]
    frame = pd.DataFrame(found).reindex(columns=COLUMNS)
    for dataset, part in frame.groupby("dataset"):
        if part["evaluator_sha256"].nunique() > 1:
            cause = f"the rows of {dataset} were measured by different evaluators."
            raise StoreError(rows[0]["fidelity"], cause, "Run the table's rules again.")
    lead = notes.leading(frame, LEAD)
    several = frame.groupby(["dataset", "method"], dropna=False)["samplers"].transform("nunique") > 1
    cells = [(*(str(row[key]) for _, key in lead), *_cells(row, many)) for row, many in zip(frame.to_dict("records"), several)]
    header = (*(name for name, _ in lead), *HEADER)
    shown = [place for place, name in enumerate(header) if name not in OPTIONAL or any(row[place] != markup.NONE for row in cells)]
    picked = tuple(tuple(row[place] for place in shown) for row in cells)
    said = (*_notes(frame, cfg), *_changes(frame, cfg), *trained.notes(), *yields.told(path for row in rows for path in row["stores"]))
    return markup.Table(notes.title(cfg, frame, LEAD), frame, tuple(header[place] for place in shown), picked, said)


def _distances(paths: Sequence[str | Path]) -> dict[str, np.ndarray]:
    table = pd.concat([pd.read_csv(path, usecols=["feature_distance", "pixel_distance"]) for path in paths])
    return {"features": table["feature_distance"].to_numpy(), "pixels": table["pixel_distance"].to_numpy()}


def _row(row: Mapping, cfg: Mapping, null: Mapping[str, np.ndarray]) -> dict:
    measured = {name: math.nan if value is None else value for name, value in files.read_json(row["fidelity"]).items()}
    found = {**measured, "dataset": row["dataset"], "size": cfg["size"], "source": row["source"]}
    found["method"] = row["method"]
    found["null_count"] = len(null["features"])
    if row["source"] != REAL:
        distances = _distances(row["neighbours"])
        for name in ("features", "pixels"):
            calibration = calibrated(distances[name], null[name], cfg["null_quantile"])
            found |= {f"copies_{name}": calibration.share, "copies_expected": calibration.expected}
    made = files.read_json(row["stores"][0]).get("source", {})
    if row.get("changes"):
        read = files.read_json(row["changes"])
        values = (read[name] for name in ("changed", "changed_se", "unrelated", "count"))
        found |= {name: math.nan if value is None else value for name, value in zip(CHANGES, values, strict=True)}
    found |= {"samplers": methods.samplers(made.get("samplers", ())), "nfe": sum(made["nfe"]) if "nfe" in made else math.nan}
    paper = published.quality(row["format"], cfg["size"], row["method"])
    if paper is not None:
        found |= {"paper_fid": paper[0], "paper_sfid": paper[1], "paper_is": paper[2]}
    return found


def _cells(row: Mapping, many: bool) -> tuple[str, ...]:
    """The readable cells of a row; `many`: others of its dataset and method have other samplers, so its own is said."""

    def text(name: str, digits: int = 2, scale: float = 1) -> str:
        return markup.number(float(row[name]) * scale, digits=digits)

    sampler = f" ({row['samplers']})" if many and row["samplers"] else ""
    name = "real validation patches" if row["source"] == REAL else row["source"] + sampler
    copies = markup.NONE if row["source"] == REAL else f"{text('copies_features', 1, 100)} / {text('copies_pixels', 1, 100)}"
    return (
        name,
        markup.count(row["count"]),
        markup.count(row["nfe"]),
        *(text(key) for key in ("fid", "paper_fid", "sfid", "paper_sfid")),
        *(markup.plus_minus(row["is"], row["is_se"]), text("paper_is")),
        *(markup.plus_minus(row["alone_miou_pct"], row["alone_miou_se_pct"]), copies),
        markup.plus_minus(1e3 * row["kid"], 1e3 * row["kid_se"]),
        *(text(key) for key in ("precision", "recall", "density", "coverage")),
        *(text(key, 3) for key in ("class_js", "presence_js")),
        *(text("component_distance"), text("invalid", 2, 100)),
        markup.plus_minus(100 * row["labels_changed"], 100 * row["labels_changed_se"]),
    )


def _notes(frame: pd.DataFrame, cfg: Mapping) -> tuple[str, ...]:
    hashes = markup.listing(
        [f"{digest[:12]} ({dataset})" for dataset, digest in frame.groupby("dataset")["evaluator_sha256"].first().items()]
    )
    said = [
        f"Measured by the features of one frozen segmenter a dataset, {cfg['evaluator']}, trained on the real training patches (weights "
        f"{hashes}). Numbers of another evaluator, of Inception above all, do not compare with these.",
        "Against real training patches. FID: last encoder stage, averaged over the map; sFID: first seven channels of the stage with a map "
        "of about 16 × 16; IS: spatial mean of the softmax, its error over splits (none where there is one); KID: cubic kernel, mean and "
        f"standard error over subsets. Precision and recall with k = {cfg['neighbours']}, density and coverage with "
        f"k = {cfg['coverage_neighbours']}. KID is unbiased, so it may be below zero.",
        f"N pairs are measured against {_references(frame)} real training patches, both drawn at random; FID and sFID are biased upwards "
        "by a small N, so only rows of one N compare." + _unequal(frame),
        "The row of real validation patches is what unseen scenes get. Synthetic pairs are made after the training scenes, so a smaller "
        "distance than that row's does not say that they look better than real ones.",
        "Class JS and presence JS: Jensen–Shannon distance (base 2) of the shares of pixels, and of pairs, that hold each class. Component "
        "size: Wasserstein distance of the base-2 logarithms of the areas of connected regions, all classes pooled. Empty for sources "
        "without masks.",
        f"Near copies (features / pixels): pairs nearer a real training patch than the {notes.percent(cfg['null_quantile'])} quantile of "
        f"the real validation patches, under eight flips and turns. Of pairs that are no copies, {_expected(frame)}.",
    ]
    if frame["nfe"].notna().any():
        said.append("NFE: network evaluations a pair, those of all stages added up.")
    return tuple(said)


def _expected(frame: pd.DataFrame) -> str:
    """What share of pairs lies below the threshold where nothing is copied; it differs where the validation patches are few."""
    parts = []
    for dataset, part in frame[frame["source"] != REAL].groupby("dataset"):
        nulls, share = int(part["null_count"].iloc[0]), 100 * part["copies_expected"].iloc[0]
        parts.append(
            f"about {markup.number(share, digits=1)} % is expected on {dataset}, whose {markup.count(nulls)} validation patches set it"
        )
    return markup.listing(parts)


def _references(frame: pd.DataFrame) -> str:
    counts = frame.groupby("dataset")["reference_count"].first()
    if counts.nunique() == 1:
        return markup.count(counts.iloc[0])
    return markup.listing([f"{markup.count(value)} ({dataset})" for dataset, value in counts.items()])


def _unequal(frame: pd.DataFrame) -> str:
    made = frame[frame["source"] != REAL].groupby("dataset")["count"].max()
    real = frame[frame["source"] == REAL].set_index("dataset")["count"]
    lower = [dataset for dataset in made.index if real[dataset] < made[dataset]]
    if not lower:
        return ""
    return f" On {markup.listing(lower)} there are fewer validation patches: with more of them, that row's FID and sFID would be lower."


def _changes(frame: pd.DataFrame, cfg: Mapping) -> list[str]:
    """What the share of changed labels compares, and how much unrelated pairs differ."""
    compared = frame[frame["labels_changed"].notna()]
    if compared.empty:
        return []
    counts = markup.listing(sorted({markup.count(count) for count in compared["labels_compared"]}))
    shares = 100 * compared["labels_unrelated"]
    ends = dict.fromkeys(markup.number(share, digits=1) for share in (shares.min(), shares.max()))
    return [
        f"Labels changed: share of the label pixels that differ between pair i of a row and pair i of {cfg['baseline']}, which begins with "
        f"the same noise (the same generators, seed and block); mean and standard error over {counts} pairs. A pixel that is ignored in "
        f"either counts for nobody. Pairs of different noise differ in {' to '.join(ends)} %. A sampler that "
        "draws noise at every step (ancestral, or with η above 0) leads elsewhere than one that does not, however fine its steps, so a "
        "large share is no loss in itself. The baseline and rows of other generators, seeds or blocks have a dash."
    ]
