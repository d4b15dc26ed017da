"""Write a table of how close sources come to real pairs."""

import itertools

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the table on the rows of the experiment; what belongs to the sets of a row follows each other."""
    from satsynth.reporting import fidelity
    from satsynth.reporting.runs import Run, real_data

    sets = zip(task.input["neighbours"], task.input["stores"], strict=True)
    changes, rows = iter(task.input["changes"]), []
    for row, path in zip(task.cfg["rows"], task.input["fidelity"], strict=True):
        neighbours, stores = zip(*itertools.islice(sets, row["sets"]), strict=True)
        rows.append({**row, "fidelity": path, "neighbours": neighbours, "stores": stores})
        rows[-1]["changes"] = next(changes) if row["compared"] else None
    formats = {row["dataset"]: row["format"] for row in rows}
    real = [real_data(dataset, task.cfg["size"], format=raw) for dataset, raw in formats.items()]
    fidelity.write(rows, task.cfg, task.output, [Run(**run) for run in task.cfg["runs"]], real)


if __name__ == "__main__":
    perform(snakemake, work)
