"""The denoising of pairs over time: what G is given at some steps of its sampler, and the pairs that come of it (paper, Fig. 8)."""

from pathlib import Path

import numpy as np
import torch

from satsynth import kinds
from satsynth.codes import Codes
from satsynth.diffusion.levels import sigma_grid
from satsynth.diffusion.outputs import card_codes
from satsynth.diffusion.samplers import Watch
from satsynth.diffusion.stacks import decode
from satsynth.randomness import torch_stream
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError

FORMAT = 1


def trace_pairs(
    weights: Path,
    card: dict,
    *,
    sampler: dict,
    seed: int,
    block: int,
    count: int,
    moments: int,
    images: Path,
    masks: Path,
    card_out: Path,
    device: str,
) -> None:
    """Sample pairs 0 to `count - 1` as `satsynth.diffusion.sampling.sample_shard` does in its first stage, and keep states on the way.

    A state at noise level sigma is shown as x_t = (x0 + sigma eps) / sqrt(1 + sigma^2), its colours cut to the range of a pixel, its code
    channels read as the nearest class, which in pure noise is any. The last moment is the pair itself, bit for bit that of a
    shard that was sampled without a compiler.

    Args:
        weights: safetensors file of an unconditional generator.
        card: what its card says.
        sampler: see `satsynth.diffusion.samplers.sample`.
        seed, block: of the source; whole blocks are sampled, since a pair depends on its block.
        count: pairs to follow.
        moments: states of each, evenly in steps from noise to the pair; all of them where the sampler has fewer.
        images: npy file to write, (count, moments, H, W, 3) uint8.
        masks: npy file to write, (count, moments, H, W) uint8; 255 where the code is the ignore word, or where there are no codes.
        card_out: JSON file to write, last: kind, codes, classes, size, prediction, sampler, seed, block, weights_sha256, steps (of the
            sampler before each moment, the last is all of them), sigmas (of each moment; null is infinite: noise alone, 0 the pair),
            sha256 of both arrays. Content only.
        device: "cpu" or "cuda".

    Raises:
        WeightsError: weights that do not fit their card.
        ConfigError: the generator does not denoise, or starts from low-resolution pairs, or the sampler or a number cannot be used.
    """
    if "prediction" not in card:
        raise ConfigError("sources", f"a {card['kind']} makes its pairs in one step.", "Follow a diffusion model.")
    if card["low"] is not None:
        raise ConfigError("sources", f"a {card['kind']} starts from pairs of {card['low']} px.", "Follow an unconditional generator.")
    if count < 1 or block < 1 or moments < 2:
        cause = f"{count} pairs at {moments} moments in blocks of {block} cannot be followed."
        raise ConfigError("count, moments, block", cause, "Give at least 1 pair, 2 moments and blocks of 1.")
    module = kinds.module(card["kind"])
    denoiser = module.load(weights, card, device)
    sigmas = sigma_grid(sampler, denoiser.schedule, denoiser.prediction)
    steps = chosen_steps(len(sigmas) - 1, moments)
    arrays = {
        "images.npy": np.empty((count, len(steps), card["size"], card["size"], 3), np.uint8),
        "masks.npy": np.empty((count, len(steps), card["size"], card["size"]), np.uint8),
    }
    for number in range((count - 1) // block + 1):
        kept = [array[number * block : (number + 1) * block] for array in arrays.values()]
        generator = torch_stream(seed, "sample", 0, number, device=device)
        module.draw(denoiser, sampler, block, generator, watch=_keeper(*kept, steps, card_codes(card)))
    hashes = {}
    for path, (name, array) in zip((images, masks), arrays.items(), strict=True):
        with files.replacing(path) as partial, open(partial, "wb") as file:
            np.save(file, array)
        hashes[name] = files.sha256(path)
    facts = {key: card[key] for key in ("kind", "codes", "classes", "size", "prediction", "weights_sha256")}
    levels = [None if np.isinf(sigmas[step]) else float(sigmas[step]) for step in steps]
    made = {"format": FORMAT, "sampler": sampler, "seed": seed, "block": block, "steps": steps, "sigmas": levels, "sha256": hashes}
    files.write_json(card_out, facts | made)


def chosen_steps(steps: int, moments: int) -> list[int]:
    """At most `moments` different numbers of steps, evenly from 0 (noise) to `steps` (the pair)."""
    return np.unique(np.round(np.linspace(0, steps, moments)).astype(int)).tolist()


def _keeper(images: np.ndarray, masks: np.ndarray, steps: list[int], codes: Codes) -> Watch:
    """Writes the chosen states of the first rows of a block into (rows, moments, H, W, 3) and (rows, moments, H, W)."""

    def watch(step: int, sigma: float, x: torch.Tensor, x0: torch.Tensor) -> None:
        if step in steps:
            state = x[: len(images)]
            shown = state if sigma == float("inf") else state / (1 + sigma**2) ** 0.5
            images[:, steps.index(step)], masks[:, steps.index(step)] = decode(shown, codes)[:2]

    return watch
