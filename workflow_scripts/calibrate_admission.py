"""Measure on held-out real pairs what synthetic ones are held against."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the calibration."""
    from satsynth.selection.calibration import calibrate

    store, out = task.input["store_card"].parent, task.output["calibration"]
    calibrate(store, task.input["scores"].parent, out, **task.cfg)


if __name__ == "__main__":
    perform(snakemake, work)
