"""Train one segmentation network on one training set with one seed."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the segmenter's training."""
    from satsynth import distributed
    from satsynth.segmentation.training import by_origin, train

    real, synthetic = by_origin(card.parent for card in task.input["cards"])
    seed = int(task.wildcards["seed"])
    with distributed.joined(task):
        train(real, synthetic, task.cfg, seed, **task.output, work=task.work, device=task.device, wall_seconds=task.wall_seconds)


if __name__ == "__main__":
    perform(snakemake, work)
