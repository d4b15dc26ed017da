"""Let the judge look at every pair of one store: how well each label fits, and how near each image is to a real one."""

from satsynth.runtime.job import Task, perform


def work(task: Task) -> None:
    """Call the scoring."""
    from satsynth.selection.scoring import score

    given = task.input
    folders = {name: given[key].parent for name, key in (("store", "store_card"), ("bank", "bank_card"), ("learned", "learned"))}
    outputs = {"losses": task.output["losses"], "neighbours": task.output["neighbours"], "card_out": task.output["card"]}
    found = {**folders, "bank_features": given["bank_features"].parent, **outputs, **task.cfg}
    score(given["weights"], given["card"], **found, device=task.device)


if __name__ == "__main__":
    perform(snakemake, work)
