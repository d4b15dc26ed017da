"""What every kind of generator shares: training, and weights with their card."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file

from satsynth.codes import Codes
from satsynth.diffusion import previews
from satsynth.diffusion.denoiser import Denoiser, build_denoiser
from satsynth.diffusion.ema import Ema
from satsynth.diffusion.stacks import COLOURS, Stacks, choose_codes, decode
from satsynth.fitting import Recipe, build_optimizer, choose_precision, fit
from satsynth.pairs import open_view
from satsynth.randomness import derive, torch_stream
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, WeightsError

log = logging.getLogger(__name__)
FORMAT = 1
MILESTONES = (0.25, 0.5, 0.75, 1.0)

# Config keys that decide what the network computes; the card carries them, so that `load_denoiser` needs nothing else.
NETWORK_KEYS = ("prediction", "schedule", "edm", "min_snr", "network", "condition_noise", "precision")

# (clean low-resolution stacks, if any, the denoiser, a generator) -> (condition, its level), both for the network.
Conditioner = Callable[[list[torch.Tensor], Denoiser, torch.Generator], tuple[torch.Tensor | None, torch.Tensor | None]]
# (denoiser, sampler config, number of stacks, generator, low-resolution stacks or None) -> stacks in [-1, 1].
Drawer = Callable[[Denoiser, dict, int, torch.Generator, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True)
class Outputs:
    """Where a training writes.

    Args:
        weights: averaged parameters, safetensors, float32.
        card: what `load_denoiser` and a reader need to know, JSON.
        history: CSV, see `satsynth.fitting.HISTORY`.
        previews: PNG, uncurated samples at a quarter, half, three quarters and all of the steps.
        work: folder of the checkpoint and the previews so far.
    """

    weights: Path
    card: Path
    history: Path
    previews: Path
    work: Path


def memory_format(precision: str, device: str | torch.device) -> torch.memory_format:
    """channels_last, but for bfloat16 on processors: there convolutions gain nothing by it and GroupNorm loses severalfold."""
    on_processor = torch.device(device).type == "cpu"
    return torch.contiguous_format if on_processor and precision == "bfloat16" else torch.channels_last


def build(facts: dict, codes: Codes, size: int, conditional: bool, device: str | torch.device) -> Denoiser:
    """A fresh denoiser on its device and in its memory format.

    Args:
        facts: a config or a card; `NETWORK_KEYS` are read.
        codes: decides the channels, C = 3 + n.
        size: side in pixels.
        conditional: whether a stack of lower resolution is concatenated to the input.
        device: where to put it.
    """
    channels = COLOURS + codes.channels
    precision = choose_precision(facts["precision"], device)
    denoiser = build_denoiser(
        facts,
        channels,
        size,
        condition_channels=channels if conditional else 0,
        condition_levels=conditional and facts["condition_noise"] is not None,
        precision=precision,
    )
    return denoiser.to(device, memory_format=memory_format(precision, device))


def train_generator(
    stores: list[Path],
    cfg: dict,
    outputs: Outputs,
    *,
    condition: Conditioner,
    draw: Drawer,
    device: str,
    wall_seconds: float | None,
) -> None:
    """Train one generator and write its outputs; an interrupted training goes on from its checkpoint.

    Args:
        stores: the store of the pairs to learn; for a conditional generator then the one of its conditions, of the same rows.
        cfg: the generator's config (see `satsynth.diffusion.ddpm.train`).
        outputs: where to write.
        condition: makes the network's condition from the stacks of the second store.
        draw: draws the previews.
        device: "cpu" or "cuda".
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent.

    Raises:
        TrainingError: the loss is not finite, or the time budget is spent; the checkpoint is kept.
        StoreError, ConfigError: data or config that cannot be used.
    """
    seed, training, recipe = cfg["seed"], cfg["training"], Recipe.of(cfg["training"])
    if recipe.steps < 1:
        raise ConfigError("training.steps", f"{recipe.steps} steps train nothing.", "Give at least 1.")
    views = [open_view([store]) for store in stores]
    for view, size in zip(views, [cfg["size"], cfg.get("low")], strict=False):
        if view.size != size:
            raise ConfigError(
                "size", f"the store {view.stores[0].folder} holds {view.size} px, not {size}.", "Name the store of that size."
            )
    codes = choose_codes(cfg["codes"], views)
    stacks = Stacks(views, codes, cfg["flips"], device)
    torch.manual_seed(derive(seed, "weights"))
    denoiser = build(cfg, codes, cfg["size"], len(views) > 1, device)
    optimizer = build_optimizer([{"params": list(denoiser.parameters())}], training)
    ema = Ema(denoiser, training["ema"]["decay"], training["ema"]["warmup"])
    part_size = recipe.batch // recipe.accumulate
    layout = memory_format(denoiser.precision, device)

    def loss_of(step: int, part: int) -> torch.Tensor:
        seen = step * recipe.batch + part * part_size
        generator = torch_stream(seed, "noise", seen, device=device)
        x0, *low = stacks.batch(seed, seen, part_size)
        levels = denoiser.draw_levels(part_size, generator)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        return denoiser(x0.contiguous(memory_format=layout), noise, levels, *condition(low, denoiser, generator))

    if cfg["compile"] and torch.device(device).type == "cuda":
        _compile(denoiser, lambda: loss_of(0, 0))
    milestones = sorted({max(1, round(share * recipe.steps)) for share in MILESTONES})
    shown = _Previews(stacks, cfg, outputs.work, draw, device)

    def after_step(done: int) -> None:
        if done in milestones:
            with ema.swap():
                shown.take(denoiser, done)

    parameters = sum(parameter.numel() for parameter in denoiser.parameters())
    log.info("%s: %.2f M parameters, %s, %d pairs on %s", cfg["kind"], parameters / 1e6, denoiser.precision, len(stacks), device)
    table = fit(
        cfg["kind"],
        denoiser,
        optimizer,
        loss_of,
        recipe,
        seed=seed,
        work=outputs.work,
        average=_CountedEma(ema),
        after_step=after_step,
        wall_seconds=wall_seconds,
    )
    margin, invalid = shown.write(milestones, outputs.previews, codes.classes)
    files.write_text(outputs.history, table.to_csv(index=False, lineterminator="\n"))
    with files.replacing(outputs.weights) as partial:
        save_file({name: value.cpu().contiguous() for name, value in ema.state_dict().items()}, partial)
    card = {
        **{key: cfg[key] for key in NETWORK_KEYS},
        "format": FORMAT,
        "kind": cfg["kind"],
        "size": cfg["size"],
        "low": cfg.get("low"),
        "codes": codes.kind,
        "classes": codes.classes,
        "ignore_word": codes.ignore_word,
        "parameters": parameters,
        "steps": recipe.steps,
        "images_seen": recipe.steps * recipe.batch,
        "pairs": len(stacks),
        "pairs_left_out": len(views[0]) - len(stacks),
        "seed": seed,
        "data": {str(view.size): files.sha256(view.stores[0].folder / "card.json") for view in views},
        "margin": margin,
        "invalid": invalid,
        "weights_sha256": files.sha256(outputs.weights),
    }
    files.write_json(outputs.card, card)


def load_denoiser(weights: Path, card: dict, device: str | torch.device, *, kind: str, conditional: bool) -> Denoiser:
    """Read what `train_generator` wrote: averaged weights in evaluation mode, without gradients.

    Raises:
        WeightsError: the file is missing, is not the one that the card describes, or does not fit the card's network; the
            message lists what did not fit.
    """
    weights = Path(weights)
    again = "Delete weights and card and train again."
    if not weights.is_file():
        raise WeightsError(weights, "there is no such file.", "Train the generator first.")
    if card.get("kind") != kind or card.get("format") != FORMAT:
        raise WeightsError(weights, f"its card says {card.get('kind')} of format {card.get('format')}, not {kind} of {FORMAT}.", again)
    if files.sha256(weights) != card["weights_sha256"]:
        raise WeightsError(weights, "the content is not what its card says.", again)
    denoiser = build(card, card_codes(card), card["size"], conditional, device)
    try:
        tensors = load_file(weights, device="cpu")
    except safetensors.SafetensorError as error:
        raise WeightsError(weights, f"the file cannot be read ({error}).", again) from error
    wanted = {name: tuple(value.shape) for name, value in denoiser.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    wrong = [
        f"{name} is {found.get(name, 'missing')}, the network has {wanted.get(name, 'none')}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    if wrong:
        more = f", and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise WeightsError(weights, f"{len(wrong)} tensors do not fit: {'; '.join(wrong[:8])}{more}.", again)
    denoiser.load_state_dict(tensors)
    return denoiser.eval().requires_grad_(False)


def starting_noise(denoiser: Denoiser, count: int, generator: torch.Generator) -> torch.Tensor:
    """Standard normal (count,C,H,W) float32 in the size of the network and its memory format, on the generator's device."""
    config = denoiser.network.config
    noise = torch.randn((count, config.out_channels, config.size, config.size), generator=generator, device=generator.device)
    return noise.contiguous(memory_format=memory_format(denoiser.precision, generator.device))


def card_codes(card: dict) -> Codes:
    """The label code of a trained generator."""
    return Codes(card["codes"], card["classes"], card["ignore_word"])


class _CountedEma:
    """An `Ema` whose count of updates, which its warm-up needs, is kept among the tensors of a checkpoint."""

    def __init__(self, ema: Ema):
        self.ema = ema

    def update(self) -> None:
        self.ema.update()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {**self.ema.state_dict(), "updates": torch.tensor(self.ema.updates)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        averages = dict(state)
        self.ema.load_state_dict(averages, int(averages.pop("updates")))


class _Previews:
    """Samples of the same noise at every milestone; kept in files, so that a resumed training shows the early ones too."""

    def __init__(self, stacks: Stacks, cfg: dict, work: Path, draw: Drawer, device: str):
        self.cfg, self.codes, self.work, self.draw, self.device = cfg["previews"], stacks.codes, work, draw, device
        self.seed, self.known, self.low = cfg["seed"], [], None
        if len(stacks.views) > 1:
            self.low = stacks.batch(self.seed, 0, self.cfg["count"])[1]
            images, masks, *_ = decode(self.low, self.codes)
            self.known = [(images, self._shown(masks))]
        self.quality = None, None

    def _shown(self, masks: np.ndarray) -> np.ndarray | None:
        """The masks, where the generator makes some."""
        return masks if self.codes.channels else None

    def _path(self, step: int) -> Path:
        return self.work / f"preview-{step}.npz"

    def take(self, denoiser: Denoiser, step: int) -> None:
        generator = torch_stream(self.seed, "previews", device=self.device)
        values = self.draw(denoiser, self.cfg["sampler"], self.cfg["count"], generator, self.low)
        images, masks, margins, invalid = decode(values, self.codes)
        if self.codes.channels:
            self.quality = float(margins.mean()), float(invalid.mean())
        previews.save(self._path(step), images, self._shown(masks))

    def write(self, steps: list[int], path: Path, classes: int) -> tuple[float | None, float | None]:
        """Draw the sheet, the low-resolution conditions first; the mean margin and share of invalid codes of the last samples, if any."""
        rows = [previews.load(self._path(step)) for step in steps if self._path(step).is_file()]
        previews.write(path, [*self.known, *rows], classes)
        return self.quality


def _compile(denoiser: Denoiser, try_out: Callable[[], torch.Tensor]) -> None:
    """Compile the network where that works here; a machine without a compiler trains all the same."""
    network = denoiser.network
    network.forward = torch.compile(network.forward)
    try:
        try_out().backward()
    except Exception as error:  # whatever the compiler chain raises, the eager network is still right
        del network.forward
        log.warning("torch.compile does not work here (%s); training goes on without it.", str(error).splitlines()[0])
    denoiser.zero_grad(set_to_none=True)
