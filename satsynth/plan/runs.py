"""The segmentation runs that an experiment is made of."""

from dataclasses import asdict, dataclass

from satsynth.plan.names import TrainingSet
from satsynth.plan.stanzas import makes_masks, parent_of, replicas, stages_of


@dataclass(frozen=True)
class Run:
    """One trained and evaluated segmenter.

    Args:
        arm: "real" (D), "synthetic" (D' alone), "union" (D and D') or "control" (D with fewer steps).
        source: where the synthetic pairs come from; of replicas that the seeds take in turn, the first.
        subject: the segmenter that the row speaks of; a control's is the one it controls, that of another share the one it extends.
        network: the module of the subject's network.
        method: what makes the synthetic pairs (see `method_of`); None for D.
        generators: those behind this run's synthetic pairs, joined by "+"; "" for D and for augmentations.
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
    network: str
    method: str | None
    generators: str

    @property
    def folder(self) -> str:
        """Where its results lie."""
        return f"results/{self.dataset}/{self.size}px/segmentation/{self.training_set}/{self.segmenter}/seed-{self.seed}"

    def as_dict(self) -> dict:
        """Plain values, with the folder."""
        return asdict(self) | {"folder": self.folder}


def method_of(resolved: dict, source: str) -> str:
    """What the paper would call a source: an augmentation, another kind of generator, or satsynth.

    A deviation of Tables 3 and 4 stands after an underscore.
    """
    stanza = resolved["sources"][source]
    if "augment" in stanza:
        return stanza["augment"]
    first = resolved["generators"][stanza["generator"]]
    if first["kind"] != "ddpm":
        return first["kind"] + ("_admitted" if "admit" in stanza else "")
    if first["codes"] == "none":
        return "image_only"  # Table 1a's DDPM
    words = ["satsynth"]
    if first["codes"] != "bits":
        words.append(first["codes"])
    if first["prediction"] in ("x0", "v"):
        words.append(first["prediction"])  # Table 3 has x0; of v the paper has no number
    if first["size"] > 128 and not stanza.get("then"):
        words.append("direct")  # the paper's G works at 128 px; above that it stands beside G_SR (Table 4)
    if "admit" in stanza:
        words.append("admitted")  # the paper trains on every pair
    return "_".join(words)


def runs_of(name: str, config: dict, resolved: dict) -> list[Run]:
    """All runs of an experiment, each once, in the order of its table.

    Args:
        name: the experiment.
        config: as the user wrote it: who extends whom.
        resolved: every stanza whole.
    """
    experiment = resolved["experiments"][name]
    runs: dict[Run, None] = {}

    def add(segmenter: str, arm: str, base: str | None, sources: list[str], ratio: int, share: bool = False) -> None:
        subject = parent_of(config, segmenter) if arm == "control" or share else segmenter
        network = resolved["segmenters"][subject]["network"]
        method = method_of(resolved, sources[0]) if sources else None
        for dataset in experiment["datasets"]:
            for place, seed in enumerate(experiment["seeds"]):
                source = sources[place % len(sources)] if sources else None
                parts = ((source, ratio),) if sources else ()
                generators = "+".join(stages_of(resolved["sources"][source])) if sources else ""
                made = {"source": sources[0] if sources else None, "ratio": ratio, "method": method, "generators": generators}
                training_set = str(TrainingSet(base, parts))
                run = Run(dataset, experiment["size"], training_set, segmenter, seed, arm, subject=subject, network=network, **made)
                runs.setdefault(run)

    base = experiment["base"]
    for entry in experiment["grid"]:
        for segmenter in entry["segmenters"]:
            for ratio in entry["ratios"]:
                if ratio == 0:
                    add(segmenter, "real", base, [], 0)
                    continue
                for listed in entry["sources"]:
                    if entry.get("alone"):
                        add(segmenter, "synthetic", None, replicas(listed), ratio)
                    add(segmenter, "union", base, replicas(listed), ratio)
        for share in entry.get("shares", []):
            for ratio in filter(None, entry["ratios"]):
                for listed in entry["sources"]:
                    add(share, "union", base, replicas(listed), ratio, share=True)
        for control in entry.get("controls", []):
            add(control, "control", base, [], 0)
    if experiment.get("alone"):  # of a fidelity table: D, and one unit of every source of pairs
        add(experiment["alone"], "real", base, [], 0)
        for source in experiment["sources"]:
            if makes_masks(resolved, source):
                add(experiment["alone"], "synthetic", None, [source], 1)
    return list(runs)
