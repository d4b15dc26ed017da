"""Training and sampling on a GPU: images a second, operations against the card's own matrix product, memory, and diffusers beside it.

    .venv/bin/python -m benchmarks.accelerator [--presets fast paper] [--steps 60]

Trainings and sampling are those of the workflow (`train` and `sample_shard`; G, G_SR, a cascade, each segmenter), of random pairs: two runs
of different lengths are subtracted, so that compiling, loading and writing do not count. Model FLOP/s are those of convolutions and matrix
products, three times the forward pass for a training step; utilisation (MFU) is their share of what a product of two 8192 x 8192 bfloat16
matrices reaches on the same card in the same run. Aims, on an H100: 35 % in training for the 128 px presets, twice diffusers in eager
bfloat16. Where there is no GPU it says so and measures nothing; `--device cpu --presets tiny` tries it out.
"""

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.interleaved import Bench
from benchmarks.networks import IN_CHANNELS, counted, diffusers_unet, forward_flops, unet
from benchmarks.presets import stanza
from satsynth import kinds
from satsynth.diffusion.sampling import sample_shard
from satsynth.diffusion.training import build, memory_format
from satsynth.fitting import build_optimizer
from satsynth.pairs import Store, StoreWriter
from satsynth.runtime import files
from satsynth.segmentation.segmenter import build as build_segmenter
from satsynth.segmentation.training import train as train_segmenter

CLASSES, PAIRS, SIDE = 16, 256, 8192
MFU, PEER = 35.0, 2.0
SEGMENTERS = ("fpn", "pspnet", "segformer", "farseg", "pfsegnet", "unet")
WARM = 10  # steps before the clock counts; compiling falls into them


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=3)
    bench.parser.add_argument("--presets", nargs="*", help="default: fast and paper; tiny in quick mode")
    bench.parser.add_argument("--steps", type=int, default=60, help="training steps that the clock counts")
    bench.parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "")
    device = bench.chosen.device
    if not device:
        print("There is no GPU here: nothing is measured.")
        bench.close()
        return
    peak = matrix_product(device, 1024 if device == "cpu" else SIDE)
    bench.record("matrix product in bfloat16", [peak / 1e12], unit="TFLOP/s")
    with tempfile.TemporaryDirectory() as place:
        for preset in bench.chosen.presets or (["tiny"] if bench.quick else ["fast", "paper"]):
            folder = Path(place) / preset
            stages = [generator(bench, folder / name, preset, name, device, peak) for name in ("satsynth", "upscaler")]
            for compile in (False, True):
                sampling(bench, folder, stages[:1], f"{preset}, G", device, compile)
                sampling(bench, folder, stages, f"{preset}, G and G_SR", device, compile)
        for name in SEGMENTERS[: 1 if bench.quick else None]:
            segmenter(bench, Path(place) / name, name, device, peak)
    against_diffusers(bench, device)
    bench.close()


def matrix_product(device: str, side: int) -> float:
    """FLOP/s of a product of two square bfloat16 matrices, the best of five."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(5):
        begun = now(device)
        for _ in range(5):
            a @ b
        seconds.append((now(device) - begun) / 5)
    return 2 * side**3 / min(seconds)


def speed_of(train: Callable[[Path, int], None], folder: Path, bench: Bench, batch: int, device: str) -> tuple[float, float]:
    """Images a second of the steps behind the first ones, which compile; and the most memory that a run allocates, in GiB."""
    torch.compiler.reset()  # else what was compiled for other networks would count against the compiler's limit
    steps, seconds = bench.chosen.steps, []
    for number, count in enumerate((WARM, WARM, WARM + steps)):
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        begun = now(device)
        train(folder / f"run-{number}", count)
        seconds.append(now(device) - begun)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
    return steps * batch / (seconds[2] - seconds[1]), memory


def generator(bench: Bench, folder: Path, preset: str, name: str, device: str, peak: float) -> dict:
    """The row of a generator's training; the generator as a stage of `sample_shard`, with the sampler of its place in a cascade."""
    stanzas = {other: config(preset, other) for other in ("satsynth", "upscaler")}
    cfg = stanzas[name]
    stores = {size: random_store(folder / f"{size}px", size).folder for size in (cfg["size"], cfg.get("low")) if size}
    shorter = copy.deepcopy(cfg)
    shorter["previews"] = {"count": 1, "sampler": cfg["previews"]["sampler"] | {"steps": 2}}

    def train(out: Path, steps: int) -> None:
        shorter["training"] |= {"steps": steps, "warmup": 0}
        paths = {part: out / part for part in ("weights", "card", "history", "previews", "work")}
        kinds.module(cfg["kind"]).train(stores, shorter, **paths, device=device, wall_seconds=None)

    speed, memory = speed_of(train, folder, bench, cfg["training"]["batch"], device)
    card = files.read_json(folder / "run-2/card")
    flops = 3 * forward(card, cfg, conditional=bool(cfg.get("low"))) * speed
    what = f"{preset}/{name} ({cfg['size']} px, {card['parameters'] / 1e6:.1f} M)"
    utilisation(bench, what, flops, speed, memory, peak, MFU if cfg["size"] == 128 else None)
    source = stanza(preset, "sources", "cascade", {"generator": "satsynth", "then": "upscaler"}, generators=stanzas)
    sampler = source["then_sampler" if "low" in cfg else "sampler"]
    return {"weights": folder / "run-2/weights", "card": card, "sampler": sampler}


def segmenter(bench: Bench, folder: Path, name: str, device: str, peak: float) -> None:
    """The row of a segmenter's training, of the paper's preset at its size."""
    size = 64 if device == "cpu" else 256
    cfg = stanza("paper", "segmenters", name, {})
    store = random_store(folder / "store", size).folder
    batch = cfg["training"]["batch"]

    def train(out: Path, steps: int) -> None:
        shorter = cfg | {"training": cfg["training"] | {"steps": steps, "warmup": 0}}
        paths = {part: out / part for part in ("weights", "card", "history", "work")}
        train_segmenter([store], [], shorter, seed=0, **paths, device=device)

    speed, memory = speed_of(train, folder, bench, batch, device)
    flops = 3 * counted(build_segmenter(cfg, CLASSES, "float32").eval(), torch.zeros(1, size, size, 3, dtype=torch.uint8)) * speed
    utilisation(bench, f"{name} ({size} px, {cfg['encoder']})", flops, speed, memory, peak)


def utilisation(bench: Bench, what: str, flops: float, speed: float, memory: float, peak: float, aim: float | None = None) -> None:
    """The row of a training: the share of the matrix product's FLOP/s that it reaches."""
    detail = {"images a second": speed, "TFLOP/s": flops / 1e12, "peak memory, GiB": memory}
    bench.record(f"utilisation in training of {what}", [100 * flops / peak], aim=aim, unit="%", detail=detail)


def sampling(bench: Bench, folder: Path, stages: list[dict], what: str, device: str, compile: bool) -> None:
    """A row of sampling in blocks of 64; of a compiled one, what its first block takes is a detail."""
    seconds, block = [], 64 if device == "cuda" else 4
    torch.compiler.reset()
    for number, blocks in enumerate((1, 1, 3)):
        begun = now(device)
        arguments = {"seed": 0, "block": block, "first": 0, "last": blocks * block, "device": device, "classes": CLASSES}
        sample_shard(stages, folder=folder / f"shard-{len(stages)}-{compile}-{number}", compile=compile, **arguments)
        seconds.append(now(device) - begun)
    speed = 2 * block / (seconds[2] - seconds[1])
    nfe = sum(kinds.module(stage["card"]["kind"]).nfe(stage["sampler"]) for stage in stages)
    detail = {"evaluations a pair": nfe, "evaluations a second": nfe * speed, "first block, s": seconds[0]}
    bench.record(f"sampling of {what}{', CUDA graphs' if compile else ''}", [speed], unit="pairs/s", detail=detail)


def against_diffusers(bench: Bench, device: str) -> None:
    """Rows of a training step and of an evaluation: ours, compiled, and diffusers as it is, both in bfloat16, per operation."""
    torch.compiler.reset()
    size, channels, batch = (128, 128, 32) if device == "cuda" else (32, 32, 2)
    ours, peer = unet(size, channels).to(device, memory_format=memory_format("bfloat16", device)), diffusers_unet(size, channels).to(device)
    one, level = torch.randn(1, IN_CHANNELS, size, size, device=device), torch.full((1,), 500.0, device=device)
    work = forward_flops(peer, one, level) / forward_flops(ours, one, level)
    if device == "cuda":
        ours.forward = torch.compile(ours.forward, dynamic=False)
    x = torch.randn(batch, IN_CHANNELS, size, size, device=device)
    level = level.expand(batch)

    def step(network: torch.nn.Module, train: bool) -> None:
        with torch.set_grad_enabled(train), torch.autocast(device, torch.bfloat16):
            found = network(x, level)
        found = found if torch.is_tensor(found) else found.sample
        if train:
            functional.mse_loss(found.float(), x).backward()
            optimizers[network].step()
            optimizers[network].zero_grad(set_to_none=True)

    training = {"optimizer": "adamw", "learning_rate": 1e-4, "weight_decay": 0.01, "betas": [0.9, 0.999]}
    optimizers = {network: build_optimizer([{"params": list(network.parameters())}], training) for network in (ours, peer)}
    for what, train in (("training step", True), ("evaluation", False)):
        sides = {"diffusers, eager": lambda train=train: repeat(peer, train), "satsynth": lambda train=train: repeat(ours, train)}

        def repeat(network: torch.nn.Module, train: bool) -> None:
            for _ in range(10 if device == "cuda" else 1):
                step(network, train)
            now(device)

        units = {"diffusers, eager": batch * work, "satsynth": batch}
        bench.ratio(
            f"{what} in bfloat16 against diffusers, per operation", sides, units=units, unit="batches", aim=PEER, clock=time.perf_counter
        )


def config(preset: str, name: str) -> dict:
    """A generator of a preset at the paper's sizes (or, of tiny, its own)."""
    low, size = (32, 64) if preset == "tiny" else (128, 256)
    own = {"kind": "upscaler", "low": low, "size": size} if name == "upscaler" else {"kind": "ddpm", "size": low}
    return stanza(preset, "generators", name, own)


def random_store(folder: Path, size: int) -> Store:
    """Pairs of noise: speed does not depend on what they show."""
    stream = np.random.default_rng(0)
    with StoreWriter(folder, size=size, classes=CLASSES) as writer:
        for _ in range(PAIRS):
            writer.append(
                stream.integers(0, 256, (size, size, 3), dtype=np.uint8), stream.integers(0, CLASSES, (size, size), dtype=np.uint8)
            )
    return Store.open(folder)


def forward(card: dict, cfg: dict, conditional: bool) -> int:
    """FLOPs of one forward pass of what was trained."""
    from satsynth.diffusion.outputs import card_codes

    network = build(card, card_codes(card), cfg["size"], conditional, "cpu").network
    shape = network.config
    x = torch.zeros(1, shape.in_channels, cfg["size"], cfg["size"])
    level = torch.zeros(1)
    return forward_flops(network, x, level, None, level if shape.condition_levels else None)


def now(device: str) -> float:
    """The clock, once the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
