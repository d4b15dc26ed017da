"""PSPNet (Zhao et al. 2017): a pyramid of pooled contexts."""

import segmentation_models_pytorch as smp
from torch import nn

from satsynth.runtime.errors import ConfigError
from satsynth.segmentation.encoders import naming

minimum_multiple = 32
STRUCTURE = ("encoder", "depth", "dilated")


def build(cfg: dict, classes: int) -> nn.Module:
    """PSPNet of segmentation-models-pytorch.

    Args:
        cfg: `encoder` names one of its encoders; `depth` is the number of its stages that are used: 3 (the library's default, features of
            stride 8; with resnet50 and 16 classes 24,370,128 parameters, of which the two stages that no image passes count too), 4 or 5
            (29,877,840); `dilated` keeps deeper stages at stride 8 by dilated convolutions, as in the original.
        classes: K, the number of logits.

    Raises:
        ConfigError: there is no such encoder, it cannot serve a PSPNet, or depth and dilation do not fit together.
    """
    depth, dilated = cfg["depth"], cfg["dilated"]
    if depth not in (3, 4, 5):
        raise ConfigError("depth", f"a PSPNet cannot stand on {depth} stages.", "Use 3, 4 or 5.")
    if dilated and depth == 3:
        raise ConfigError("dilated", "3 stages end at stride 8 by themselves; there is nothing to dilate.", "Set depth to 5.")
    stride = 8 if dilated else 2**depth
    with naming(cfg["encoder"], "a PSPNet"):
        network = smp.PSPNet(cfg["encoder"], encoder_weights=None, encoder_depth=depth, upsampling=stride, classes=classes)
        if dilated:
            network.encoder.make_dilated(stride)
    return network
