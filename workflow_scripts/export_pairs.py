"""Write a set of pairs as a folder that other training code reads."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the exporter."""
    from satsynth.export.making import write_export

    write_export(task)


if __name__ == "__main__":
    perform(snakemake, work)
