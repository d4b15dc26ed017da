"""Write the table of one selection, and what it has chosen."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the selection."""
    from satsynth.reporting.choices import write_run

    write_run(task)


if __name__ == "__main__":
    perform(snakemake, work)
