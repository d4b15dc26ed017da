"""Make one shard of augmented pairs from the real training pairs."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the maker on the rows that the shard's number names."""
    from satsynth.augmentation.making import make_shard
    from satsynth.pairs import bounds
    from satsynth.runtime.files import read_json

    cards = task.input["cards"]
    count = sum(read_json(card)["count"] for card in cards)
    first, last = bounds(int(task.wildcards["shard"]), task.cfg["shards"], count)
    make_shard([card.parent for card in cards], task.output["card"].parent, task.cfg, first, last)


if __name__ == "__main__":
    perform(snakemake, work)
