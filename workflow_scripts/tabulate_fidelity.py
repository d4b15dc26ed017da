"""Write a table of how close sources come to real pairs."""

import itertools
from pathlib import Path

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the table on the rows of the experiment; what belongs to the sets of a row follows each other."""
    from satsynth.reporting import fidelity
    from satsynth.reporting.runs import Real, Run

    sets = zip(task.input["neighbours"], task.input["stores"], strict=True)
    changes, rows = iter(task.input["changes"]), []
    for row, path in zip(task.cfg["rows"], task.input["fidelity"], strict=True):
        neighbours, stores = zip(*itertools.islice(sets, row["sets"]), strict=True)
        rows.append({**row, "fidelity": path, "neighbours": neighbours, "stores": stores})
        rows[-1]["changes"] = next(changes) if row["compared"] else None
    runs, real, size = [Run(**run) for run in task.cfg["runs"]], [], task.cfg["size"]
    for dataset, source_format in {row["dataset"]: row["format"] for row in rows}.items():
        train, val = (Path(f"results/{dataset}/{size}px/real/{split}") for split in ("train", "val"))
        real.append(Real(dataset, size, train, val, f"results/{dataset}/classes.json", source_format, None))
    fidelity.write(rows, task.cfg, task.output, runs, real)


if __name__ == "__main__":
    perform(snakemake, work)
