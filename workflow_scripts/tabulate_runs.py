"""Write the table of one experiment."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the table's view on the runs of the experiment."""
    from satsynth.reporting import tables
    from satsynth.reporting.runs import Run, real_data

    real = []
    for dataset in task.cfg["datasets"]:
        facts = {"format": task.cfg["formats"][dataset], "background": task.cfg["backgrounds"][dataset]}
        real.append(real_data(dataset, task.cfg["size"], task.cfg["splits"], **facts))
    cfg = {**task.cfg, "admissions": task.input["admissions"]}
    tables.build(cfg["view"], [Run(**run) for run in cfg["runs"]], real, cfg, task.output)


if __name__ == "__main__":
    perform(snakemake, work)
