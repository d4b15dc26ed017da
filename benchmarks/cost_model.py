"""GPU-hours and hours of a dataset's Table 2, by counting: operations of its jobs over the speed of a card, on 1 to 64 of them.

    .venv/bin/python -m benchmarks.cost_model [--preset fast] [--classes 16]

Nothing is timed. Operations of the preset's networks are counted, of convolutions and matrix products alone (a backward pass as two forward
ones); what is assumed is named below. A free card takes the ready job with the most work behind it.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from benchmarks.interleaved import Bench
from benchmarks.networks import counted, forward_flops
from benchmarks.presets import PRESETS
from satsynth.codes import Codes
from satsynth.diffusion.denoiser import build_denoiser
from satsynth.diffusion.samplers import nfe
from satsynth.plan.config import resolve
from satsynth.plan.presets import load_preset
from satsynth.plan.runs import runs_of
from satsynth.segmentation.segmenter import build

PEAK = 990e12  # operations a second of an H100 in dense bfloat16, by its data sheet
SHARES = {"diffusion": 0.35, "segmenter": 0.25}  # of the peak, reached by a job: the aim of benchmarks.accelerator, and a guess
START = 10.0  # seconds of a job before its first step
PAIRS = (2 * 10**4, 10**6, 10**7)
CARDS = (1, 4, 16, 64)
OVERLAY = Path(__file__).resolve().parents[1] / "configs/paper.yaml"


@dataclass
class Job:
    """Seconds on one card, and the jobs that it waits for."""

    seconds: float
    after: list[str] = field(default_factory=list)


def workflow_of(preset: str) -> tuple[dict, list]:
    """The paper's config over a preset, and the runs of its Table 2."""
    config = yaml.safe_load(OVERLAY.read_text(encoding="utf-8")) | {"preset": preset, "run": ["table2"]}
    resolved = resolve(config, load_preset(PRESETS, preset))
    return resolved, runs_of("table2", config, resolved)


def generator_flops(cfg: dict, classes: int) -> float:
    """Of one forward pass over one pair."""
    channels, size = 3 + Codes(cfg["codes"], classes).channels, cfg["size"]
    conditional, level = "low" in cfg, cfg["condition_noise"] is not None
    with torch.device("meta"):
        network = build_denoiser(cfg, channels, size, channels if conditional else 0, conditional and level).network
        x, time = torch.empty(1, channels, size, size), torch.empty(1)
        return forward_flops(network, x, time, x if conditional else None, time if network.config.condition_levels else None)


def segmenter_flops(cfg: dict, classes: int, size: int) -> float:
    """Of one forward pass over one image."""
    return counted(build(cfg, classes, "float32").eval(), torch.zeros(1, size, size, 3, dtype=torch.uint8))  # some need autocast's device


def jobs_of(preset: str, classes: int, pairs: int) -> dict[str, Job]:
    """Every job of the table that takes a card, by name."""
    resolved, runs = workflow_of(preset)
    source = resolved["sources"]["cascade"]
    stages = {"G": resolved["generators"][source["generator"]], "G_SR": resolved["generators"][source["then"]]}
    flops = {name: generator_flops(cfg, classes) for name, cfg in stages.items()}
    speeds = {kind: PEAK * share for kind, share in SHARES.items()}
    jobs = {}
    for name, cfg in stages.items():
        images = cfg["training"]["steps"] * cfg["training"]["batch"]
        jobs[name] = Job(START + 3 * images * flops[name] / speeds["diffusion"])
    a_pair = nfe(source["sampler"]) * flops["G"] + nfe(source["then_sampler"]) * flops["G_SR"]
    for unit in range(max(run.ratio for run in runs)):
        for shard in range(source["shards"]):
            jobs[f"shard {unit}-{shard}"] = Job(START + pairs / source["shards"] * a_pair / speeds["diffusion"], ["G", "G_SR"])
    known = {name: segmenter_flops(resolved["segmenters"][name], classes, runs[0].size) for name in {run.segmenter for run in runs}}
    for run in runs:
        training = resolved["segmenters"][run.segmenter]["training"]
        seconds = START + 3 * training["steps"] * training["batch"] * known[run.segmenter] / speeds["segmenter"]
        shards = [f"shard {unit}-{shard}" for unit in range(run.ratio) for shard in range(source["shards"])]
        jobs[run.folder] = Job(seconds, shards)
    return jobs


def makespan(jobs: Mapping[str, Job], cards: int) -> float:
    """Seconds until the last of the jobs ends on so many cards, each job on one."""
    followers: dict[str, list[str]] = {name: [] for name in jobs}
    waiting = {name: len(job.after) for name, job in jobs.items()}
    for name, job in jobs.items():
        for before in job.after:
            followers[before].append(name)
    behind: dict[str, float] = {}

    def rank(name: str) -> float:
        if name not in behind:
            behind[name] = jobs[name].seconds + max((rank(follower) for follower in followers[name]), default=0.0)
        return behind[name]

    ready = [(-rank(name), name) for name in jobs if not waiting[name]]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < cards:
            _, name = heapq.heappop(ready)
            heapq.heappush(running, (now + jobs[name].seconds, name))
        now, ended = heapq.heappop(running)
        for follower in followers[ended]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, (-rank(follower), follower))
    return now


def main() -> None:
    """Count and print."""
    bench = Bench(__doc__, rounds=1)
    bench.parser.add_argument("--preset", default="paper")
    bench.parser.add_argument("--classes", type=int, default=16)
    for pairs in PAIRS[: 1 if bench.quick else None]:
        jobs = jobs_of(bench.chosen.preset, bench.chosen.classes, pairs)
        work = sum(job.seconds for job in jobs.values()) / 3600
        groups = {"G": "G", "G_SR": "G_SR", "shards": "shard", "segmenters": "results"}
        detail = {
            name: sum(job.seconds for key, job in jobs.items() if key.split()[0].split("/")[0] == first) / 3600
            for name, first in groups.items()
        }
        bench.record(f"{bench.chosen.preset}, {pairs:,} pairs, {len(jobs)} jobs", [work], unit="GPU-hours", detail=detail)
        for cards in CARDS:
            bench.record(f"{bench.chosen.preset}, {pairs:,} pairs on {cards} cards", [makespan(jobs, cards) / 3600], unit="h")
        print("  " + ", ".join(f"{name} {hours:.4g} h" for name, hours in detail.items()))
    bench.close()


if __name__ == "__main__":
    main()
