"""PFSegNet (Li et al. 2021, PointFlow): a feature pyramid in which coarse features reach finer levels only at a few chosen points."""

from collections.abc import Callable

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
from torch import nn
from torch.nn import functional

from satsynth.runtime.errors import ConfigError
from satsynth.segmentation.boundary_losses import balanced_edge_loss, ohem_cross_entropy
from satsynth.segmentation.encoders import naming

minimum_multiple = 32
STRUCTURE = ("encoder", "stem", "points")
STEMS = ("deep", "plain")
WIDTH = 256  # of every map of the decoder
MATCHED = 64  # channels in which coarse and fine maps are compared
BINS = (1, 2, 3, 6)  # sides of the pooled context maps


def build(cfg: dict, classes: int) -> nn.Module:
    """PFSegNet over a ResNet: in evaluation mode logits (N,K,H,W); in training mode (logits, edge logits (N,3,H,W), coarsest first).

    With resnet50, the deep stem and 16 classes it has 32,994,003 parameters, 23,631,808 of them in the encoder.

    Args:
        cfg: `encoder` names a ResNet of segmentation-models-pytorch. `stem`: "deep", three 3 x 3 convolutions as in the original, for
            which there are no public ImageNet weights; or "plain", the encoder's own, a substitute for which there are. `points`: see
            `PointFlow`: salient_grid (14 in the original at 896 px; 4 is the same share of a map at 256 px), context_grid (9; 3) and
            edge_points (128; 16).
        classes: K, the number of logits.

    Raises:
        ConfigError: there is no such encoder or stem, or the encoder is no ResNet.
    """
    name, stem = cfg["encoder"], cfg["stem"]
    if stem not in STEMS:
        raise ConfigError("stem", f"'{stem}' is no stem.", f"Use {' or '.join(STEMS)}.")
    with naming(name, "a PFSegNet"):
        encoder = smp.encoders.get_encoder(name, in_channels=3, depth=5, weights=None)
    if not isinstance(encoder, ResNetEncoder):
        cause = f"'{name}' is no ResNet: PFSegNet has no stem and no stages in it to change."
        raise ConfigError("encoder", cause, "Use resnet18, resnet34, resnet50 or resnet101.")
    if stem == "deep":
        _deepen(encoder)
    _dilate(encoder)
    return PFSegNet(encoder, cfg["points"], classes)


def loss(cfg: dict) -> Callable[[tuple[torch.Tensor, torch.Tensor], torch.Tensor, int], torch.Tensor]:
    """The loss of the original: hard-pixel cross-entropy of the logits, and the balanced loss of the three edge maps.

    Args:
        cfg: `loss`: ohem_threshold (probability) and ohem_pixels (of a batch), see `ohem_cross_entropy`; edge_weight (of the sum over the
            edge maps); edge_width (pixels), see `edge_targets`.

    Returns:
        ((logits (N,K,H,W), edge logits (N,3,H,W)), masks (N,H,W) uint8 with 255 unlabelled, optimiser step) -> scalar in nats.
    """
    options = cfg["loss"]

    def criterion(outputs: tuple[torch.Tensor, torch.Tensor], masks: torch.Tensor, step: int) -> torch.Tensor:
        logits, edges = outputs
        labels = ohem_cross_entropy(logits, masks, options["ohem_threshold"], options["ohem_pixels"])
        return labels + options["edge_weight"] * balanced_edge_loss(edges, masks, options["edge_width"])

    return criterion


class PFSegNet(nn.Module):
    """The network over a prepared encoder; see `build`."""

    def __init__(self, encoder: ResNetEncoder, points: dict, classes: int):
        super().__init__()
        self.encoder = encoder
        *widths, deepest = encoder.out_channels[2:]
        self.context = PyramidPooling(deepest)
        # These three lists go from coarse to fine: strides 16, 8 and 4.
        self.laterals = nn.ModuleList(nn.Sequential(nn.Conv2d(width, WIDTH, 1), *_norm_relu(WIDTH)) for width in reversed(widths))
        self.flows = nn.ModuleList(PointFlow(WIDTH, **points) for _ in widths)
        self.smooths = nn.ModuleList(_conv3(WIDTH, WIDTH) for _ in widths)
        self.head = nn.Sequential(_conv3(WIDTH * (1 + len(widths)), WIDTH), nn.Conv2d(WIDTH, classes, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Images (N,3,H,W) -> logits (N,K,H,W), in training mode with edge logits (N,3,H,W)."""
        *finer, deepest = self.encoder(images)[2:]
        coarse = self.context(deepest)
        maps, edges = [coarse], []
        for feature, lateral, flow, smooth in zip(reversed(finer), self.laterals, self.flows, self.smooths):
            fine = lateral(feature)
            moved, edge = flow(coarse, fine)
            coarse = fine + moved
            maps.append(smooth(coarse))
            edges.append(edge)
        joined = torch.cat([_resize(level, maps[-1].shape[2:]) for level in reversed(maps)], 1)
        logits = _resize(self.head(joined), images.shape[2:])
        if not self.training:
            return logits
        return logits, torch.cat([_resize(edge, images.shape[2:]) for edge in edges], 1)


class PyramidPooling(nn.Module):
    """Pooled contexts beside the features they come from (Zhao et al. 2017); as in the original, without a ReLU behind each pooling."""

    def __init__(self, width: int):
        super().__init__()
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), nn.Conv2d(width, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH)) for bins in BINS
        )
        joined = width + len(BINS) * WIDTH
        self.join = nn.Sequential(nn.Conv2d(joined, WIDTH, 1, bias=False), *_norm_relu(WIDTH), nn.Dropout2d(0.1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N,width,h,w) -> (N,256,h,w)."""
        return self.join(torch.cat([features, *(_resize(pool(features), features.shape[2:]) for pool in self.pools)], 1))


class PointFlow(nn.Module):
    """The PointFlow module (Li et al. 2021): carries coarse features to a fine map at salient and boundary points only.

    A salience map is learned from both maps. Its maxima in the cells of a grid are the salient points; where its pooled mean is low, a
    boundary map is read off the coarse features, and its greatest values are the boundary points. In each set, every fine point receives an
    affinity-weighted mean of the coarse points; where both sets meet, the salient points win. All other fine pixels stay as they are.

    The choice of points runs in float32 under autocast too: in bfloat16 neighbouring candidates would tie.

    Args:
        width: channels of both maps.
        salient_grid: m; the salience map is cut into m x m cells. On maps smaller than that, cells share their maximum, which counts once.
        context_grid: q, side of the pooled mean of the salience map.
        edge_points: boundary points an image, at most (a coarse map may have fewer pixels).
    """

    def __init__(self, width: int, salient_grid: int, context_grid: int, edge_points: int):
        super().__init__()
        self.salient_grid, self.context_grid, self.edge_points = salient_grid, context_grid, edge_points
        self.reduce_coarse = nn.Conv2d(width, MATCHED, 1)
        self.reduce_fine = nn.Conv2d(width, MATCHED, 1)
        self.matcher = nn.Conv2d(2 * MATCHED, 1, 3, padding=1)
        self.boundary = _conv3(width, width)
        self.outline = nn.Conv2d(width, 1, 3, padding=1, bias=False)

    def forward(self, coarse: torch.Tensor, fine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coarse (N,C,h,w) and fine (N,C,2h,2w) -> the fine map (N,C,2h,2w) with points changed, and edge logits (N,1,h,w)."""
        size, device = coarse.shape[2:], coarse.device.type
        joined = torch.cat([self.reduce_coarse(coarse), _resize(self.reduce_fine(fine), size)], 1)
        with torch.autocast(device, enabled=False):
            salience = torch.sigmoid(self.matcher(_full(joined)))
            mean = functional.adaptive_avg_pool2d(salience, self.context_grid)
            doubtful = _full(coarse) * (1 - _resize(mean, size))
        inner = self.boundary(doubtful)
        with torch.autocast(device, enabled=False):
            edges = self.outline(_full(inner))
            return self._carry(_full(coarse), _full(fine), salience, edges), edges

    def _carry(self, coarse: torch.Tensor, fine: torch.Tensor, salience: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        height, width = coarse.shape[2:]
        boundary = edges.flatten(1).topk(min(self.edge_points, height * width)).indices
        rows, columns = (boundary // width).to(coarse), (boundary % width).to(coarse)
        centres = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], -1)[:, None]
        at_boundary = _attend(*(functional.grid_sample(level, centres, align_corners=False)[:, :, 0] for level in (coarse, fine)))

        peaks, salient = functional.adaptive_max_pool2d(salience, self.salient_grid, return_indices=True)
        salient = salient.flatten(1)
        repeated = (salient[:, :, None] == salient[:, None, :]).tril(-1).any(-1)  # of equal points the first stays
        raised = coarse * (1 + _resize(peaks, (height, width)))
        targets = _fine_index(salient, coarse, fine)
        at_salient = _attend(_gather(raised, salient), _gather(fine, targets), repeated)

        # Repeated points are written to a pixel behind the last, which is cut off: two writers of one pixel would race, and double its
        # gradient.
        last = fine.shape[2] * fine.shape[3]
        moved = functional.pad(fine.flatten(2), (0, 1))
        moved = moved.scatter(2, _spread(_fine_index(boundary, coarse, fine), moved), at_boundary)
        moved = moved.scatter(2, _spread(targets.masked_fill(repeated, last), moved), at_salient)
        return moved[..., :last].view(fine.shape)


def _attend(coarse: torch.Tensor, fine: torch.Tensor, dropped: torch.Tensor | None = None) -> torch.Tensor:
    """Each fine point, with the mean of the coarse points weighted by the softmax of its products with them added.

    Shapes: coarse and fine (N,C,P), `dropped` (N,P) bool for coarse points without a weight; returns (N,C,P).
    """
    products = fine.transpose(1, 2) @ coarse
    if dropped is not None:
        products = products.masked_fill(dropped[:, None], float("-inf"))
    return fine + coarse @ products.softmax(-1).transpose(1, 2)


def _fine_index(index: torch.Tensor, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    """Flat indices into the coarse map -> flat indices into the fine one: the upper left pixel of the block that a coarse pixel covers."""
    ratio, width = fine.shape[2] // coarse.shape[2], coarse.shape[3]
    return ratio * (index // width) * fine.shape[3] + ratio * (index % width)


def _spread(index: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    return index[:, None].expand(-1, maps.shape[1], -1)


def _gather(maps: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return maps.flatten(2).gather(2, _spread(index, maps))


def _full(values: torch.Tensor) -> torch.Tensor:
    """At least float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _resize(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=True)


def _norm_relu(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(width), nn.ReLU(inplace=True)


def _conv3(wide_in: int, wide_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide_in, wide_out, 3, stride=stride, padding=1, bias=False), *_norm_relu(wide_out))


def _deepen(encoder: ResNetEncoder) -> None:
    """Give a ResNet the deep stem, 128 wide, and a first stage that takes it; both initialised as the rest of the encoder is."""
    encoder.conv1 = nn.Sequential(*_conv3(3, 64, stride=2), *_conv3(64, 64), nn.Conv2d(64, 128, 3, padding=1, bias=False))
    encoder.bn1 = nn.BatchNorm2d(128)
    encoder.inplanes = 128
    encoder.layer1 = encoder._make_layer(type(encoder.layer1[0]), 64, len(encoder.layer1))
    encoder._out_channels = [3, 128, *encoder.out_channels[2:]]
    for module in (*encoder.conv1.modules(), *encoder.layer1.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _dilate(encoder: ResNetEncoder) -> None:
    """Widen the view of the last two stages without keeping their resolution: the original's variant "D" leaves the strides at 2."""
    for stage, rate in ((encoder.layer3, 2), (encoder.layer4, 4)):
        for block in stage:
            block.conv2.dilation = block.conv2.padding = (rate, rate)
