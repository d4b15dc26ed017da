"""SegFormer (Xie et al. 2021): a hierarchical transformer (MiT) under a decoder of linear layers."""

import segmentation_models_pytorch as smp
from torch import nn

from satsynth.segmentation.encoders import naming

minimum_multiple = 32
STRUCTURE = ("encoder", "decoder_width")


def build(cfg: dict, classes: int) -> nn.Module:
    """SegFormer of segmentation-models-pytorch.

    Args:
        cfg: `encoder`: mit_b0 to mit_b5 (mit_b2, the default of the paper preset: 24,726,224 parameters with 16 classes and width 256), or
            another of its encoders; `decoder_width`: channels of the decoder (256; the original takes 768 from b2 on).
        classes: K, the number of logits.

    Raises:
        ConfigError: there is no such encoder, or it cannot serve a SegFormer.
    """
    with naming(cfg["encoder"], "a SegFormer"):
        return smp.Segformer(cfg["encoder"], encoder_weights=None, decoder_segmentation_channels=cfg["decoder_width"], classes=classes)
