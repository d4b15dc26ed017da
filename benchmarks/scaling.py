"""How costs grow: with pairs in an index, with jobs in a workflow, with pixels, with classes, and with devices that train together.

    .venv/bin/python -m benchmarks.scaling

Not among the rows of `make bench`: nothing is compared with a peer. It takes a quarter of an hour.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from benchmarks.dry_run import ROOT, overlay, plan
from benchmarks.interleaved import Bench
from benchmarks.memory import added
from benchmarks.networks import unet
from satsynth.codes import Codes
from satsynth.pairs import StoreWriter, open_view
from satsynth.segmentation.batches import Mixture

ROWS = (10**3, 10**4, 10**5, 10**6)
JOBS = (1000, 3000, 10_000)
SIDES = (32, 64, 128)
CLASSES = (5, 16, 64)
RANKS = (1, 2)
STEPS = 6


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=3)
    quick = bench.quick
    with tempfile.TemporaryDirectory() as place:
        for rows in ROWS[: 2 if quick else None]:
            index(bench, Path(place) / str(rows), rows)
        for jobs in JOBS[: 1 if quick else None]:
            planning(bench, Path(place) / f"jobs-{jobs}", jobs)
    for side in SIDES[: 1 if quick else None]:
        seconds = training_step(side, inputs=8)
        bench.record(f"training step at {side} px", [seconds * 1e3], unit="ms a pair")
    for classes in CLASSES[: 1 if quick else None]:
        for kind in ("bits", "onehot"):
            channels = 3 + Codes(kind, classes).channels
            seconds = training_step(32, inputs=channels)
            bench.record(f"training step at 32 px, {classes} classes as {kind}", [seconds * 1e3], unit="ms a pair")
    for ranks in RANKS[: 1 if quick else None]:
        bench.record(f"training step of {ranks} ranks together", [together(ranks) * 1e3], unit="ms of the clock")
    bench.close()


def index(bench: Bench, folder: Path, rows: int) -> None:
    """Opening a store of so many pairs, and drawing the first batch from it."""
    pair = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    with StoreWriter(folder, size=2, classes=2) as writer:
        for row in range(rows):
            writer.append(*pair, scene=f"scene-{row % 97}", row=row, column=0)
    seconds = []
    for _ in range(bench.chosen.rounds):
        begun = time.process_time()
        first_batch(folder)
        seconds.append(time.process_time() - begun)
    bench.record(f"opening {rows:,} pairs and drawing a batch", seconds, unit="s", detail={"memory, MB": added(first_batch, folder)})


def first_batch(folder: Path) -> None:
    """As the first step of a training."""
    Mixture(open_view([folder]), None, "cpu").draw(0, 0, 64)


def planning(bench: Bench, folder: Path, jobs: int) -> None:
    """CPU seconds of a dry run."""
    folder.mkdir()
    config = folder / "many.yaml"
    config.write_text(yaml.safe_dump(overlay(jobs)))
    spent, planned = plan(folder, "--resources", "gpu=4", "--configfile", str(ROOT / "config.yaml"), str(config))
    bench.record(f"dry run of {planned:,} jobs", [spent], unit="s", detail={"ms a job": 1e3 * spent / planned})


def training_step(side: int, inputs: int) -> float:
    """CPU seconds of a pair's forward and backward pass, float32, one thread."""
    network = unet(side, 32, channels_in=inputs).train()
    x, level = torch.randn(4, inputs, side, side), torch.zeros(4)
    seconds = []
    for _ in range(STEPS):
        begun = time.process_time()
        network(x, level).square().mean().backward()
        seconds.append((time.process_time() - begun) / len(x))
    return float(np.median(seconds[1:]))


def together(ranks: int) -> float:
    """Seconds of the clock of a step in which each rank takes four pairs, one thread each, and gradients are averaged through gloo."""
    with tempfile.TemporaryDirectory() as place:
        multiprocessing.spawn(_rank, (ranks, place), nprocs=ranks)
        return float((Path(place) / "seconds").read_text())


def _rank(number: int, ranks: int, place: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(GLOO_SOCKET_IFNAME="lo")
    distributed.init_process_group("gloo", init_method=f"file://{place}/meet", rank=number, world_size=ranks)
    network = DistributedDataParallel(unet(32, 64).train())
    x, level = torch.randn(4, 8, 32, 32), torch.zeros(4)
    seconds = []
    for _ in range(STEPS):
        distributed.barrier()
        begun = time.perf_counter()
        network(x, level).square().mean().backward()
        seconds.append(time.perf_counter() - begun)
    if number == 0:
        (Path(place) / "seconds").write_text(str(np.median(seconds[1:])))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
