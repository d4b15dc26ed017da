"""Memory of the host in a training job: its peak against what its steps hold.

    .venv/bin/python -m benchmarks.host_memory

Each job is a process of its own that trains through the entry point of the library, from opening its store to writing its weights. What
its steps hold is the median of its resident memory, looked at every 20 ms in the middle half of its time; the peak is from the kernel. Of
both, what the process held before is taken off. Aim: at most 1.5 times.
"""

import gc
import tempfile
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.interleaved import AT_MOST, Bench
from benchmarks.memory import in_process, peak, resident
from benchmarks.presets import stanza
from satsynth import kinds
from satsynth.pairs import StoreWriter
from satsynth.runtime.job import COLLECTOR
from satsynth.segmentation.training import train

AIM, CLASSES, PAIRS, STEPS, PAUSE = 1.5, 8, 256, 10, 0.02
PATHS = ("weights", "card", "history", "previews", "work")


@contextmanager
def watched(seen: list[float]):
    """Resident memory in MB, every PAUSE seconds, while the block runs."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(PAUSE):
            seen.append(resident())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def job(folder: Path, work: Callable[[Path, int], None], size: int) -> tuple[float, float]:
    """Peak, and what the steps hold, of one training in this process, beyond what it held before; MB."""
    stream = np.random.default_rng(0)
    with StoreWriter(folder / "store", size=size, classes=CLASSES) as writer:
        for _ in range(PAIRS):
            mask = stream.integers(0, CLASSES, (size // 8, size // 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            writer.append(stream.integers(0, 256, (size, size, 3), dtype=np.uint8), mask)
    gc.set_threshold(*COLLECTOR)  # as in a job
    seen, before = [], resident()
    with watched(seen):
        work(folder, size)
    quarter = len(seen) // 4
    return peak() - before, float(np.median(seen[quarter : len(seen) - quarter])) - before


def generator(folder: Path, size: int) -> None:
    """G of the demo's preset, with networks wide enough to be seen beside the rest, at a fraction of its steps."""
    network = {"channels": 64, "multipliers": [1, 2, 2, 2], "attention": [16]}
    training = {"steps": STEPS, "batch": 4, "warmup": 2}
    cfg = stanza("demo", "generators", "satsynth", {"kind": "ddpm", "size": size, "network": network, "training": training})
    kinds.module("ddpm").train({size: folder / "store"}, cfg, **{name: folder / name for name in PATHS}, device="cpu", wall_seconds=None)


def segmenter(folder: Path, size: int) -> None:
    """FPN of the paper's preset at a fraction of its steps."""
    cfg = stanza("paper", "segmenters", "fpn", {"training": {"steps": STEPS, "batch": 4, "warmup": 2}})
    places = {name: folder / name for name in PATHS if name != "previews"}
    train([folder / "store"], [], cfg, seed=0, **places, device="cpu")


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=3)
    size = 32 if bench.quick else 64
    for what, work in (("a generator", generator), ("a segmenter", segmenter)):
        ratios, figures = [], []
        for _ in range(bench.chosen.rounds):
            with tempfile.TemporaryDirectory() as folder:
                most, held = in_process(job, Path(folder), work, size)
            ratios.append(most / held)
            figures.append((most, held))
        most, held = np.median(figures, 0)
        detail = {"peak, MB": most, "its steps hold, MB": held}
        bench.record(f"host memory of training {what}: peak against what its steps hold", ratios, aim=AIM, sense=AT_MOST, detail=detail)
    bench.close()


if __name__ == "__main__":
    main()
