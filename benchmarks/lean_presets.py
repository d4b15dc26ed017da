"""What pixel-unshuffle costs in quality: held-out loss per noise level of a lean G and of one at full resolution, at equal compute.

    .venv/bin/python -m benchmarks.lean_presets [--data FOLDER] [--size 64] [--minutes 8]

Both have the recipe and the widths of the demo's preset. Their steps are set by the speed that is measured first, so that each trains for
the same CPU time. The loss is EDM's, on pairs of other scenes, under the same noise for both; a ratio above 1 means that the lean network
is worse at that level. Bound: a tenth, at every level. `--data` is a folder with the stores train/ and val/, as the workflow writes it
under results/DATASET/64px/real; without it the demo world of seed 0 is cut. Not among the rows of `make bench`: it trains for twice the
minutes.
"""

import copy
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.interleaved import AT_MOST, Bench
from benchmarks.presets import demo_tiles, stanza
from satsynth import kinds
from satsynth.codes import Codes
from satsynth.datasets.demo import generate
from satsynth.datasets.tiling import tile
from satsynth.diffusion.denoiser import Denoiser
from satsynth.diffusion.outputs import card_codes
from satsynth.diffusion.stacks import Stacks
from satsynth.pairs import open_view
from satsynth.randomness import torch_stream
from satsynth.runtime import files

LEVELS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
TRIAL, HELD_OUT, BATCH, BOUND = 40, 512, 64, 1.1
SIDES = {"full resolution": 1, "pixel-unshuffle 2": 2}


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=1)
    bench.parser.add_argument("--data", type=Path)
    bench.parser.add_argument("--size", type=int, default=64)
    bench.parser.add_argument("--minutes", type=float, default=8.0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = bench.chosen.data or world(folder, bench.chosen.size)
        losses = {}
        for name, unshuffle in SIDES.items():
            cfg = generator(bench.chosen.size, unshuffle)
            begun = time.process_time()
            train(folder / name / "trial", cfg, data, TRIAL)
            each = (time.process_time() - begun) / TRIAL  # loading and writing included: a few per cent
            steps = 30 if bench.quick else round(60 * bench.chosen.minutes / each)
            print(f"{name}: {steps} steps of {cfg['training']['batch']} images", flush=True)
            denoiser, card = train(folder / name / "whole", cfg, data, steps)
            losses[name] = held_out(denoiser, card_codes(card), data / "val")
    full, lean = losses.values()
    for level, before, after in zip(LEVELS, full, lean, strict=True):
        detail = {name: values[LEVELS.index(level)] for name, values in losses.items()}
        what = f"held-out loss at sigma {level:g}, pixel-unshuffle 2 against full resolution"
        bench.record(what, [after / before], aim=BOUND, sense=AT_MOST, detail=detail)
    bench.close()


def generator(size: int, unshuffle: int) -> dict:
    """G of the demo's preset at a size, folded or not."""
    return stanza("demo", "generators", "satsynth", {"kind": "ddpm", "size": size, "network": {"unshuffle": unshuffle}})


def train(out: Path, cfg: dict, data: Path, steps: int) -> tuple[Denoiser, dict]:
    """Train for so many steps; the denoiser with its averaged weights, and its card."""
    shorter = copy.deepcopy(cfg)
    shorter["training"] |= {"steps": steps, "warmup": min(steps // 4, cfg["training"]["warmup"])}
    shorter["previews"] = cfg["previews"] | {"count": 1}
    paths = {part: out / part for part in ("weights", "card", "history", "previews", "work")}
    module = kinds.module(cfg["kind"])
    module.train({cfg["size"]: data / "train"}, shorter, **paths, device="cpu", wall_seconds=None)
    card = files.read_json(paths["card"])
    return module.load(paths["weights"], card, "cpu"), card


@torch.no_grad()
def held_out(denoiser: Denoiser, codes: Codes, store: Path) -> list[float]:
    """Mean loss at each of LEVELS over pairs that were not trained on."""
    stacks = Stacks([open_view([store])], codes, "none", "cpu")
    count, found = min(HELD_OUT, len(stacks)), []
    for level in LEVELS:
        losses = []
        for first in range(0, count, BATCH):
            (x0,) = stacks.batch(0, first, min(BATCH, count - first))
            noise = torch.randn(x0.shape, generator=torch_stream(0, "held-out", level, first, device="cpu"))
            losses.append(denoiser.sample_losses(x0, noise, torch.full((len(x0),), level)))
        found.append(torch.cat(losses).mean().item())
    return found


def world(folder: Path, size: int) -> Path:
    """Stores of the demo world of seed 0, train and val."""
    generate(folder / "raw", {"scenes": 24, "size": 384, "zoom": 2, "seed": 0})
    for split in ("train", "val"):
        tile("demo", folder / "raw", split, demo_tiles(split, size, val=0.25), {size: folder / "real" / split})
    return folder / "real"


if __name__ == "__main__":
    main()
