"""Cut the raw scenes of one split into patches of the full and of every reduced size."""

import functools
from pathlib import Path

from satsynth.runtime.job import Task, perform


def work(task: Task, root: Path) -> None:
    """Call the tiler; `root` is where the raw files lie, which the patches do not depend on."""
    from satsynth.datasets.tiling import tile

    folders = {int(name.rpartition("_")[2]): path.parent for name, path in task.output.items() if name.startswith("card_")}
    tile(task.cfg["format"], root, task.wildcards["split"], task.cfg, folders)


if __name__ == "__main__":
    perform(snakemake, functools.partial(work, root=Path(snakemake.params.root).absolute()))
