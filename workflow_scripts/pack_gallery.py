"""Write the files of one source in the gallery: its numbers, and its pictures in parts."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the packer."""
    from satsynth.reporting.gallery.packing import write_run

    write_run(task)


if __name__ == "__main__":
    perform(snakemake, work)
