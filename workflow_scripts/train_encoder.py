"""Train the encoder of a segmenter that searches a trained generator, on one training set with one seed."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the encoder's training."""
    from satsynth import distributed
    from satsynth.segmentation.semgan_training import train_encoder
    from satsynth.segmentation.training import by_origin

    real, synthetic = by_origin(card.parent for card in task.input["cards"])
    generator, evaluator = zip(task.input["part_weights"], task.input["part_cards"], strict=True)
    parts = {"generator": generator, "evaluator": evaluator, "train_store": task.input["train_store"].parent}
    given = {**parts, "work": task.work, "device": task.device, "wall_seconds": task.wall_seconds}
    with distributed.joined(task):
        train_encoder(real, synthetic, task.cfg, int(task.wildcards["seed"]), **task.output, **given)


if __name__ == "__main__":
    perform(snakemake, work)
