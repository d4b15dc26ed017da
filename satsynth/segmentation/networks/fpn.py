"""FPN (Kirillov et al. 2019, Panoptic Feature Pyramid Networks) with an ImageNet-style encoder: the paper's reference segmenter."""

import segmentation_models_pytorch as smp
from torch import nn

from satsynth.segmentation.encoders import naming

minimum_multiple = 32
STRUCTURE = ("encoder",)


def build(cfg: dict, classes: int) -> nn.Module:
    """FPN of segmentation-models-pytorch with its default decoder (256 pyramid and 128 segmentation channels, sum, dropout 0.2).

    Args:
        cfg: `encoder` names one of its encoders (resnet50 in the paper: 26,117,968 parameters with 16 classes).
        classes: K, the number of logits.

    Raises:
        ConfigError: there is no such encoder, or it cannot serve an FPN.
    """
    # Weights are never its business: with a name here it would reach for a hub, even to rebuild a trained network.
    with naming(cfg["encoder"], "an FPN"):
        return smp.FPN(cfg["encoder"], encoder_weights=None, classes=classes)
