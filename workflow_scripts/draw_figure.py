"""Draw one figure."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the figure's view; stores are handed over as folders, told by their card."""
    from satsynth.reporting import figures

    inputs = {}
    for name, value in task.input.items():
        role, _, part = name.rpartition("_")
        if role and part in ("images", "masks", "index"):
            continue
        if role and part == "card":
            inputs[role] = [value.parent]
        else:
            inputs[name] = value if isinstance(value, list) else [value]
    figures.draw(task.cfg["view"], task.cfg, inputs, task.output["png"], task.output["pdf"])


if __name__ == "__main__":
    perform(snakemake, work)
