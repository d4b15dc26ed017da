"""Write the demo's raw scenes: images/scene_000.png ..., masks/scene_000.png ... and scenes.json."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the world generator."""
    from satsynth.datasets.demo import generate

    generate(task.output["card"].parent, task.cfg)


if __name__ == "__main__":
    perform(snakemake, work)
