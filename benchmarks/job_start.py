"""What a training job does before its first step: interpreter, lease, imports, opening a store of 100,000 pairs, its network on its device.

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
from benchmarks.presets import stanza
from satsynth.pairs import StoreWriter

ROOT = Path(__file__).resolve().parents[1]
AIM = 5.0
BEGIN = """
import gc, logging
from satsynth.runtime.job import COLLECTOR
gc.set_threshold(*COLLECTOR)
from satsynth.runtime.devices import lease
with lease(1, folder={folder!r} + "/locks", wait_seconds=60, log=logging.getLogger()) as held:
    {imports}
    from satsynth.pairs import open_view
    view = open_view([{folder!r} + "/store"])
    import torch
    {network}
    next(network.parameters()).sum().item()
"""
# What a job imports, and the network that it puts on its device: of the fast preset and of the paper's.
WORK = {
    "training of a generator": (
        "import satsynth.diffusion.ddpm",
        "from satsynth.diffusion.training import build; from satsynth.codes import Codes; "
        "network = build({generator}, Codes('bits', 16), 128, False, held.kind)",
    ),
    "training of a segmenter": (
        "import satsynth.segmentation.training",
        "from satsynth.segmentation.segmenter import build; network = build({segmenter}, 16, 'float32').to(held.kind)",
    ),
}
ROWS = 100_000


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=5)
    with tempfile.TemporaryDirectory() as folder:
        with StoreWriter(Path(folder) / "store", size=8, classes=2) as writer:
            for row in range(1000 if bench.quick else ROWS):
                writer.append(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), scene=f"scene-{row % 97}", row=row, column=0)
        configs = {
            "generator": stanza("fast", "generators", "satsynth", {"kind": "ddpm", "size": 128}),
            "segmenter": stanza("paper", "segmenters", "fpn", {}),
        }
        seconds: dict[str, list[float]] = {name: [] for name in WORK}
        for number in range(bench.chosen.rounds + 1):
            for name, (imports, network) in WORK.items():
                program = BEGIN.format(folder=folder, imports=imports, network=network.format(**configs))
                begun = time.perf_counter()
                subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
                if number:  # the first fills the disk's cache
                    seconds[name].append(time.perf_counter() - begun)
    for name, values in seconds.items():
        bench.record(f"start of a job: {name}", values, aim=AIM, sense=AT_MOST, unit="s")
    bench.close()


if __name__ == "__main__":
    main()
