"""Train one segmentation network on one training set with one seed."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the segmenter's training; real stores lie under .../real/SPLIT, everything else is synthetic."""
    from satsynth.segmentation.training import train

    folders = [card.parent for card in task.input["cards"]]
    real = [folder for folder in folders if folder.parent.name == "real"]
    synthetic = [folder for folder in folders if folder.parent.name != "real"]
    seed = int(task.wildcards["seed"])
    train(real, synthetic, task.cfg, seed, **task.output, work=task.work, device=task.device, wall_seconds=task.wall_seconds)


if __name__ == "__main__":
    perform(snakemake, work)
