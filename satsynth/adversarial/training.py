"""The game between SemGAN's generator and its two discriminators (Li et al. 2021), step by step."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from satsynth.adversarial import losses
from satsynth.adversarial.discriminators import ImageDiscriminator, LabelDiscriminator
from satsynth.adversarial.generator import COLOURS, Generator, draw_styles
from satsynth.diffusion.ema import Ema
from satsynth.diffusion.stacks import Stacks
from satsynth.fitting import Recipe, gradient_norm, prefixed, under
from satsynth.randomness import derive, torch_stream
from satsynth.runtime import checkpoints

COLUMNS = [
    "loss",
    "image_discriminator",
    "label_discriminator",
    "feature_matching",
    "r1_image",
    "r1_label",
    "path_length",
    "learning_rate",
    "grad_norm",
]


def build_generator(facts: dict, classes: int) -> Generator:
    """A fresh generator of a config or a card, on the CPU; its weights come from torch's global generator."""
    network = facts["network"]
    return Generator(facts["size"], classes, network["latent"], network["mapping_layers"], network["channel_base"], network["max_channels"])


@contextlib.contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Inside the block gradients pass through these networks and leave nothing in their parameters."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)


class Game:
    """The players, their optimisers and the generator's running average: what a checkpoint holds.

    Regularisers are lazy (Karras et al. 2020, section 3.1): computed every few steps, weighted by as much, in optimiser steps of their
    own; learning rate and decay rates of a player with one more step in `every` are those of `every` / (`every` + 1) steps.

    Args:
        cfg: the generator's config, see `satsynth.adversarial.semgan.train`.
        stacks: the real pairs, one-hot.
        device: where the players are.
        half: run the networks of the four adversarial losses in bfloat16; the regularisers stay float32.
    """

    def __init__(self, cfg: dict, stacks: Stacks, device: str | torch.device, half: bool):
        self.cfg, self.stacks, self.device, self.half = cfg, stacks, torch.device(device), half
        self.seed, self.recipe = cfg["seed"], Recipe.of(cfg["training"])
        network, classes = cfg["network"], stacks.codes.classes
        torch.manual_seed(derive(self.seed, "weights"))
        self.generator = build_generator(cfg, classes).to(device)
        self.images = ImageDiscriminator(cfg["size"], network["channel_base"], network["max_channels"]).to(device)
        self.labels = LabelDiscriminator(classes, network["label_width"]).to(device)
        self.players = {"generator": self.generator, "images": self.images, "labels": self.labels}
        self.optimizers = {
            name: _optimizer(player, cfg["training"], cfg["path_length" if name == "generator" else "r1"]["every"])
            for name, player in self.players.items()
        }
        self._rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}
        self.average = Ema(self.generator, cfg["training"]["ema"]["decay"], cfg["training"]["ema"]["warmup"])
        self.mean_length = torch.zeros((), device=device)

    def collect(self) -> dict[str, torch.Tensor]:
        """All state by name."""
        tensors = {"mean_length": self.mean_length, **prefixed("average", self.average.state_dict())}
        for name, player in self.players.items():
            tensors |= prefixed(name, player.state_dict())
            tensors |= prefixed(f"of_{name}", checkpoints.flatten_optimizer(self.optimizers[name]))
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what `collect` gave."""
        self.mean_length.copy_(tensors["mean_length"])
        self.average.load_state_dict(under("average", tensors))
        for name, player in self.players.items():
            player.load_state_dict(under(name, tensors))
            checkpoints.restore_optimizer(self.optimizers[name], under(f"of_{name}", tensors))

    def take_step(self, step: int) -> dict[str, torch.Tensor | float]:
        """One step of every player, with the regularisers that are due; all randomness is a function of (seed, step)."""
        factor = self.recipe.factor(step)
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = self._rates[name] * factor
        real = self.stacks.batch(self.seed, step * self.recipe.batch, self.recipe.batch)[0]
        numbers = self._train_discriminators(real, step)
        if _due(self.cfg["r1"]["every"], step):
            numbers |= self._regularise_discriminators(real)
        numbers |= self._train_generator(real, step)
        if _due(self.cfg["path_length"]["every"], step):
            numbers |= self._regularise_generator(step)
        self.average.update()
        return numbers | {"learning_rate": self._rates["generator"] * factor}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def _fake(self, step: int, purpose: str) -> tuple[torch.Tensor, torch.Tensor]:
        stream = torch_stream(self.seed, purpose, step, device=self.device)
        styles = draw_styles(self.generator, self.recipe.batch, self.cfg["mixing"], stream)
        return self.generator(styles, self.generator.draw_noise(self.recipe.batch, stream))

    def _update(self, name: str, loss: torch.Tensor) -> torch.Tensor:
        """One step of one player; the norm of its gradient."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = gradient_norm(optimizer)
        optimizer.step()
        return norm

    def _train_discriminators(self, real: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        with self._autocast():
            with torch.no_grad():
                image, logits = self._fake(step, "fakes")
            of_images = losses.logistic_discriminator(self.images(real[:, :COLOURS]), self.images(image))
            of_labels = losses.hinge_discriminator(self.labels(real), self.labels(torch.cat([image, logits], 1)))
        norms = {"norm_images": self._update("images", of_images), "norm_labels": self._update("labels", of_labels)}
        return {"image_discriminator": of_images, "label_discriminator": of_labels, **norms}

    def _regularise_discriminators(self, real: torch.Tensor) -> dict[str, torch.Tensor]:
        settings = self.cfg["r1"]
        weight = settings["weight"] / 2 * settings["every"]
        image = real[:, :COLOURS].clone().requires_grad_()
        of_images = losses.gradient_penalty(self.images(image), image)
        pair = real.clone().requires_grad_()
        of_labels = losses.gradient_penalty(losses.total_score(self.labels(pair)), pair)
        norms = {"r1_norm_images": self._update("images", weight * of_images), "r1_norm_labels": self._update("labels", weight * of_labels)}
        return {"r1_image": of_images, "r1_label": of_labels, **norms}

    def _train_generator(self, real: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        with frozen(self.images, self.labels):
            with self._autocast():
                image, logits = self._fake(step, "generator")
                # The image is taught by the image discriminator alone: labels must follow images, never the other way round.
                seen = self.labels(torch.cat([image.detach(), logits], 1))
                with torch.no_grad():
                    known = self.labels(real)
                matching = losses.feature_matching(known, seen)
                loss = losses.logistic_generator(self.images(image)) + losses.hinge_generator(seen)
                loss = loss + self.cfg["feature_matching"] * matching
            norm = self._update("generator", loss)
        return {"loss": loss, "feature_matching": matching, "grad_norm": norm}

    def _regularise_generator(self, step: int) -> dict[str, torch.Tensor]:
        settings, size = self.cfg["path_length"], self.cfg["size"]
        count = max(1, self.recipe.batch // settings["shrink"])
        stream = torch_stream(self.seed, "paths", step, device=self.device)
        styles = draw_styles(self.generator, count, self.cfg["mixing"], stream)
        noise = self.generator.draw_noise(count, stream)
        direction = torch.randn((count, COLOURS, size, size), generator=stream, device=self.device)
        lengths = losses.path_lengths(self.generator, styles, noise, direction)
        self.mean_length.lerp_(lengths.detach().mean(), settings["decay"])
        penalty = (lengths - self.mean_length).square().mean()
        norm = self._update("generator", settings["weight"] * settings["every"] * penalty)
        return {"path_length": lengths.detach().mean(), "path_penalty": penalty, "path_norm": norm}


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _optimizer(player: nn.Module, training: dict, every: int) -> torch.optim.Adam:
    """Adam of one player, corrected for the additional step in `every` (0: none)."""
    share = every / (every + 1) if every else 1.0
    betas = tuple(beta**share for beta in training["betas"])
    return torch.optim.Adam(player.parameters(), lr=training["learning_rate"] * share, betas=betas, fused=True)
