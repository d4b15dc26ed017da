"""Write the page that sums the run up."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the page writer."""
    from satsynth.reporting.page import write_run

    write_run(task)


if __name__ == "__main__":
    perform(snakemake, work)
