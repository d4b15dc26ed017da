"""Write a table of how close sources come to real pairs."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the table."""
    from satsynth.reporting.fidelity import write_run

    write_run(task)


if __name__ == "__main__":
    perform(snakemake, work)
