"""What a GPU job does before its first step: interpreter, lease, imports, opening the store, a network on its device.

    .venv/bin/python -m benchmarks.job_start

Each round is a process of its own, timed by the clock on the wall, since it is what a job waits. Aim: below 5 s.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.interleaved import AT_MOST, Bench
from satsynth.pairs import StoreWriter

ROOT = Path(__file__).resolve().parents[1]
AIM = 5.0
BEGIN = """
import logging
from satsynth.runtime.devices import lease
with lease(1, folder={folder!r} + "/locks", wait_seconds=60, log=logging.getLogger()) as held:
    {imports}
    from satsynth.pairs import open_view
    view = open_view([{folder!r} + "/store"])
    import torch
    torch.zeros(1, device=held.kind)
"""
WORK = {"training of a generator": "import satsynth.diffusion.ddpm", "training of a segmenter": "import satsynth.segmentation.training"}


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=5)
    with tempfile.TemporaryDirectory() as folder:
        with StoreWriter(Path(folder) / "store", size=128, classes=2) as writer:
            for _ in range(64):
                writer.append(np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128), np.uint8))
        seconds: dict[str, list[float]] = {name: [] for name in WORK}
        for number in range(bench.chosen.rounds + 1):
            for name, imports in WORK.items():
                begun = time.perf_counter()
                subprocess.run([sys.executable, "-c", BEGIN.format(folder=folder, imports=imports)], cwd=ROOT, check=True)
                if number:  # the first fills the disk's cache
                    seconds[name].append(time.perf_counter() - begun)
    for name, values in seconds.items():
        bench.record(f"start of a job: {name}", values, aim=AIM, sense=AT_MOST, unit="s")
    bench.close()


if __name__ == "__main__":
    main()
