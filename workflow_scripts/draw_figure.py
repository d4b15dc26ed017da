"""Draw one figure."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the figure's view; the stores of a role are handed over as folders, told by their cards."""
    from satsynth.reporting import figures

    inputs = {}
    for name, value in task.input.items():
        paths = value if isinstance(value, list) else [value]
        role, _, part = name.rpartition("_")
        if role and part in ("images", "masks", "index"):
            continue
        if role and part == "card":
            inputs[role] = [path.parent for path in paths]
        else:
            inputs[name] = paths
    figures.draw(task.cfg["view"], task.cfg, inputs, task.output["png"], task.output["pdf"])


if __name__ == "__main__":
    perform(snakemake, work)
