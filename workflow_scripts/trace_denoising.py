"""Follow a few pairs of a source from noise to what its first generator makes of it."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the sampler that keeps states on the way."""
    from satsynth.diffusion.denoising import trace_pairs
    from satsynth.runtime.files import read_json

    outputs = {"images": task.output["images"], "masks": task.output["masks"], "card_out": task.output["card"]}
    trace_pairs(task.input["weights"], read_json(task.input["card"]), **task.cfg, **outputs, device=task.device)


if __name__ == "__main__":
    perform(snakemake, work)
