"""The segmentation runs that an experiment is made of."""

from dataclasses import asdict, dataclass

from satsynth.plan.names import TrainingSet


@dataclass(frozen=True)
class Run:
    """One trained and evaluated segmenter.

    Args:
        arm: "real" (D), "synthetic" (D' alone), "union" (D and D') or "control" (D with fewer steps).
        subject: the segmenter that the row speaks of; a control's is the one it controls.
    """

    dataset: str
    size: int
    training_set: str
    segmenter: str
    seed: int
    arm: str
    source: str | None
    ratio: int
    subject: str

    @property
    def folder(self) -> str:
        """Where its results lie."""
        return f"results/{self.dataset}/{self.size}px/segmentation/{self.training_set}/{self.segmenter}/seed-{self.seed}"

    def as_dict(self) -> dict:
        """Plain values, with the folder."""
        return asdict(self) | {"folder": self.folder}


def runs_of(experiment: dict, parents: dict[str, str]) -> list[Run]:
    """All runs of a resolved experiment, each once, in the order of its table.

    Args:
        experiment: the resolved stanza.
        parents: control segmenter -> the segmenter that it controls.
    """
    runs: dict[Run, None] = {}

    def add(segmenter: str, training_set: TrainingSet, arm: str, source: str | None, ratio: int, subject: str) -> None:
        for dataset in experiment["datasets"]:
            for seed in experiment["seeds"]:
                run = Run(dataset, experiment["size"], str(training_set), segmenter, seed, arm, source, ratio, subject)
                runs.setdefault(run)

    base = experiment["base"]
    for entry in experiment["grid"]:
        for segmenter in entry["segmenters"]:
            for ratio in entry["ratios"]:
                if ratio == 0:
                    add(segmenter, TrainingSet(base, ()), "real", None, 0, segmenter)
                    continue
                for source in entry["sources"]:
                    if entry.get("alone"):
                        add(segmenter, TrainingSet(None, ((source, ratio),)), "synthetic", source, ratio, segmenter)
                    add(segmenter, TrainingSet(base, ((source, ratio),)), "union", source, ratio, segmenter)
        for control in entry.get("controls", []):
            add(control, TrainingSet(base, ()), "control", None, 0, parents[control])
    return list(runs)
