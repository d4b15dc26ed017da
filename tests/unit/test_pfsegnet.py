"""PFSegNet: its exact sizes, the PointFlow module against plain loops, and the losses of hard pixels and edges."""

import math

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

from satsynth.pairs import IGNORE
from satsynth.runtime.errors import ConfigError, WeightsError
from satsynth.segmentation import encoders
from satsynth.segmentation.boundary_losses import balanced_edge_loss, edge_targets, ohem_cross_entropy
from satsynth.segmentation.networks import pfsegnet
from satsynth.segmentation.networks.pfsegnet import PointFlow

SCALED = {"salient_grid": 4, "context_grid": 3, "edge_points": 16}
UNSCALED = {"salient_grid": 14, "context_grid": 9, "edge_points": 128}
CFG = {
    "encoder": "resnet18",
    "stem": "deep",
    "points": SCALED,
    "loss": {"ohem_threshold": 0.7, "ohem_pixels": 10_000, "edge_weight": 25.0, "edge_width": 3},
}


def size(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def network(**changes):
    torch.manual_seed(0)
    return pfsegnet.build({**CFG, **changes}, 5)


def quarters(count, side):
    """Masks of four squares with four classes, one corner of them unlabelled."""
    mask = torch.zeros(count, side, side, dtype=torch.uint8)
    mask[:, side // 2 :] = 1
    mask[:, :, side // 2 :] += 2
    mask[:, :4, :4] = IGNORE
    return mask


# The network


def test_parameter_counts_are_those_of_the_original():
    built = pfsegnet.build({**CFG, "encoder": "resnet50"}, 16)
    encoder = built.encoder
    assert size(built) == 32_994_003 and size(encoder) == 23_631_808
    assert size(encoder.conv1, encoder.bn1) == 112_832
    assert [size(stage) for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)] == [
        236_288,
        1_219_584,
        7_098_368,
        14_964_736,
    ]
    assert size(built) - size(encoder) == 9_362_195
    assert size(built.context) == 2_886_144 and size(built.laterals) == 461_056 and size(built.smooths) == 1_771_008
    assert [size(flow) for flow in built.flows] == [626_689] * 3 and size(built.head) == 2_363_920


@pytest.mark.parametrize("stem", ["deep", "plain"])
@pytest.mark.parametrize("encoder", ["resnet18", "resnet50"])
def test_the_last_stages_are_dilated_and_keep_their_strides(encoder, stem):
    built = network(encoder=encoder, stem=stem).encoder.eval()
    for stage, rate in ((built.layer1, 1), (built.layer2, 1), (built.layer3, 2), (built.layer4, 4)):
        assert {(*block.conv2.dilation, *block.conv2.padding) for block in stage} == {(rate,) * 4}
    with torch.inference_mode():
        features = built(torch.zeros(1, 3, 64, 96))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (width, 64 // stride, 96 // stride) for width, stride in zip(built.out_channels, (1, 2, 4, 8, 16, 32))
    ]


def test_training_returns_three_edge_maps_and_evaluation_logits_alone():
    built = network()
    logits, edges = built(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 5, 64, 64) and edges.shape == (2, 3, 64, 64)
    with torch.inference_mode():
        assert built.eval()(torch.randn(1, 3, 64, 96)).shape == (1, 5, 64, 96)


def test_bfloat16_chooses_points_in_float32():
    built = network()
    with torch.autocast("cpu", torch.bfloat16):
        logits, edges = built(torch.randn(2, 3, 64, 64))
        flow, edge = built.flows[0](torch.randn(1, 256, 4, 4).bfloat16(), torch.randn(1, 256, 8, 8).bfloat16())
    assert logits.dtype == torch.bfloat16 and edges.dtype == flow.dtype == edge.dtype == torch.float32
    assert (edge != edge.bfloat16()).any()  # not merely cast: neighbouring values stay apart
    pfsegnet.loss(CFG)((logits, edges), quarters(2, 64), 0).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in built.parameters())


def test_levels_are_chained_before_they_are_smoothed_and_joined_from_fine_to_coarse():
    built, seen = network().eval(), {}
    for name, part in built.named_modules():
        part.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: (inputs, output)}))
    with torch.inference_mode():
        built(torch.randn(1, 3, 64, 64))
    coarse = seen["context"][1]
    levels = [coarse]
    for level in range(3):
        inputs, (moved, edge) = seen[f"flows.{level}"]
        assert (
            torch.equal(inputs[0], coarse) and torch.equal(inputs[1], seen[f"laterals.{level}"][1]) and edge.shape[2:] == coarse.shape[2:]
        )
        coarse = inputs[1] + moved
        assert torch.equal(seen[f"smooths.{level}"][0][0], coarse)
        levels.insert(0, seen[f"smooths.{level}"][1])
    resized = [functional.interpolate(level, (16, 16), mode="bilinear", align_corners=True) for level in levels]
    assert torch.equal(seen["head"][0][0], torch.cat(resized, 1))


def test_pooled_contexts_pass_no_relu():
    built = network()
    for pool in built.context.pools[1:]:
        assert pool(torch.randn(2, 512, 4, 4)).min() < 0


def test_a_permuted_batch_gives_permuted_outputs():
    built, images, order = network().eval(), torch.randn(3, 3, 64, 64), torch.tensor([2, 0, 1])
    with torch.inference_mode():
        torch.testing.assert_close(built(images[order]), built(images)[order], rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_encoder_the_matchers_and_the_edge_branches():
    built = network()
    pfsegnet.loss(CFG)(built(torch.randn(2, 3, 64, 64)), quarters(2, 64), 0).backward()
    assert all(parameter.grad is not None for parameter in built.parameters())
    parts = [built.encoder.conv1]
    parts += [part for flow in built.flows for part in (flow.matcher, flow.reduce_coarse, flow.reduce_fine, flow.boundary, flow.outline)]
    assert all(any(parameter.grad.abs().max() > 0 for parameter in part.parameters()) for part in parts)


def test_the_labels_alone_teach_the_matcher_but_not_the_edge_branch():
    built = network()
    built(torch.randn(2, 3, 64, 64))[0].square().mean().backward()
    for flow in built.flows:
        assert flow.matcher.weight.grad.abs().max() > 0 and flow.outline.weight.grad is None


def test_unknown_stems_and_encoders_are_config_errors():
    with pytest.raises(ConfigError, match="stem: 'wide' is no stem"):
        network(stem="wide")
    with pytest.raises(ConfigError, match="'resnet17' is no encoder for a PFSegNet"):
        network(encoder="resnet17")
    with pytest.raises(ConfigError, match="'mit_b0' is no ResNet"):
        network(encoder="mit_b0")


def test_public_weights_fit_the_plain_stem_and_are_refused_by_the_deep_one():
    plain = smp.encoders.get_encoder("resnet50", weights=None).state_dict()
    encoders.fit_into(network(encoder="resnet50", stem="plain").encoder, plain, "plain")
    with pytest.raises(WeightsError) as caught:
        encoders.fit_into(network(encoder="resnet50").encoder, plain, "plain")
    text = str(caught.value)
    assert "missing (conv1.0.weight, " in text and "1 unexpected (conv1.weight)" in text and "bn1.weight (64,) for (128,)" in text


# The PointFlow module


def module(points, dtype=torch.float64, channels=12):
    """A module in evaluation mode with batch statistics of its own, and maps whose affinities differ."""
    torch.manual_seed(1)
    flow = PointFlow(channels, **points).to(dtype).eval()
    norm = flow.boundary[1]
    norm.running_mean.normal_(0, 0.1)
    norm.running_var.uniform_(0.5, 2)
    return flow


def maps(height, width, count=2, dtype=torch.float64, channels=12):
    torch.manual_seed(2)
    return torch.randn(count, channels, height, width, dtype=dtype), torch.randn(count, channels, 2 * height, 2 * width, dtype=dtype)


def up(field, height, width):
    return functional.interpolate(field[None, None], (height, width), mode="bilinear", align_corners=True)[0, 0]


def cells(length, count):
    """The ranges of adaptive pooling along one side."""
    return [range(i * length // count, math.ceil((i + 1) * length / count)) for i in range(count)]


def one_by_one(flow, coarse, fine):
    """What the module is to do with one image, coarse (C,h,w) and fine (C,2h,2w), point by point."""
    (_, h, w), m, q = coarse.shape, flow.salient_grid, flow.context_grid
    near = flow.reduce_fine(fine[None])[0]
    near = torch.stack([up(channel, h, w) for channel in near])
    salience = torch.sigmoid(flow.matcher(torch.cat([flow.reduce_coarse(coarse[None]), near[None]], 1)))[0, 0]

    pooled = torch.stack([torch.stack([salience[list(rows)][:, list(columns)].mean() for columns in cells(w, q)]) for rows in cells(h, q)])
    edges = flow.outline(flow.boundary((coarse * (1 - up(pooled, h, w)))[None]))[0, 0]

    ranked = sorted(((y, x) for y in range(h) for x in range(w)), key=lambda at: -edges[at].item())
    chosen = ranked[: min(flow.edge_points, h * w)]
    result = fine.clone()
    sources = [coarse[:, y, x] for y, x in chosen]
    for y, x in chosen:
        block = fine[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((1, 2))  # bilinear at the centre of a coarse pixel
        result[:, 2 * y, 2 * x] = block + weighted(block, sources)

    peaks, salient = torch.empty(m, m, dtype=fine.dtype), []
    for i, rows in enumerate(cells(h, m)):
        for j, columns in enumerate(cells(w, m)):
            best = max(((y, x) for y in rows for x in columns), key=lambda at: salience[at].item())
            peaks[i, j] = salience[best]
            if best not in salient:
                salient.append(best)
    raised = coarse + up(peaks, h, w) * coarse
    sources = [raised[:, y, x] for y, x in salient]
    for y, x in salient:
        result[:, 2 * y, 2 * x] = fine[:, 2 * y, 2 * x] + weighted(fine[:, 2 * y, 2 * x], sources)
    return result, edges


def weighted(query, sources):
    scores = [float(query @ source) for source in sources]
    weights = [math.exp(score - max(scores)) for score in scores]
    return sum(weight * source for weight, source in zip(weights, sources)) / sum(weights)


@pytest.mark.parametrize(
    ("height", "width", "points"),
    [(8, 8, SCALED), (7, 10, {"salient_grid": 3, "context_grid": 4, "edge_points": 9}), (2, 3, SCALED), (8, 8, UNSCALED)],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_module_agrees_with_plain_loops(height, width, points, dtype):
    flow, (coarse, fine) = module(points, dtype), maps(height, width, dtype=dtype)
    with torch.no_grad():
        found, edges = flow(coarse, fine)
        assert found.dtype == edges.dtype == dtype
        for number in range(2):
            wanted, outline = one_by_one(flow, coarse[number], fine[number])
            accuracy = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
            torch.testing.assert_close(found[number], wanted, **accuracy)
            torch.testing.assert_close(edges[number, 0], outline, **accuracy)


@pytest.mark.parametrize("points", [SCALED, UNSCALED])
def test_few_fine_pixels_change_and_all_at_upper_left_corners(points):
    flow, (coarse, fine) = module(points), maps(8, 8)
    changed = (flow(coarse, fine)[0] != fine).any(1)
    most = min(points["edge_points"], 64) + points["salient_grid"] ** 2
    assert ((changed.sum((1, 2)) > 0) & (changed.sum((1, 2)) <= min(most, 64))).all()
    assert changed[:, ::2, ::2].sum() == changed.sum()


def test_a_coarse_pixel_lands_on_the_upper_left_pixel_of_its_block():
    flow = module({"salient_grid": 1, "context_grid": 1, "edge_points": 1}, channels=2)
    for name, parameter in flow.named_parameters():
        if not name.startswith("boundary.1"):
            torch.nn.init.zeros_(parameter)
    with torch.no_grad():  # the edge map is then a multiple of the coarse map's first channel
        flow.boundary[0].weight[0, 0, 1, 1] = flow.outline.weight[0, 0, 1, 1] = 1
        flow.boundary[1].running_mean.zero_()
        coarse, fine = torch.zeros(1, 2, 4, 6, dtype=torch.float64), torch.zeros(1, 2, 8, 12, dtype=torch.float64)
        coarse[0, 0, 2, 3] = 5
        found, _ = flow(coarse, fine)
    assert found[0, 0].nonzero().tolist() == [[4, 6]] and found[0, 0, 4, 6] == pytest.approx(5)
    assert found[0, 0].flatten().nonzero().item() == (2 * 2) * 12 + 2 * 3


def test_salient_points_win_over_boundary_points():
    """With every coarse pixel in both sets, what remains is what the salient points bring."""
    flow, (coarse, fine) = module({"salient_grid": 4, "context_grid": 2, "edge_points": 16}), maps(4, 4)
    both, _ = flow(coarse, fine)
    flow.edge_points = 1
    torch.testing.assert_close(flow(coarse, fine)[0], both, rtol=0, atol=0)


def test_the_unscaled_points_on_small_maps_are_deterministic():
    flow, (coarse, fine) = module(UNSCALED, torch.float32).train(), maps(8, 8, dtype=torch.float32)
    runs = []
    for _ in range(2):
        flow.zero_grad()
        found, edges = flow(coarse, fine)
        (found.square().mean() + edges.square().mean()).backward()
        runs.append([found, edges, *(parameter.grad.clone() for parameter in flow.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*runs))


def test_repeated_points_count_once_in_the_gradient():
    """On a 2 x 2 map, cells of 2 x 2 and of 4 x 4 find the same four points; each passes its gradient to the fine map once."""
    coarse, fine = maps(2, 2)
    gradients = []
    for grid in (2, 4):
        flow, inputs = module({**SCALED, "salient_grid": grid}), fine.clone().requires_grad_()
        torch.nn.init.zeros_(flow.reduce_fine.weight)
        torch.nn.init.zeros_(flow.matcher.weight)  # equal salience: raised alike by both grids
        flow(torch.zeros_like(coarse), inputs)[0].sum().backward()
        gradients.append(inputs.grad)
    torch.testing.assert_close(gradients[0], torch.ones_like(fine))
    torch.testing.assert_close(gradients[1], torch.ones_like(fine))


def test_a_permuted_batch_gives_permuted_maps():
    flow, (coarse, fine), order = module(SCALED), maps(8, 8, count=3), torch.tensor([1, 2, 0])
    for one, other in zip(flow(coarse[order], fine[order]), flow(coarse, fine)):
        torch.testing.assert_close(one, other[order], rtol=1e-12, atol=1e-12)


# Hard pixels


def hard_mean(logits, masks, threshold, pixels):
    """The definition, pixel by pixel."""
    chances = torch.softmax(logits, 1).numpy()
    labelled = [(n, y, x) for n, y, x in np.ndindex(*masks.shape) if masks[n, y, x] != IGNORE]
    own = sorted(float(chances[n, masks[n, y, x], y, x]) for n, y, x in labelled)
    limit = max(threshold, own[pixels - 1]) if pixels <= len(own) else 1.0
    kept = [chance for chance in own if chance <= limit + 1e-7]
    return sum(-math.log(chance) for chance in kept) / len(kept), len(kept)


@pytest.mark.parametrize(("threshold", "pixels"), [(0.7, 1), (0.3, 40), (0.0, 25), (0.05, 90), (0.7, 10_000), (1.0, 1)])
def test_hard_pixels_agree_with_the_definition(threshold, pixels):
    torch.manual_seed(3)
    logits, masks = 2 * torch.randn(2, 4, 7, 8), torch.randint(0, 4, (2, 7, 8), dtype=torch.uint8)
    masks[0, :2] = IGNORE
    wanted, _ = hard_mean(logits, masks, threshold, pixels)
    assert ohem_cross_entropy(logits, masks, threshold, pixels).item() == pytest.approx(wanted, rel=1e-5)


def test_pixels_that_tie_with_the_last_hard_one_are_kept():
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 0] = 3.0  # sure of class 0 everywhere, ...
    logits[:, 0, 0, :2] = 0.0  # ... but for two pixels
    masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
    wanted, kept = hard_mean(logits, masks, 0.7, 5)
    assert kept == 16 and ohem_cross_entropy(logits, masks, 0.7, 5).item() == pytest.approx(wanted, rel=1e-6)
    assert ohem_cross_entropy(logits, masks, 0.7, 2).item() == pytest.approx(math.log(2), rel=1e-6)


def test_too_few_labelled_pixels_are_all_kept():
    torch.manual_seed(4)
    logits, masks = 3 * torch.randn(1, 3, 6, 6), torch.full((1, 6, 6), IGNORE, dtype=torch.uint8)
    masks[0, 2] = 1
    plain = functional.cross_entropy(logits, masks.long(), ignore_index=IGNORE)
    for pixels in (6, 7, 36, 1000):
        assert ohem_cross_entropy(logits, masks, 0.1, pixels).item() == pytest.approx(plain.item(), rel=1e-6)


def test_easy_pixels_receive_no_gradient():
    logits = torch.tensor([[[[4.0, 0.0, 4.0]], [[0.0, 4.0, 0.0]]]], requires_grad=True)
    ohem_cross_entropy(logits, torch.zeros(1, 1, 3, dtype=torch.uint8), 0.7, 1).backward()
    assert (logits.grad[0, 0, 0] != 0).tolist() == [False, True, False]


# Edges


def test_edges_of_a_mask_drawn_by_hand():
    mask = torch.tensor(
        [
            [0, 0, 0, 2, 2, 2],
            [0, 0, 0, 2, 2, 2],
            [0, 0, 0, 2, 2, 2],
            [0, 0, 0, 255, 255, 255],
            [0, 0, 0, 255, 1, 1],
        ],
        dtype=torch.uint8,
    )
    rows = slice(0, 3)
    for width, columns in ((1, [3]), (2, [2, 3]), (3, [2, 3, 4]), (4, [1, 2, 3, 4])):
        lines = edge_targets(mask[None], width)
        assert lines.dtype == torch.bool and lines.shape == (1, 5, 6)
        assert all(row.nonzero().flatten().tolist() == columns for row in lines[0, rows])
        reach = (width - 1) // 2
        assert not lines[0, 3 + reach :].any()  # the unlabelled pixels make no line of their own


def test_edges_turn_with_their_masks_and_meet_at_corners():
    torch.manual_seed(5)
    masks = torch.randint(0, 3, (2, 4, 4), dtype=torch.uint8).repeat_interleave(6, 1).repeat_interleave(6, 2)
    for width in (1, 2, 3, 4):
        lines = edge_targets(masks, width)
        assert lines.any() and not lines.all()
        assert torch.equal(edge_targets(masks.rot90(1, (1, 2)), width), lines.rot90(1, (1, 2)))
        assert torch.equal(edge_targets(masks.flip(2), width), lines.flip(2))
    both = edge_targets(masks, 2)
    for n, y, x in np.ndindex(*masks.shape):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        differs = any(0 <= b < 24 and 0 <= a < 24 and masks[n, b, a] != masks[n, y, x] for b, a in around)
        assert bool(both[n, y, x]) == differs


def test_the_edge_loss_is_balanced_and_leaves_unlabelled_pixels_out():
    torch.manual_seed(6)
    logits, masks = torch.randn(2, 3, 12, 12), quarters(2, 12)
    lines, total = edge_targets(masks, 6), 0.0  # wide enough to reach unlabelled pixels
    labelled = [at for at in np.ndindex(*masks.shape) if masks[at] != IGNORE]
    share = sum(bool(lines[at]) for at in labelled) / len(labelled)
    for level in range(3):
        for n, y, x in labelled:
            chance = 1 / (1 + math.exp(-float(logits[n, level, y, x])))
            total -= (1 - share) * math.log(chance) if lines[n, y, x] else share * math.log(1 - chance)
    found = balanced_edge_loss(logits, masks, 6)
    assert found.item() == pytest.approx(total / len(labelled), rel=1e-5)
    logits[:, :, :4, :4] += 100.0
    assert torch.equal(balanced_edge_loss(logits, masks, 6), found)


def test_the_whole_loss_weighs_its_parts():
    torch.manual_seed(7)
    outputs, masks = (torch.randn(2, 4, 16, 16), torch.randn(2, 3, 16, 16)), quarters(2, 16)
    options = {"ohem_threshold": 0.6, "ohem_pixels": 50, "edge_weight": 7.0, "edge_width": 2}
    parts = ohem_cross_entropy(outputs[0], masks, 0.6, 50), balanced_edge_loss(outputs[1], masks, 2)
    assert pfsegnet.loss({"loss": options})(outputs, masks, 3).item() == pytest.approx((parts[0] + 7 * parts[1]).item(), rel=1e-6)


@pytest.mark.parametrize("label", [IGNORE, 1])
def test_masks_without_labels_or_edges_have_a_finite_loss(label):
    logits, edges = torch.randn(2, 4, 8, 8, requires_grad=True), torch.randn(2, 3, 8, 8, requires_grad=True)
    masks = torch.full((2, 8, 8), label, dtype=torch.uint8)
    loss = pfsegnet.loss(CFG)((logits, edges), masks, 0)
    loss.backward()
    assert torch.isfinite(loss) and torch.equal(edges.grad, torch.zeros_like(edges))
    if label == IGNORE:
        assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))
    else:
        assert loss.item() == pytest.approx(functional.cross_entropy(logits, masks.long()).item(), rel=1e-6)
