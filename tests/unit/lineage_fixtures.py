"""Entries of state that are written in a temporary folder, for tests of what is told of them."""

from pathlib import Path

from satsynth.reporting.explanation import again
from satsynth.reporting.lineage import Lineage
from satsynth.reporting.reasons import Planned, judge
from satsynth.runtime import files, state

STATE = Path("results/state")
STORE = "results/town/64px/real/train/card.json"
ROW = {"seconds": 10.0, "cpu_seconds": 7.0, "devices": 1, "gpu_seconds": 10.0, "energy_joules": 3600.0, "gpus": [{"model": "Pretend GPU"}]}
CPU = {"seconds": 4.0, "cpu_seconds": 3.0, "devices": 0, "gpu_seconds": 0.0, "energy_joules": None, "gpus": []}


def finish(rule, output, content, inputs=(), *, wildcards=(), cfg=None, code=None, raw=None, **facts):
    """An entry of a job that wrote `content` to `output`, which is put in its place; its folder."""
    wildcards = dict(wildcards)
    key = state.key(rule, wildcards, cfg, code, raw, inputs)
    entry = state.State(STATE, rule, key)
    entry.begin()
    entry.staged(output).parent.mkdir(parents=True, exist_ok=True)
    entry.staged(output).write_text(content)
    told = {"rule": rule, "wildcards": wildcards, "cfg": cfg, "code": code, "raw": raw, "versions": {"numpy": "2"}, "python": "3.11"}
    told["inputs"] = {path: {"size": 1, "sha256": files.sha256(path)} for path in inputs}
    told |= {"started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:00+00:00", "host": "alpha", "device": "cpu", "restored": []}
    files.write_json(entry.provenance, told | {"threads": 2, "seconds": 5.0, "devices": [], "platform": "Linux"} | facts)
    entry.publish([output])
    return entry.folder


def forge(path, content, *, anew):
    """Another content under the same path: in a new file, or in the file that state's copy is a link of."""
    if anew:
        Path(path).unlink()
    Path(path).write_text(content)


def write_road():
    """A table of two runs over one store; the store and one of the runs used a GPU."""
    finish("tile", STORE, "pairs", cfg={"seed": 3}, code={"tile.py": "a"}, raw="feed")
    for seed, rows in (("0", [ROW]), ("1", [ROW, CPU])):
        card = f"results/run-{seed}.json"
        finish(
            "train",
            card,
            f"run {seed}",
            [STORE],
            wildcards={"seed": seed},
            cfg={"rate": 0.1},
            code={"train.py": "b"},
            attempts=rows,
            device="cuda",
        )
    cards = ["results/run-0.json", "results/run-1.json", STORE]
    finish("tabulate", "results/gain.csv", "1,2", cards, cfg={"bootstrap_seed": 5}, code={"table.py": "c"}, attempts=[CPU])
    return "results/gain.csv"


def chain(path):
    found = Lineage(STATE)
    return found.chain(found.maker(path))


def planned(road, runs=False, **changes):
    """The jobs of `road` as the rules have them; `changes` are of the tables' job."""
    jobs = [Planned("tile", {}, {"seed": 3}, {"tile.py": "a"}, "feed", (), (STORE,), False)]
    for seed in "01":
        jobs.append(
            Planned("train", {"seed": seed}, {"rate": 0.1}, {"train.py": "b"}, None, (STORE,), (f"results/run-{seed}.json",), False)
        )
    cards = ("results/run-0.json", "results/run-1.json", STORE)
    parts = {"cfg": {"bootstrap_seed": 5}, "code": {"table.py": "c"}, "raw": None, "inputs": cards} | changes
    return [*jobs, Planned("tabulate", {}, outputs=(road,), runs=runs, words="Forced execution", **parts)]


def told_of(road, jobs):
    judged = judge(jobs, Lineage(STATE), {})[road]
    return judged.fate, [(change.kind, change.what) for change in judged.changes], "\n".join(again(judged))
