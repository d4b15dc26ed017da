"""Write the judge's features of the real pairs that synthetic ones might be copies of."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the extraction."""
    from satsynth.segmentation.features import extract

    arrays = {name: path for name, path in task.output.items() if name != "card"}
    store, card_out = task.input["store_card"].parent, task.output["card"]
    extract(task.input["weights"], task.input["card"], store, **arrays, card_out=card_out, device=task.device)


if __name__ == "__main__":
    perform(snakemake, work)
