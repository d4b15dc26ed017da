"""The road that is disturbed: configs/tiny.yaml with stages of some seconds each, its jobs, and the outputs that it declares."""

from pathlib import Path

from satsynth.reporting.provenance import without_times
from satsynth.runtime.files import read_json, sha256
from tests.chaos.plan import Job
from tests.workflow.checkout import TINY, Checkout

LONGER = {
    "run": ["gain", "classes", "data", "class_distribution", "pairs", "upscaling", "ratio_curve", "confusion", "training_curves"],
    "datasets": {"demo": {"world": {"scenes": 10, "size": 512}}},
    "generators": {
        "satsynth": {"training": {"steps": 60, "log_every": 5}},
        "upscaler": {"training": {"steps": 40, "log_every": 5}},
    },
    "sources": {name: {"block": 20, "shards": 3} for name in ("base", "cascade")},
    "segmenters": {name: {"training": {"steps": 30, "log_every": 5}} for name in ("fpn", "fpn_exposures")},
    "experiments": {name: {"replicates": 4000} for name in ("gain", "classes")},
}
# Outputs that hold times, and what is left of their text without them.
TIMED = {"results/report/index.html": without_times}
COUNTED = "results/logs", "results/benchmarks", "results/state"  # no outputs: they say how a run went
DONE = " is done in "  # the last line of a job that computed its outputs


class Road:
    """The project in `folder`, with the overlay of longer stages."""

    def __init__(self, folder: Path):
        self.checkout = Checkout(folder)
        self.folder = self.checkout.folder
        self.configs = (TINY, self.checkout.overlay("longer.yaml", LONGER))

    def run(self, *arguments: str) -> str:
        """What a run of the workflow says."""
        return self.checkout.run(*arguments, configs=self.configs)

    def jobs(self) -> list[Job]:
        """All jobs of a road that has come to its end."""
        found = []
        for path in (self.folder / "results/state").glob("*/*/provenance.json"):
            facts = read_json(path)
            wildcards = " ".join(f"{name}={value}" for name, value in sorted(facts["wildcards"].items()))
            found.append(Job(facts["rule"], wildcards, path.parent.name, facts["seconds"]))
        return found

    def outputs(self) -> list[str]:
        """Every output that any job of the workflow declares, as Snakemake knows them."""
        lines = [line.split("\t") for line in self.run("--summary").splitlines()]
        names = [line[0] for line in lines if line[0].startswith("results/")]
        if not names:
            raise AssertionError("snakemake --summary names no output")
        return sorted(names)

    def strays(self, outputs: list[str]) -> list[str]:
        """Files below results/ that nobody declared: half-written ones, for instance. Logs, benchmarks and state are no outputs."""
        files = [path.relative_to(self.folder).as_posix() for path in (self.folder / "results").rglob("*") if path.is_file()]
        return sorted(name for name in files if name not in outputs and not name.startswith(COUNTED))

    def unfinished(self) -> list[str]:
        """Entries of state whose job has no manifest."""
        entries = [path.parent for path in (self.folder / "results/state").glob("*/*/lock")]
        return sorted(entry.relative_to(self.folder).as_posix() for entry in entries if not (entry / "manifest.json").is_file())

    def repeated(self) -> dict[str, int]:
        """Jobs that computed their outputs more than once, by their logs."""
        logs = {path: path.read_text().count(DONE) for path in (self.folder / "results/logs").rglob("*.log")}
        return {path.relative_to(self.folder).as_posix(): count for path, count in logs.items() if count > 1}


def content(path: Path, name: str) -> str:
    """What is compared of an output: its hash, or the text without times of one that holds some."""
    return TIMED[name](path.read_text(encoding="utf-8")) if name in TIMED else sha256(path)


def differences(clean: Road, other: Road) -> list[str]:
    """Outputs that are not byte for byte those of the clean run, but for times; and what else a finished run must not leave behind."""
    outputs = clean.outputs()
    found = [f"{name}: declared by one of the runs only" for name in set(outputs) ^ set(other.outputs())]
    for name in outputs:
        one, two = clean.folder / name, other.folder / name
        if not two.is_file():
            found.append(f"{name}: missing")
        elif content(one, name) != content(two, name):
            found.append(f"{name}: differs")
    found += [f"{name}: declared by no job" for name in other.strays(outputs)]
    found += [f"{name}: left unfinished" for name in other.unfinished()]
    found += [f"{name}: computed {count} times" for name, count in other.repeated().items()]
    if "Nothing to be done" not in other.run("-n"):
        found.append("snakemake -n: something is left to be done")
    return sorted(found)
