"""Count the label pixels in which two sources differ that begin with the same noise."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the comparison on the shards of both sources."""
    from satsynth.runtime.files import write_json
    from satsynth.segmentation.label_changes import compare

    measured, baseline = ([card.parent for card in task.input[role]] for role in ("measured", "baseline"))
    write_json(task.output["changes"], compare(measured, baseline))


if __name__ == "__main__":
    perform(snakemake, work)
