"""Write a table of how close sources come to real pairs."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the table on the rows of the experiment; the neighbours of a row's sets follow each other."""
    from satsynth.reporting import fidelity

    neighbours = iter(task.input["neighbours"])
    rows = []
    for row, path in zip(task.cfg["rows"], task.input["fidelity"], strict=True):
        rows.append({**row, "fidelity": path, "neighbours": [next(neighbours) for _ in range(row["sets"])]})
    fidelity.write(rows, task.cfg, task.output)


if __name__ == "__main__":
    perform(snakemake, work)
