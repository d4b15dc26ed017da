"""Cut a train store by scene into fit and held."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the cutter."""
    from satsynth.datasets.fit_held import cut

    cut(task.input["card"].parent, task.output["fit_card"].parent, task.output["held_card"].parent, task.cfg)


if __name__ == "__main__":
    perform(snakemake, work)
