"""Find the nearest real training patch of every pair of one store."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the search."""
    from satsynth.segmentation.memorisation import find

    stores = {"store": task.input["store"].parent, "train_store": task.input["train_store"].parent}
    outputs = {"out_csv": task.output["neighbours"], "card_out": task.output["card"]}
    find(
        task.input["weights"],
        task.input["card"],
        **stores,
        train_features_folder=task.input["features"].parent,
        **outputs,
        **task.cfg,
        device=task.device,
    )


if __name__ == "__main__":
    perform(snakemake, work)
