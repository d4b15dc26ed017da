"""Shards of synthetic pairs: one generator, or a cascade of them, sampled in one job (paper, sections 4.4 and 4.5).

Pair i is a function of (weights, sampler, seed, block, i) alone. Work goes in fixed blocks of absolute indices, each with noise of
its own; a shard that cuts a block samples the whole block and keeps its rows. Each block is kept in a file of its own until the shard is
whole: a job that was killed goes on behind the last one, and several devices take blocks in turn.
"""

import logging
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from satsynth import distributed, kinds
from satsynth.codes import Codes
from satsynth.diffusion.outputs import card_codes
from satsynth.diffusion.stacks import decode, settle
from satsynth.fitting import left
from satsynth.pairs import StoreWriter
from satsynth.randomness import torch_stream
from satsynth.runtime import checkpoints, files
from satsynth.runtime.errors import BudgetError, ConfigError, WeightsError
from satsynth.runtime.logs import Progress

log = logging.getLogger(__name__)


def sample_shard(
    stages: list[dict],
    *,
    folder: Path,
    seed: int,
    block: int,
    first: int,
    last: int,
    device: str,
    classes: int,
    work: Path | None = None,
    compile: bool = False,
    wall_seconds: float | None = None,
) -> None:
    """Sample pairs `first` to `last - 1` and write them as a store; blocks that a killed call left in `work` are not sampled again.

    Args:
        stages: G, or G and then G_SR: dicts of `weights` (path), `card` (the card's content) and `sampler` (config). A later
            stage is conditioned on the raw clipped output of the one before (paper, eq. 5); with a measured prior, on its code words.
        folder: where the store goes. Columns of its index: pair, seed, index (absolute), margin (mean code margin), invalid
            (share of pixels whose bits are no code word). Its card carries `source`. A generator of images alone (codes "none") leaves
            masks that are all to be ignored, and neither of the last two columns.
        seed: of all noise.
        block: pairs sampled together; part of what a pair depends on, so it belongs to the source's config.
        first: absolute index of the first pair.
        last: one past the last.
        device: "cpu" or "cuda".
        classes: K of the label space that the pairs are made for.
        work: folder of the blocks so far, which belongs to these arguments alone; None keeps nothing for another call.
        compile: on an accelerator, replay the networks as compiled CUDA graphs; minutes at a shard's start. Last bits of a pair change.
        wall_seconds: begin no block that would not end within this budget, going by the slowest so far; None for no limit.

    Raises:
        BudgetError: the time budget is spent; the blocks are kept.
        WeightsError: weights that do not fit their card.
        ConfigError: stages that do not follow each other or know another number of classes, an empty range, or a sampler that cannot
            be used.
    """
    _check(stages, block, first, last, classes)
    if work is None:
        with tempfile.TemporaryDirectory() as own:
            rest = {"device": device, "classes": classes, "compile": compile, "wall_seconds": wall_seconds}
            sample_shard(stages, folder=folder, seed=seed, block=block, first=first, last=last, work=Path(own), **rest)
        return
    begun = time.monotonic()
    modules = [kinds.module(stage["card"]["kind"]) for stage in stages]
    denoisers = [module.load(stage["weights"], stage["card"], device) for module, stage in zip(modules, stages, strict=True)]
    if compile and torch.device(device).type == "cuda":
        for module, denoiser in zip(modules, denoisers, strict=True):
            module.compile_sampling(denoiser, block)
    source = {
        "weights": [stage["card"]["weights_sha256"] for stage in stages],
        "samplers": [stage["sampler"] for stage in stages],
        "nfe": [module.nfe(stage["sampler"]) for module, stage in zip(modules, stages, strict=True)],
        "seed": seed,
        "block": block,
    }
    card = stages[-1]["card"]
    blocks = range(first // block, (last - 1) // block + 1)
    common = {"seed": seed, "block": block, "work": work, "device": device, "wall_seconds": left(wall_seconds, begun)}
    if distributed.anywhere(_sample_blocks(blocks, modules, denoisers, stages, **common)):
        cause = f"the time budget of {wall_seconds:.0f} s is too short for what is left of blocks {blocks[0]} to {blocks[-1]}."
        raise BudgetError("sampling", cause, "Run again: what was sampled is kept.")
    if not distributed.first():
        return
    codes = card_codes(card)
    with StoreWriter(folder, size=card["size"], classes=classes, facts={"source": source}) as writer:
        for number in blocks:
            begin = number * block
            kept = slice(max(first - begin, 0), min(last - begin, block))
            tensors, _ = checkpoints.load(work, _name(number))
            rows = {name: tensor[kept].numpy() for name, tensor in tensors.items()}
            _append(writer, rows, codes, seed, begin + kept.start)


def _sample_blocks(
    blocks: range,
    modules: list[ModuleType],
    denoisers: list[object],
    stages: list[dict],
    *,
    seed: int,
    block: int,
    work: Path,
    device: str,
    wall_seconds: float | None,
) -> bool:
    """Sample the blocks that are this rank's and not there yet; whether the time budget ended before the last of them."""
    begun, slowest, sampled = time.monotonic(), 0.0, 0
    own = blocks[distributed.number() :: distributed.count()]
    missing = [number for number in own if checkpoints.load(work, _name(number)) is None]
    if len(missing) < len(own):
        log.info("sampling: resumed with %d of %d blocks", len(own) - len(missing), len(own))
    progress = Progress("sampling", len(own) * block, "pairs", done=(len(own) - len(missing)) * block)
    evaluations = sum(module.nfe(stage["sampler"]) for module, stage in zip(modules, stages, strict=True))
    for number in missing:
        now = time.monotonic()
        if wall_seconds is not None and now - begun + slowest > wall_seconds:
            return True
        stack = None
        for stage, (module, denoiser) in enumerate(zip(modules, denoisers, strict=True)):
            generator = torch_stream(seed, "sample", stage, number, device=device)
            if stage and denoiser.prior is not None:
                stack = settle(stack, card_codes(stages[stage - 1]["card"]))  # a prior takes codes for words: between two it guesses
            stack = module.draw(denoiser, stages[stage]["sampler"], block, generator, stack)
        images, masks, margins, invalid = decode(stack, card_codes(stages[-1]["card"]))
        tensors = {"images": images, "masks": masks, "margins": margins, "invalid": invalid}
        checkpoints.save(work, {name: torch.from_numpy(array) for name, array in tensors.items()}, {}, _name(number))
        slowest, sampled = max(slowest, time.monotonic() - now), sampled + block
        progress.update((len(own) - len(missing)) * block + sampled)
    rate = evaluations * sampled / max(time.monotonic() - begun, 1e-9)
    log.info("sampling: %d network evaluations a pair, %.4g evaluations/s in blocks of %d", evaluations, rate, block)
    return False


def _name(number: int) -> str:
    return f"block-{number:06d}.safetensors"


def check_data(stages: list[dict], real: Path) -> None:
    """Refuse generators that learned other pairs than those that new ones are made for: their labels may mean something else.

    Args:
        stages: as in `sample_shard`.
        real: the card of the real training pairs at the last stage's size.

    Raises:
        WeightsError: the last stage was trained on another store, or a stage on other low-resolution pairs than the one before.
    """
    known, below = {str(stages[-1]["card"]["size"]): files.sha256(real)}, real
    for stage in reversed(stages):
        data = stage["card"]["data"]
        for size in data.keys() & known.keys():
            if data[size] != known[size]:
                cause = f"it was trained on other pairs of {size} px than {below} stands for."
                raise WeightsError(stage["weights"], cause, "Train it on this dataset: remove the file and run the workflow again.")
        known, below = known | data, stage["weights"]


def _append(writer: StoreWriter, rows: dict[str, np.ndarray], codes: Codes, seed: int, index: int) -> None:
    for row, (image, mask) in enumerate(zip(rows["images"], rows["masks"], strict=True)):
        facts = {"margin": rows["margins"][row], "invalid": rows["invalid"][row]} if codes.channels else {}
        writer.append(image, mask, seed=seed, index=index + row, **{name: round(float(value), 6) for name, value in facts.items()})


def _check(stages: list[dict], block: int, first: int, last: int, classes: int) -> None:
    if not 0 <= first < last:
        raise ConfigError("shards", f"pairs {first} to {last - 1} are no range.", "Use fewer shards than pairs.")
    if block < 1:
        raise ConfigError("block", f"{block} pairs cannot be sampled together.", "Give 1 or more.")
    below = None
    for stage in stages:
        card = stage["card"]
        low = card["low"]
        if low != (below["size"] if below else None):
            known = f"{below['size']} px" if below else "nothing"
            cause = f"a {card['kind']} that starts from {low} px follows {known}."
            raise ConfigError("sources", cause, "Let `generator` be unconditional, and `then` start from its size.")
        if below and (card["classes"], card["codes"]) != (below["classes"], below["codes"]):
            raise ConfigError("sources", "the stages of the cascade use different label codes.", "Train both on one dataset and code.")
        if card["classes"] != classes:
            cause = f"a generator of {card['classes']} classes was trained on another label space than this one of {classes}."
            raise ConfigError("sources", cause, "Sample it for the dataset that it learnt, or train it again.")
        below = card
