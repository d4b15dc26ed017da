"""A segmenter: what all networks share around them, so that training and prediction see one and the same function.

Normalisation, padding to the network's multiple, precision, and its two files (weights and card).
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from satsynth import fitting
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, WeightsError
from satsynth.segmentation.losses import cross_entropy
from satsynth.weights import AGAIN, check, load_into

# ImageNet statistics, for every network and for real and synthetic images alike.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Outputs = torch.Tensor | tuple[torch.Tensor, ...]
Criterion = Callable[[Outputs, torch.Tensor, int], torch.Tensor]


class Average(fitting.Average, Protocol):
    """A running average of parameters that can take their place."""

    def copy_to(self, model: nn.Module) -> None:
        """Write the averages into the model's parameters."""


class Segmenter(nn.Module):
    """Images (N,H,W,3) uint8 -> logits (N,K,H,W) float32; in training mode, with them, whatever maps the network adds for its loss.

    Args:
        network: images (N,3,H,W) float32 -> logits (N,K,H,W), or a tuple that begins with them, for H and W that are multiples of
            `multiple`.
        multiple: see above; other sizes are padded on the right and at the bottom, and the logits cropped.
        precision: "float32", or "bfloat16" (autocast and channels-last memory).
    """

    def __init__(self, network: nn.Module, multiple: int, precision: str):
        super().__init__()
        self.half = precision == "bfloat16"
        self.network = network.to(memory_format=torch.channels_last) if self.half else network
        self.multiple = multiple
        mean, std = torch.tensor(MEAN), torch.tensor(STD)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, images: torch.Tensor) -> Outputs:
        """Logits of every pixel; see the class."""
        inputs = self.normalised(images)
        height, width = inputs.shape[2:]
        inputs = pad(inputs, self.multiple)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.half):
            outputs = self.network(inputs)
        if isinstance(outputs, tuple):
            return tuple(output[:, :, :height, :width].float() for output in outputs)
        return outputs[:, :, :height, :width].float()

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N,H,W,3) uint8 -> (N,3,H,W) float32 of mean 0 and standard deviation 1 (ImageNet's), in the network's memory layout."""
        width = images.shape[2]
        # Whole rows at once: broadcasting three numbers over the last axis is thirty times slower on a CPU. The view is channels-last.
        rows = images.flatten(2).float()
        torch.addcmul(self.shift.repeat(width), rows, self.scale.repeat(width), out=rows)
        inputs = rows.view(images.shape).permute(0, 3, 1, 2)
        return inputs if self.half else inputs.contiguous()


def pad(inputs: torch.Tensor, multiple: int) -> torch.Tensor:
    """Grow (N,C,H,W) on the right and at the bottom to the next multiple: mirrored, or the border repeated where it is too narrow."""
    height, width = inputs.shape[2:]
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return inputs
    mode = "reflect" if down < height and right < width else "replicate"
    return functional.pad(inputs, (0, right, 0, down), mode=mode)


def most_probable(scores: torch.Tensor, axis: int = 1) -> torch.Tensor:
    """Class ids (int64) of the largest score along the axis of the classes."""
    # On a CPU three times as fast as argmax, which walks the classes of pixel after pixel through memory.
    return scores.max(axis).indices


def build(cfg: dict, classes: int, precision: str) -> Segmenter:
    """The untrained segmenter of a config, on the CPU; its weights come from torch's global generator.

    Args:
        cfg: `network` names a module of satsynth.segmentation.networks; that module reads its own keys. Without those of its INFERENCE,
            the segmenter can be trained, but cannot predict.
        classes: K.
        precision: "float32" or "bfloat16".
    """
    module = _module(cfg["network"])
    cfg = {**dict.fromkeys(_inference_keys(module)), **cfg}
    multiple = module.minimum_multiple(cfg) if callable(module.minimum_multiple) else module.minimum_multiple
    return getattr(module, "WRAPPER", Segmenter)(module.build(cfg, classes), multiple, precision)


def build_objective(cfg: dict) -> Callable[[Segmenter, torch.Tensor, torch.Tensor, int], torch.Tensor]:
    """What a training step minimises: (segmenter, images (N,H,W,3) uint8, masks (N,H,W) uint8, optimiser step) -> scalar."""
    module = _module(cfg["network"])
    if hasattr(module, "training_loss"):
        return module.training_loss(cfg)
    criterion = build_loss(cfg)
    return lambda segmenter, images, masks, step: criterion(segmenter(images), masks, step)


def build_average(cfg: dict, segmenter: Segmenter) -> Average | None:
    """The running average of the parameters that a config's network is used with, from their present values on; None for most."""
    module = _module(cfg["network"])
    return module.average(cfg, segmenter) if hasattr(module, "average") else None


def build_loss(cfg: dict) -> Criterion:
    """The loss that a config's network is trained by: (what it returns, masks (N,H,W) uint8, optimiser step) -> scalar."""
    module = _module(cfg["network"])
    if hasattr(module, "loss"):
        return module.loss(cfg)
    return lambda logits, masks, step: cross_entropy(logits, masks)


def structure(cfg: dict) -> dict:
    """What of a config is needed to build its network again: its name and the keys that its module reads."""
    return {key: cfg[key] for key in ("network", *_module(cfg["network"]).STRUCTURE)}


def _inference_keys(module: ModuleType) -> tuple[str, ...]:
    return getattr(module, "INFERENCE", ())


def _module(network: str) -> ModuleType:
    name = f"satsynth.segmentation.networks.{network}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name and str(network).isidentifier():
            raise
        raise ConfigError("network", f"there is no network '{network}'.", "Name a module of satsynth/segmentation/networks.") from error


def load(weights: str | Path, card: str | Path, device: str | torch.device, inference: dict | None = None) -> tuple[Segmenter, dict]:
    """A trained segmenter in evaluation mode on `device`, without gradients, and its card.

    Args:
        weights: safetensors file.
        card: its card.
        device: "cpu" or "cuda".
        inference: what the network predicts by beside its weights: the keys of its module's INFERENCE; None for most networks.

    Raises:
        ConfigError: `inference` has other keys than the network needs.
        WeightsError: the files cannot be read, or weights and card do not belong together.
    """
    given = inference or {}
    try:
        facts = files.read_json(card)
        _check_inference(facts["segmenter"]["network"], given)
        segmenter = build({**facts["segmenter"], **given}, facts["classes"], facts["precision"])
        check(weights, facts)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise WeightsError(weights, f"their card {card} cannot be read ({error}).", AGAIN) from error
    load_into(segmenter.network, weights)
    return segmenter.to(device).eval(), facts


def _check_inference(network: str, given: dict) -> None:
    wanted = _inference_keys(_module(network))
    if set(given) != set(wanted):
        needs, has = (", ".join(keys) or "nothing" for keys in (wanted, given))
        cause = f"network {network} needs {needs} beside its weights to predict, and is given {has}."
        raise ConfigError("inference", cause, "Give these keys as the segmenter's stanza has them.")
