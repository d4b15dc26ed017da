"""SegDiff (Amit et al. 2021) for many classes: a diffusion model draws the bits of a mask, all of them together, given the image.

The network sees noisy bits x_t as G(x_t) + F(image): G is the first convolution of a U-Net, F a network of dense blocks without any
pooling. F is run once an image, the U-Net at every step. A mask is decoded from several generations.

Where this differs from the original: bits of class ids in place of one foreground channel; the U-Net is the one of the generators
(one-sided padding in its halvings, Ho et al.'s initialisation); images are normalised by ImageNet's statistics and turned and flipped
only, like those of every network here.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn
from torch.nn import functional as F

from satsynth.codes import Codes, fill_ignore
from satsynth.diffusion.denoiser import Denoiser
from satsynth.diffusion.ema import Ema
from satsynth.diffusion.samplers import sample
from satsynth.diffusion.unet import UNet, UNetConfig
from satsynth.pairs import IGNORE
from satsynth.randomness import torch_stream
from satsynth.runtime.errors import ConfigError
from satsynth.segmentation.rrdb import RRDBNet
from satsynth.segmentation.segmenter import Segmenter, pad

STRUCTURE = ("encoder", "rrdb", "denoiser", "prediction", "schedule")
INFERENCE = ("sampler", "ensemble")
COMBINATIONS = ("mean", "vote")
PREDICTIONS = ("epsilon", "x0", "v")
# The time embedding is made for a thousand steps; fewer steps are spread over the same range.
TIMES = 1000


class SegDiff(Denoiser):
    """The denoiser of the bits and, beside it, the encoder of the image; `condition` is what the encoder gives.

    Args:
        encoder: images (N,3,H,W) float -> (N,c,H/u,W/u), with c and u those of the U-Net.
        unet: of the bits.
        codes: of the masks.
        cfg: `prediction` and `schedule` (see `Denoiser`); `sampler` (see `satsynth.diffusion.samplers.sample`); `ensemble`: `generations`,
            how many are drawn, `combine` (see `combine`) and the `seed` of their noise. Sampler and ensemble are None in training.

    Raises:
        ConfigError: the prediction or the combination is unknown, or there is no generation.
    """

    def __init__(self, encoder: nn.Module, unet: UNet, codes: Codes, cfg: dict):
        if cfg["prediction"] not in PREDICTIONS:
            raise ConfigError("prediction", f"SegDiff cannot predict '{cfg['prediction']}'.", f"Use one of {', '.join(PREDICTIONS)}.")
        ensemble = cfg["ensemble"]
        if ensemble and ensemble["combine"] not in COMBINATIONS:
            raise ConfigError("ensemble.combine", f"'{ensemble['combine']}' is not known.", f"Use one of {', '.join(COMBINATIONS)}.")
        if ensemble and ensemble["generations"] < 1:
            raise ConfigError("ensemble.generations", "a mask needs a generation.", "Give 1 or more (25 in the paper).")
        guided = Guided(unet, TIMES / cfg["schedule"]["steps"])
        super().__init__(guided, {"prediction": cfg["prediction"], "schedule": cfg["schedule"], "min_snr": None})
        self.encoder, self.codes = encoder, codes
        self.sampler, self.ensemble = cfg["sampler"], ensemble


class Guided(nn.Module):
    """A U-Net whose condition is added to its first map, as `Denoiser` calls it.

    Args:
        unet: the U-Net.
        pace: what step indices are multiplied by before they are embedded.
    """

    def __init__(self, unet: UNet, pace: float):
        super().__init__()
        self.unet, self.pace = unet, pace

    def forward(self, x: torch.Tensor, time: torch.Tensor, condition: torch.Tensor, condition_level: None) -> torch.Tensor:
        """Noisy bits (N,n,H,W), step indices (N,), features (N,c,H/u,W/u) -> (N,n,H,W)."""
        return self.unet(x, time * self.pace, features=condition)


class BitSegmenter(Segmenter):
    """Images (N,H,W,3) uint8 -> scores (N,K,H,W) float32, whose largest is the decoded class; see `combine` for what they are.

    The noise of generation g is a function of (ensemble.seed, the pixel values of the image, g): neither the place of an image in a store
    nor its neighbours in a batch matter, and equal images get equal masks. CPU and accelerators have different noise.

    Args:
        network: a `SegDiff`.
        multiple: what height and width must be multiples of; other sizes are padded and the scores cropped.
        precision: "float32" or "bfloat16", of the encoder and the U-Net; everything around them is float32.
    """

    network: SegDiff

    def __init__(self, network: SegDiff, multiple: int, precision: str):
        super().__init__(network, multiple, precision)
        network.precision = precision

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of every pixel; see the class."""
        height, width = images.shape[1:3]
        inputs = pad(self.normalised(images), self.multiple)
        features = self.encode(inputs)
        generations = self.generations(images, features, inputs.shape[2:])
        return combine(generations, self.network.codes, self.network.ensemble["combine"])[:, :, :height, :width]

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Features of normalised and padded images (N,3,H,W)."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.half):
            return self.network.encoder(inputs)

    def generations(self, images: torch.Tensor, features: torch.Tensor, size: tuple[int, int]) -> Iterator[torch.Tensor]:
        """Draw the masks of images (N,H,W,3) uint8 given their features: one (N,n,H,W) float32 about +-1 after the other, not clipped."""
        ensemble, device = self.network.ensemble, features.device
        contents = [hashlib.blake2b(image.tobytes()).hexdigest() for image in images.cpu().numpy()]
        shape = (self.network.codes.channels, *size)
        for number in range(ensemble["generations"]):
            streams = [torch_stream(ensemble["seed"], "generation", content, number, device=device) for content in contents]
            noise = torch.stack([torch.randn(shape, generator=stream, device=device) for stream in streams])
            yield sample(self.network, noise, self.network.sampler, streams, condition=features, clip=False)

    def training_loss(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the prediction over the bits of all labelled pixels; noise and steps from torch's global generator.

        Bits stand at every pixel of x_t: an unlabelled one takes those of the nearest labelled one (`fill_ignore`), and has no share in
        the loss.

        Args:
            images: (N,H,W,3) uint8.
            masks: (N,H,W) uint8, 255 where unlabelled.

        Returns:
            A float32 scalar; 0 where nothing is labelled.
        """
        inputs = pad(self.normalised(images), self.multiple)
        height, width = inputs.shape[2:]
        masks = F.pad(masks, (0, width - masks.shape[2], 0, height - masks.shape[1]), value=IGNORE)
        labelled = (masks != IGNORE)[:, None]
        bits = self.network.codes.encode(fill(masks))
        levels = torch.randint(self.network.schedule.steps, (len(bits),), device=bits.device)
        # The mean over all pixels becomes the one over the labelled ones of the batch.
        weights = labelled * (labelled.numel() / labelled.sum().clamp(min=1))
        return self.network.training_loss(bits, torch.randn_like(bits), levels, self.encode(inputs), weights=weights)


def fill(masks: torch.Tensor) -> torch.Tensor:
    """Give unlabelled pixels of masks (N,H,W) uint8 the class of the nearest labelled one; class 0 where a mask has none."""
    rows = (masks == IGNORE).flatten(1).any(1).nonzero().flatten()
    if not len(rows):
        return masks
    filled = torch.stack([torch.from_numpy(fill_ignore(mask)) for mask in masks[rows].cpu().numpy()])
    whole = masks.clone()
    whole[rows] = filled.masked_fill(filled == IGNORE, 0).to(masks.device)
    return whole


def combine(generations: Iterable[torch.Tensor], codes: Codes, how: str) -> torch.Tensor:
    """Scores of the classes from several generations of a mask's bits.

    Args:
        generations: one or more of (N,n,H,W) float, about +-1.
        codes: of the masks.
        how: "mean" averages the bits, then clips them to +-1 and compares them with the code words: the score of a class is the dot
            product with its word, largest for the nearest one (the lowest id, where several are). "vote" decodes every generation: the
            score is the logarithm of the share of votes, with half a vote more for every class.

    Returns:
        (N,K,H,W) float32. They rank classes; their softmax is no calibrated probability.
    """
    count, total = 0, 0
    for values in generations:
        count += 1
        total = total + (values if how == "mean" else _votes(values, codes))
    if how == "mean":
        return torch.einsum("nchw,kc->nkhw", (total / count).clamp(-1, 1), codes.words().to(total))
    return ((total + 0.5) / (count + 0.5 * codes.classes)).log()


def _votes(values: torch.Tensor, codes: Codes) -> torch.Tensor:
    """1 for the class that (N,n,H,W) bits decode to, 0 for the others: (N,K,H,W) float32."""
    chosen, _ = codes.decode(values.clamp(-1, 1))
    return F.one_hot(chosen.long(), codes.classes).permute(0, 3, 1, 2).float()


WRAPPER = BitSegmenter


def minimum_multiple(cfg: dict) -> int:
    """Pixels that one position of the U-Net's lowest level covers: 32 in the paper."""
    return cfg["denoiser"]["unshuffle"] * 2 ** (len(cfg["denoiser"]["multipliers"]) - 1)


def build(cfg: dict, classes: int) -> SegDiff:
    """SegDiff with random weights.

    Args:
        cfg: what `SegDiff` reads; `encoder` is "rrdb", whose `rrdb` has `blocks`, `width` and `growth`; `denoiser`, the U-Net, has
            `channels`, `multipliers`, `blocks`, `attention_strides` (pixels a position at which attention stands), `heads`, `dropout`,
            `unshuffle` and `norm_groups`. The paper's U-Net and 15 RRDBs of 64 and 32 channels have 162,772,932 parameters with 16 classes,
            12 have 160,614,660 and 6 have 156,298,116.
        classes: K.

    Raises:
        ConfigError: there is no such encoder, or a value makes no network.
    """
    if cfg["encoder"] != "rrdb":
        raise ConfigError("encoder", f"'{cfg['encoder']}' is no encoder for SegDiff.", "Use rrdb.")
    codes = Codes("bits", classes)
    shape = dict(cfg["denoiser"])
    size, strides = minimum_multiple(cfg), shape.pop("attention_strides")
    known = [shape["unshuffle"] << level for level in range(len(shape["multipliers"]))]
    if not set(strides) <= set(known):
        cause = f"the U-Net has the strides {known}, not all of {list(strides)}."
        raise ConfigError("denoiser.attention_strides", cause, "Name some of these, or none.")
    # Attention stands at strides, whatever the size of an image: that of the config is the smallest that has every level.
    config = UNetConfig(codes.channels, codes.channels, size=size, attention=tuple(size // stride for stride in strides), **shape)
    encoder = RRDBNet(3, config.channels, unshuffle=config.unshuffle, **cfg["rrdb"])
    return SegDiff(encoder, UNet(config), codes, cfg)


def training_loss(cfg: dict) -> Callable[[BitSegmenter, torch.Tensor, torch.Tensor, int], torch.Tensor]:
    """What a training step minimises: (segmenter, images (N,H,W,3) uint8, masks (N,H,W) uint8, optimiser step) -> scalar."""
    return lambda segmenter, images, masks, step: segmenter.training_loss(images, masks)


def average(cfg: dict, segmenter: BitSegmenter) -> Ema:
    """The average of the parameters that masks are drawn with; `training.ema` has its `decay` and `warmup` (see `Ema`)."""
    return Ema(segmenter, **cfg["training"]["ema"])
