"""SemGAN as a generator of pairs (Li et al. 2021): training, weights, sampling; the functions of `satsynth.diffusion.ddpm`."""

import logging
import time
from pathlib import Path

import torch

from satsynth.adversarial.generator import SOFTMAX_TEMPERATURE, Generator, check_size, measure_mean_latent
from satsynth.adversarial.training import COLUMNS, Game, build_generator
from satsynth.codes import Codes
from satsynth.diffusion.outputs import Outputs, check, open_stores, write_outputs
from satsynth.diffusion.previews import Previews
from satsynth.diffusion.stacks import Stacks
from satsynth.fitting import Recipe, choose_precision, drive, left
from satsynth.randomness import torch_stream
from satsynth.runtime.errors import ConfigError
from satsynth.weights import described, load_into

log = logging.getLogger(__name__)
KIND = "semgan"
SHARED = False  # its image discriminator compares the images of a batch, so equal parts are no whole
# The labels are logits of the classes; their real counterparts are one-hot.
CODES = "onehot"


def train(
    stores: dict[int, Path],
    cfg: dict,
    *,
    weights: Path,
    card: Path,
    history: Path,
    previews: Path,
    work: Path,
    device: str,
    wall_seconds: float | None,
) -> None:
    """Train SemGAN on the store of side `cfg["size"]`; an interrupted training goes on from its checkpoint.

    Ignore pixels take the class of the nearest labelled pixel; pairs without any label are left out.

    Args:
        stores: side in pixels -> folder of the store.
        cfg: kind, size (a power of two), seed, flips, precision, mixing (probability of two latents in a pair), feature_matching (weight);
            `network`: latent, mapping_layers, channel_base, max_channels (see `satsynth.adversarial.generator.Generator`), label_width
            (see `satsynth.adversarial.discriminators.PatchDiscriminator`); `training`: steps, batch, learning_rate, betas (as if no
            regulariser took steps), log_every, `ema` (decay, warmup), and warmup, decay and power of `satsynth.fitting.Recipe`; `r1`:
            weight, every; `path_length`: weight, every, decay, shrink (its batch is the batch divided by it); every 0 leaves a
            regulariser out; `previews`: count, sampler (see `draw`).
        weights: running average of the generator's parameters and the mean latent, safetensors, float32.
        card: what `load` and a reader need to know, JSON.
        history: CSV; see `satsynth.adversarial.training.COLUMNS`; `loss` is the generator's.
        previews: PNG, uncurated samples at a quarter, half, three quarters and all of the steps.
        work: folder of the checkpoint and the previews so far.
        device: "cpu" or "cuda".
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent; None for no limit.

    Raises:
        TrainingError, BudgetError: a loss or gradient is not finite, or the time budget is spent; the checkpoint is kept.
        StoreError, ConfigError: data or config that cannot be used.
    """
    begun, recipe = time.monotonic(), _check(cfg)
    outputs = Outputs(weights, card, history, previews, Path(work))
    views = open_stores([stores[cfg["size"]]], [cfg["size"]])
    codes = Codes(CODES, views[0].classes)
    stacks = Stacks(views, codes, cfg["flips"], device)
    game = Game(cfg, stacks, device, choose_precision(cfg["precision"], device) == "bfloat16")
    shown = Previews(cfg, recipe.steps, codes, outputs.work, draw, device)

    def after_step(done: int) -> None:
        if done in shown.milestones:
            with game.average.swap():
                measure_mean_latent(game.generator, torch_stream(cfg["seed"], "mean latent", device=device))
                shown.take(game.generator, done)

    parameters = {name: sum(parameter.numel() for parameter in player.parameters()) for name, player in game.players.items()}
    millions = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in parameters.items())
    log.info("%s: parameters: %s; %d pairs on %s", KIND, millions, len(stacks), device)
    table = drive(
        KIND,
        game,
        steps=recipe.steps,
        batch=recipe.batch,
        log_every=recipe.log_every,
        columns=COLUMNS,
        device=device,
        work=outputs.work,
        after_step=after_step,
        wall_seconds=left(wall_seconds, begun),
    )
    tensors = {**game.average.averages(), "mean_latent": game.generator.mean_latent}
    own = {
        "network": cfg["network"],
        "parameters": parameters["generator"],
        "parameters_of_discriminators": [parameters["images"], parameters["labels"]],
    }
    write_outputs(outputs, cfg, stacks, tensors, table, shown, own)


def load(weights: Path, card: dict, device: str | torch.device) -> Generator:
    """The averaged generator in evaluation mode, without gradients.

    Raises:
        WeightsError: the file is missing, is not the one that the card describes, or does not fit the card's network.
    """
    check(weights, card, KIND)
    with described(weights):
        generator = build_generator(card, card["classes"])
    return load_into(generator, weights).to(device)


@torch.no_grad()
def draw(generator: Generator, sampler: dict, count: int, stream: torch.Generator, low: torch.Tensor | None = None) -> torch.Tensor:
    """Sample `count` pairs in one evaluation of the network.

    Args:
        generator: see `load`.
        sampler: truncation: styles move to the mean latent until this share of their distance is left (Karras et al. 2019); 1 for none.
        count: N.
        stream: all randomness comes from it.
        low: not used.

    Returns:
        (N,3+K,S,S) float32 in [-1,1]: clipped colours, and labels as 2 p - 1 of their softmax p at the temperature that
        the encoder's labels are learned at, whose largest is the nearest one-hot word; a pixel where no class has more than half is no
        code word.

    Raises:
        ConfigError: truncation is not in [0, 1].
    """
    share = sampler["truncation"]
    if not 0 <= share <= 1:
        raise ConfigError("sampler.truncation", f"{share} is no share.", "Give 0 to 1; 1 truncates nothing.")
    z = torch.randn((count, generator.latent), generator=stream, device=stream.device)
    styles = generator.mean_latent.lerp(generator.map(z), share)
    image, logits = generator(styles, generator.draw_noise(count, stream))
    return torch.cat([image.clamp(-1, 1), 2 * (logits / SOFTMAX_TEMPERATURE).softmax(1) - 1], 1)


def nfe(sampler: dict) -> int:
    """Network evaluations that `draw` makes."""
    return 1


def compile_sampling(generator: torch.nn.Module, count: int) -> None:
    """Nothing: a pair is one pass, which takes less time than compiling."""


def _check(cfg: dict) -> Recipe:
    """The recipe of a config that can be used."""
    check_size(cfg["size"])
    recipe = Recipe.of(cfg["training"])
    if recipe.steps < 1:
        raise ConfigError("training.steps", f"{recipe.steps} steps train nothing.", "Give at least 1.")
    if recipe.accumulate != 1:
        raise ConfigError("training.accumulate", "discriminators look at whole batches.", "Set it to 1 and lower training.batch.")
    if recipe.clip is not None:
        raise ConfigError("training.clip", "the gradients of adversarial training are not clipped.", "Set it to null.")
    if not 0 <= cfg["mixing"] <= 1:
        raise ConfigError("mixing", f"{cfg['mixing']} is no probability.", "Give 0 to 1.")
    for section in ("r1", "path_length"):
        if cfg[section]["every"] < 0:
            raise ConfigError(f"{section}.every", f"{cfg[section]['every']} is no number of steps.", "Give 0 (never) or more.")
    if cfg["path_length"]["shrink"] < 1:
        raise ConfigError("path_length.shrink", f"a batch cannot be divided by {cfg['path_length']['shrink']}.", "Give 1 or more.")
    return recipe
