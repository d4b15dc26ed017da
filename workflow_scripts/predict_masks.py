"""Predict the masks of a few uncurated test patches, the same for every segmenter of a dataset."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the prediction."""
    from satsynth.segmentation.prediction import predict_rows

    outputs = {"masks": task.output["masks"], "rows_card": task.output["rows"]}
    predict_rows(task.input["weights"], task.input["card"], task.input["store"].parent, **outputs, **task.cfg, device=task.device)


if __name__ == "__main__":
    perform(snakemake, work)
