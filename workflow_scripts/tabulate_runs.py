"""Write the table of one experiment."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the table's view on the runs of the experiment."""
    from satsynth.reporting import tables
    from satsynth.reporting.runs import Real, Run

    size = task.cfg["size"]
    real = [
        Real(
            dataset,
            size,
            f"results/{dataset}/{size}px/real/train",
            f"results/{dataset}/{size}px/real/val",
            f"results/{dataset}/classes.json",
        )
        for dataset in task.cfg["datasets"]
    ]
    tables.build(task.cfg["view"], [Run(**run) for run in task.cfg["runs"]], real, task.cfg, task.output)


if __name__ == "__main__":
    perform(snakemake, work)
