"""Write the page of the gallery."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the page writer."""
    from satsynth.reporting.gallery.document import write_run

    write_run(task)


if __name__ == "__main__":
    perform(snakemake, work)
