"""FarSeg (Zheng et al. 2020, Foreground-Aware Relation Network): a feature pyramid whose levels ask the whole scene what matters."""

from collections.abc import Callable
from functools import partial

import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional

from satsynth.runtime.errors import ConfigError
from satsynth.segmentation.annealed_loss import SCHEDULES, annealed_cross_entropy
from satsynth.segmentation.encoders import naming
from satsynth.segmentation.losses import cross_entropy

minimum_multiple = 32
STRUCTURE = ("encoder", "classifier_kernel")

LEVELS = 4  # strides 4, 8, 16 and 32
PYRAMID, DECODER = 256, 128  # channels


class FarSeg(nn.Module):
    """Images (N,3,H,W) float -> logits (N,K,H,W), for H and W that are multiples of 32.

    Args:
        encoder: of segmentation-models-pytorch, whose last four maps have the strides 4, 8, 16 and 32.
        classes: K.
        classifier_kernel: side of the last convolution's kernel, odd.
    """

    def __init__(self, encoder: nn.Module, classes: int, classifier_kernel: int):
        super().__init__()
        widths = encoder.out_channels[-LEVELS:]
        self.encoder = encoder
        self.pyramid = Pyramid(widths)
        self.relation = Relation(widths[-1])
        self.decoder = Decoder()
        self.classifier = nn.Conv2d(DECODER, classes, classifier_kernel, padding=classifier_kernel // 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of every pixel; see the class."""
        maps = self.encoder(images)[-LEVELS:]
        scene = functional.adaptive_avg_pool2d(maps[-1], 1)
        refined = self.relation(scene, self.pyramid(maps))
        return _enlarge(self.classifier(self.decoder(refined)), 4)


class Pyramid(nn.Module):
    """Feature pyramid (Lin et al. 2017): 1 x 1 laterals, a top-down path by nearest neighbours, a 3 x 3 convolution on every level.

    Args:
        widths: channels of the encoder's maps, finest first.
    """

    def __init__(self, widths: list[int]):
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, PYRAMID, 1) for width in widths)
        self.outputs = nn.ModuleList(nn.Conv2d(PYRAMID, PYRAMID, 3, padding=1) for _ in widths)
        for convolution in (*self.laterals, *self.outputs):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
            nn.init.zeros_(convolution.bias)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps of the encoder, finest first -> as many of 256 channels and the same sizes."""
        levels = [lateral(entry) for lateral, entry in zip(self.laterals, maps)]
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = levels[fine] + functional.interpolate(levels[fine + 1], levels[fine].shape[-2:], mode="nearest")
        return [output(level) for output, level in zip(self.outputs, levels)]


class Relation(nn.Module):
    """Foreground-scene relation: each level's features, dimmed where they have nothing to do with the scene.

    The scene's embedding is projected for every level apart (the paper's scale-aware form).

    Args:
        scene: channels of the scene's embedding.
    """

    def __init__(self, scene: int):
        super().__init__()
        self.scenes = nn.ModuleList(
            nn.Sequential(nn.Conv2d(scene, PYRAMID, 1), nn.ReLU(), nn.Conv2d(PYRAMID, PYRAMID, 1)) for _ in range(LEVELS)
        )
        self.contents = nn.ModuleList(_unit(PYRAMID, PYRAMID, 1, bias=True) for _ in range(LEVELS))
        self.features = nn.ModuleList(_unit(PYRAMID, PYRAMID, 1, bias=True) for _ in range(LEVELS))

    def forward(self, scene: torch.Tensor, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        """Embedding (N,C,1,1) and the pyramid's levels -> levels of the same shapes."""
        refined = []
        for level, project, content, feature in zip(levels, self.scenes, self.contents, self.features):
            relation = torch.sigmoid((project(scene) * content(level)).sum(1, keepdim=True))
            refined.append(relation * feature(level))
        return refined


class Decoder(nn.Module):
    """Light decoder: every level brought to stride 4, one doubling at a time, and their mean."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.ModuleList(_unit(DECODER if number else PYRAMID, DECODER, 3, bias=False) for number in range(max(doublings, 1)))
            for doublings in range(LEVELS)
        )

    def forward(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """Levels of 256 channels, finest (stride 4) first -> (N,128,H/4,W/4)."""
        total = 0
        for doublings, (level, branch) in enumerate(zip(levels, self.branches)):
            for unit in branch:
                level = unit(level)
                if doublings:
                    level = _enlarge(level, 2)
            total = total + level
        return total / LEVELS


def _unit(channels: int, out: int, kernel: int, *, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=bias), nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def _enlarge(maps: torch.Tensor, factor: int) -> torch.Tensor:
    return functional.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=True)


def build(cfg: dict, classes: int) -> nn.Module:
    """FarSeg with random weights.

    Args:
        cfg: `encoder` names an encoder of segmentation-models-pytorch (resnet50 in the paper); `classifier_kernel` is 1 as in the original
            (31,370,064 parameters with resnet50 and 16 classes) or 3 as in TorchGeo (31,386,448).
        classes: K, the number of logits.

    Raises:
        ConfigError: there is no such encoder, it has no maps of the strides 4 to 32, or the kernel is another.
    """
    kernel = cfg["classifier_kernel"]
    if kernel not in (1, 3):
        raise ConfigError("classifier_kernel", f"FarSeg has no classifier of {kernel} x {kernel}.", "Use 1 (the original) or 3.")
    # Weights are never its business: with a name here it would reach for a hub, even to rebuild a trained network.
    with naming(cfg["encoder"], "FarSeg"):
        encoder = smp.encoders.get_encoder(cfg["encoder"], in_channels=3, depth=5, weights=None)
    return FarSeg(encoder, classes, kernel)


def loss(cfg: dict) -> Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]:
    """The loss that FarSeg is trained by.

    Args:
        cfg: `loss` is a mapping of `kind` ("annealed", or "cross_entropy", which needs no other key), and for the annealed loss `gamma`
            (2 in the paper), `schedule` ("cosine" in the paper, "poly" or "linear") and `annealing_steps` (10,000 in the paper).

    Returns:
        (logits (N,K,H,W) float32, masks (N,H,W) uint8 with 255 where unlabelled, optimiser step from 0) -> scalar in nats.

    Raises:
        ConfigError: the kind or the schedule is unknown, or a number leaves its range.
    """
    options = cfg["loss"]
    if options["kind"] == "cross_entropy":
        return lambda logits, masks, step: cross_entropy(logits, masks)
    if options["kind"] != "annealed":
        raise ConfigError("loss.kind", f"'{options['kind']}' is no loss of FarSeg.", "Use annealed or cross_entropy.")
    gamma, schedule, annealing_steps = options["gamma"], options["schedule"], options["annealing_steps"]
    if schedule not in SCHEDULES:
        raise ConfigError("loss.schedule", f"'{schedule}' is no schedule of the annealing.", f"Use {', '.join(SCHEDULES)}.")
    if gamma < 0:
        raise ConfigError("loss.gamma", f"{gamma} would turn the loss to easy pixels.", "Use 0 or more (2 in the paper).")
    if annealing_steps < 1:
        raise ConfigError("loss.annealing_steps", f"an annealing of {annealing_steps} steps has no course.", "Use 1 or more.")
    return partial(annealed_cross_entropy, gamma=gamma, schedule=schedule, annealing_steps=annealing_steps)
