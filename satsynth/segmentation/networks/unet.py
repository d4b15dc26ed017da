"""U-Net (Ronneberger et al. 2015) with an ImageNet-style encoder: also the evaluator behind FID, sFID and IS (paper, section 5.2)."""

import segmentation_models_pytorch as smp
from torch import nn

from satsynth.segmentation.encoders import naming

minimum_multiple = 32
STRUCTURE = ("encoder",)


def build(cfg: dict, classes: int) -> nn.Module:
    """U-Net of segmentation-models-pytorch with its default decoder (256, 128, 64, 32 and 16 channels).

    Args:
        cfg: `encoder` names one of its encoders (resnet50 in the paper: 32,523,280 parameters with 16 classes).
        classes: K, the number of logits.

    Raises:
        ConfigError: there is no such encoder, or it cannot serve a U-Net.
    """
    with naming(cfg["encoder"], "a U-Net"):
        return smp.Unet(cfg["encoder"], encoder_weights=None, classes=classes)
