"""Training of a segmenter: bfloat16 in channels-last memory against float32 in NCHW, and what counting a confusion matrix costs.

    .venv/bin/python -m benchmarks.segmentation_training [--network segformer] [--size 256]

One optimiser step of a network of the paper preset on random images, one thread. Aims, on CPUs that compute bfloat16: 2.2 times the
images per CPU second; and that the metrics of one validation image take less than 2 % of the time of one training image.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.interleaved import AT_MOST, Bench, measure
from benchmarks.presets import stanza
from satsynth.fitting import build_optimizer, choose_precision
from satsynth.pairs import Store, StoreWriter
from satsynth.segmentation.prediction import Tally
from satsynth.segmentation.segmenter import build, build_loss, most_probable

CLASSES, BATCH = 16, 4


def training_step(cfg: dict, precision: str, images: torch.Tensor, masks: torch.Tensor) -> Callable[[], None]:
    """One optimiser step in a precision, as the training loop takes it."""
    torch.manual_seed(0)
    segmenter, criterion = build(cfg, CLASSES, precision).train(), build_loss(cfg)
    optimizer = build_optimizer([{"params": list(segmenter.parameters())}], cfg["training"])

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        criterion(segmenter(images), masks, 0).backward()
        torch.nn.utils.clip_grad_norm_(segmenter.parameters(), cfg["training"]["clip"])
        optimizer.step()

    return step


def store_of(folder: Path, images: torch.Tensor, masks: torch.Tensor) -> Store:
    """The batch as a store, for the tally."""
    with StoreWriter(folder, size=images.shape[1], classes=CLASSES) as writer:
        for image, mask in zip(images.numpy(), masks.numpy()):
            writer.append(image, mask)
    return Store.open(folder)


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=5)
    bench.parser.add_argument("--network", default="fpn")
    bench.parser.add_argument("--size", type=int, default=256)
    network, size = bench.chosen.network, 64 if bench.quick else bench.chosen.size
    cfg = stanza("paper", "segmenters", network, {})
    stream = np.random.default_rng(0)
    images = torch.from_numpy(stream.integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8))
    blocks = stream.integers(0, CLASSES, (BATCH, size // 16, size // 16), dtype=np.uint8)
    masks = torch.from_numpy(blocks.repeat(16, 1).repeat(16, 2))
    native = choose_precision("auto", "cpu")
    ours = f"{native}{', channels last' if native == 'bfloat16' else ', NCHW (this CPU has no bfloat16)'}"
    sides = {
        "float32, NCHW": training_step(cfg, "float32", images, masks),
        ours: training_step(cfg, native, images, masks),
    }
    seconds = measure(sides, bench.chosen.rounds)
    what = f"segmentation training in {ours} against float32, NCHW ({network}, {cfg['encoder']}, {size} px)"
    aim = 2.2 if native == "bfloat16" else None
    bench.compare(what, seconds, units=dict.fromkeys(sides, BATCH), unit="images", aim=aim)

    with tempfile.TemporaryDirectory() as place, torch.inference_mode():
        store = store_of(Path(place) / "store", images, masks)
        logits = build(cfg, CLASSES, native).eval()(images)
        rows = np.arange(BATCH)
        tally = Tally(store, None, torch.device("cpu"))
        counting = measure({"metrics": lambda: tally.add(rows, most_probable(logits))}, 4 * bench.chosen.rounds)
    shares = 100 * counting["metrics"] / np.median(seconds[ours])
    bench.record("metrics of a validation image, of the time of a training image", shares, aim=2, sense=AT_MOST, unit="%")
    bench.close()


if __name__ == "__main__":
    main()
