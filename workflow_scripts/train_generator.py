"""Train one generator on the real pairs of a dataset's train split."""

import contextlib

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the module that the generator's kind names."""
    from satsynth import distributed, kinds
    from satsynth.runtime.files import read_json

    generator = kinds.module(task.cfg["kind"])
    stores = {read_json(card)["size"]: card.parent for card in task.input["cards"]}
    with distributed.joined(task) if generator.SHARED else contextlib.nullcontext():
        generator.train(stores, task.cfg, **task.output, work=task.work, device=task.device, wall_seconds=task.wall_seconds)


if __name__ == "__main__":
    perform(snakemake, work)
