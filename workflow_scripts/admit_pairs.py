"""Admit, mask or reject the pairs of one shard, by thresholds on their scores."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the admission."""
    from satsynth.selection.admission import admit

    given = task.input
    out = {"folder": task.output["card"].parent, "decisions": task.output["decisions"]}
    admit(given["store_card"].parent, given["scores"].parent, given["calibration"], **out, **task.cfg)


if __name__ == "__main__":
    perform(snakemake, work)
