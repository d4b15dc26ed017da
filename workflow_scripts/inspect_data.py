"""Look at the raw data of one dataset and write what was found, as a report, a preview and a page."""

import functools
from pathlib import Path

from satsynth.runtime.job import Task, perform


def work(task: Task, root: Path) -> None:
    """Call the inspection; `root` is where the raw files lie."""
    from satsynth.reporting.data_page import check

    check(task.wildcards["dataset"], root, task.cfg, task.raw["trouble"], task.output)


if __name__ == "__main__":
    perform(snakemake, functools.partial(work, root=Path(snakemake.params.root).absolute()))
