"""Sample one shard of synthetic pairs from a generator, or from a generator and its upscaler in one go."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the sampler on the rows that the shard's number names."""
    from satsynth import distributed
    from satsynth.diffusion.sampling import check_data, sample_shard
    from satsynth.pairs import bounds
    from satsynth.runtime.files import read_json

    real = read_json(task.input["real"])
    first, last = bounds(int(task.wildcards["shard"]), task.cfg["shards"], real["count"])
    stages = [
        {"weights": weights, "card": read_json(card), "sampler": sampler}
        for weights, card, sampler in zip(task.input["weights"], task.input["cards"], task.cfg["samplers"], strict=True)
    ]
    check_data(stages, task.input["real"])
    folder, seed, block = task.output["card"].parent, task.cfg["seed"], task.cfg["block"]
    pairs = {"seed": seed, "block": block, "first": first, "last": last, "classes": real["classes"], "compile": task.cfg["compile"]}
    with distributed.joined(task):
        sample_shard(stages, folder=folder, **pairs, work=task.work, device=task.device, wall_seconds=task.wall_seconds)


if __name__ == "__main__":
    perform(snakemake, work)
