"""Write names and colours of a dataset's classes, which figures and tables read."""

from importlib import import_module

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Ask the dataset's reader for its label space."""
    from satsynth.runtime.files import write_json

    reader = import_module(f"satsynth.datasets.{task.cfg['format']}")
    write_json(task.output["classes"], reader.label_space(task.cfg).to_json())


if __name__ == "__main__":
    perform(snakemake, work)
