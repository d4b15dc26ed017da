"""SemGAN as a segmenter (Li et al. 2021): a trained generator, and an encoder that finds a query in its latent space.

The generator is frozen; so is the perceptual distance, on the encoder of the project's own evaluator, since the weights of LPIPS' networks
are not always at hand. Both are kept with the trained weights, so that prediction needs one file only.

Where this differs from the original: all training images have labels, so every step is a labelled step, which holds the terms of the
image step, and one optimiser does; it is the recipe's own after a linear warm-up, which does what rectification does in Ranger (Ma and
Yarats 2021). Its rate falls from the warm-up on (theirs is held for the first 30,000 steps), and the perceptual distance is a mean over
stages (`PerceptualDistance`), so its weight is not quite theirs.
"""

from collections.abc import Callable

import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional

from satsynth.adversarial import semgan
from satsynth.adversarial.encoder import StyleHead
from satsynth.adversarial.generator import SOFTMAX_TEMPERATURE, Generator
from satsynth.adversarial.training import build_generator
from satsynth.pairs import IGNORE
from satsynth.randomness import torch_stream
from satsynth.runtime.errors import ConfigError, WeightsError
from satsynth.segmentation import segmenter as segmenters
from satsynth.segmentation.encoders import naming
from satsynth.segmentation.latent_search import PerceptualDistance, search
from satsynth.segmentation.learned import check_evaluator, check_generator
from satsynth.segmentation.losses import cross_entropy
from satsynth.segmentation.segmenter import Segmenter

NEEDS = ("generator", "evaluator")  # whose weights `satsynth.segmentation.semgan_training` is given
minimum_multiple = 1
STRUCTURE = ("encoder", "style_width", "generator", "evaluator")
INFERENCE = ("search",)
SIGMOID_TEMPERATURE = 0.3  # what logits are divided by before they become shares of a Dice loss (Li et al. 2021)


class SemGAN(nn.Module):
    """Images, normalised by ImageNet's statistics, -> styles, and what is frozen.

    Args:
        encoder: images (N,3,S,S) -> a list of maps, of stride 1 (the image), 2, 4, 8, 16 and 32.
        styles: the last four of them -> styles.
        generator: see `satsynth.adversarial.semgan.load`; frozen here.
        distance: frozen here.
        search: settings, see `satsynth.segmentation.latent_search.search`; None in training.
    """

    def __init__(self, encoder: nn.Module, styles: StyleHead, generator: Generator, distance: PerceptualDistance, search: dict | None):
        super().__init__()
        self.encoder, self.styles, self.generator, self.distance, self.search = encoder, styles, generator, distance, search
        for part in (generator, distance):
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "SemGAN":
        """Set the mode of the encoder; what is frozen stays in evaluation mode."""
        super().train(mode)
        for part in (self.generator, self.distance):
            part.train(False)
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N,3,S,S) in [-1,1] -> styles (N,styles,latent) float32: what the head adds to the generator's mean latent."""
        side = self.generator.size
        if images.shape[2:] != (side, side):
            cause = f"SemGAN makes pairs of {side} px, the images are {tuple(images.shape[2:])}."
            raise ConfigError("size", cause, "Use a generator of the images' size, and square images.")
        maps = self.encoder(self.distance.normalised(images))
        return self.generator.mean_latent + self.styles(maps[-4:]).float()


class LatentSearch(Segmenter):
    """Images (N,S,S,3) uint8 -> label logits (N,K,S,S) float32 of the pair that a search in the generator's latent space ends with.

    A mask is a function of the image alone: neither neighbours in the batch nor the random state matter.

    Args:
        network: a `SemGAN`.
        multiple: not used: the generator has one size.
        precision: of the encoder and the generator in training; the search is float32.
    """

    network: SemGAN

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of every pixel; see the class."""
        network = self.network
        # The search needs gradients, and tensors that were made for inference can never have them: all is made anew outside of it.
        with torch.inference_mode(False):
            _, logits = search(network.generator, network, network.distance, centred(images.clone()), network.search)
        return logits

    def training_loss(self, images: torch.Tensor, masks: torch.Tensor, step: int, weights: dict, background: int | None) -> torch.Tensor:
        """How far the pairs of the encoder's styles are from pairs: `labels` + mean squared error + `perceptual` times the distance.

        Args:
            images: (N,S,S,3) uint8.
            masks: (N,S,S) uint8, 255 where unlabelled.
            step: the noise maps are a function of it, the same for all seeds.
            weights: `perceptual` and `labels` (factors).
            background: the class that is left out of the Dice loss, or None.

        Returns:
            A float32 scalar.
        """
        network, wanted = self.network, centred(images)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            styles = network(wanted)
            noise = network.generator.draw_noise(len(images), torch_stream(0, "noise", step, device=images.device))
            made, logits = network.generator(styles, noise)
            far = network.distance(network.distance.features(wanted), made).mean()
        loss = functional.mse_loss(made.float(), wanted) + weights["perceptual"] * far
        labels = cross_entropy(logits.float() / SOFTMAX_TEMPERATURE, masks)
        labels = labels + dice(torch.sigmoid(logits.float() / SIGMOID_TEMPERATURE), masks, background)
        return loss + weights["labels"] * labels


def centred(images: torch.Tensor) -> torch.Tensor:
    """Images (N,H,W,3) uint8 -> (N,3,H,W) float32 in [-1,1]."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()


def dice(shares: torch.Tensor, masks: torch.Tensor, background: int | None) -> torch.Tensor:
    """1 minus the mean Dice coefficient of the classes over the labelled pixels of a batch (Milletari et al. 2016).

    Args:
        shares: (N,K,H,W) in [0,1].
        masks: (N,H,W) uint8, 255 where unlabelled.
        background: a class that is left out, or None.

    Returns:
        A scalar in [0,1].
    """
    labelled = (masks != IGNORE)[:, None]
    target = functional.one_hot(masks.long() * labelled[:, 0], shares.shape[1]).permute(0, 3, 1, 2) * labelled
    shares = shares * labelled
    overlap = 2 * (shares * target).sum((0, 2, 3)) + 1
    coefficients = overlap / (shares.sum((0, 2, 3)) + target.sum((0, 2, 3)) + 1)
    return 1 - coefficients[[number for number in range(len(coefficients)) if number != background]].mean()


WRAPPER = LatentSearch


def build(cfg: dict, classes: int) -> SemGAN:
    """SemGAN with a random encoder, and with random or, where `cfg["frozen"]` names them, trained frozen parts.

    Args:
        cfg: `encoder`, a ResNet of segmentation-models-pytorch; `style_width`, channels of its pyramid (512 in the paper); `generator`:
            size and network of the generator's card; `evaluator`: the `segmenter` entry of the evaluator's card; `search`, see
            `satsynth.segmentation.latent_search.search`; and, for training, `frozen`: `generator` (path of its weights, content of its
            card), `evaluator` (paths of its weights and card) and `train_store` (see `satsynth.segmentation.semgan_training`).
        classes: K.

    Raises:
        ConfigError: no generator is given, there is no such encoder, or it cannot serve a pyramid.
        WeightsError: frozen weights cannot be read, or are made for another number of classes, or the two for different sizes, or learned
            other pairs than the real training pairs.
    """
    if "generator" not in cfg:
        cause = "SemGAN segments by means of a trained generator and an evaluator, and none is given."
        raise ConfigError("network", cause, "Train its encoder by train_encoder, or use another network.")
    generator, evaluator = _frozen_parts(cfg, classes)
    with naming(cfg["encoder"], "SemGAN"):
        encoder = smp.encoders.get_encoder(cfg["encoder"], weights=None)
    head = StyleHead(list(encoder.out_channels[-4:]), generator.size, generator.styles, generator.latent, cfg["style_width"])
    return SemGAN(encoder, head, generator, PerceptualDistance(evaluator), cfg["search"])


def _frozen_parts(cfg: dict, classes: int) -> tuple[Generator, nn.Module]:
    frozen = cfg.get("frozen")
    if frozen is None:
        return build_generator(cfg["generator"], classes), segmenters.build(cfg["evaluator"], classes, "float32").network.encoder
    weights, card = frozen["generator"]
    if card["classes"] != classes:
        raise WeightsError(weights, f"the generator makes {card['classes']} classes, the data has {classes}.", "Train it on this dataset.")
    evaluator = frozen["evaluator"]
    segmenter, facts = segmenters.load(*evaluator, "cpu")
    if facts["classes"] != classes:
        cause = f"the evaluator tells {facts['classes']} classes apart, the data has {classes}."
        raise WeightsError(evaluator[0], cause, "Use the evaluator of this dataset.")
    if facts["size"] != card["size"]:
        cause = f"the evaluator was trained on patches of {facts['size']} px, the generator makes {card['size']} px."
        raise WeightsError(evaluator[0], cause, "Use the evaluator of the generator's size.")
    check_generator(weights, card, frozen["train_store"])
    check_evaluator(evaluator[0], facts["data"], frozen["train_store"])
    return semgan.load(weights, card, "cpu"), segmenter.network.encoder


def training_loss(cfg: dict) -> Callable[[LatentSearch, torch.Tensor, torch.Tensor, int], torch.Tensor]:
    """What a training step minimises: (segmenter, images (N,H,W,3) uint8, masks (N,H,W) uint8, optimiser step) -> scalar."""
    return lambda segmenter, images, masks, step: segmenter.training_loss(images, masks, step, cfg["loss"], cfg["background"])
