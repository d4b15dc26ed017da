"""Measure how far the pairs of one source, or real validation patches, are from real training patches."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the measures; the reference comes first."""
    from satsynth.runtime.files import write_json
    from satsynth.segmentation.fidelity import score

    features, stores = ([card.parent for card in task.input[name]] for name in ("features", "stores"))
    reference, *measured = zip(features, stores, strict=True)
    write_json(task.output["fidelity"], score(reference, measured, task.cfg, device=task.device))


if __name__ == "__main__":
    perform(snakemake, work)
