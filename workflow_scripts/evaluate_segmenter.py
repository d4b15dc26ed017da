"""Score one trained segmenter on the real test patches, one by one or as whole scenes."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the evaluation."""
    from satsynth.segmentation.prediction import evaluate

    store = task.input["store"].parent
    kept = {"work": task.work, "wall_seconds": task.wall_seconds}
    evaluate(task.input["weights"], task.input["card"], store, **task.output, **task.cfg, device=task.device, **kept)


if __name__ == "__main__":
    perform(snakemake, work)
