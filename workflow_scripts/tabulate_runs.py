"""Write the table of one experiment."""

from pathlib import Path

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the table's view on the runs of the experiment."""
    from satsynth.reporting import tables
    from satsynth.reporting.runs import Real, Run

    size = task.cfg["size"]
    train, test = task.cfg["splits"]
    real = []
    for dataset in task.cfg["datasets"]:
        stores = Path(f"results/{dataset}/{size}px/real")
        facts = {"format": task.cfg["formats"][dataset], "background": task.cfg["backgrounds"][dataset]}
        real.append(Real(dataset, size, stores / train, stores / test, f"results/{dataset}/classes.json", **facts))
    tables.build(task.cfg["view"], [Run(**run) for run in task.cfg["runs"]], real, task.cfg, task.output)


if __name__ == "__main__":
    perform(snakemake, work)
