"""PFSegNet: its exact sizes, how its levels are joined, and what its losses teach."""

import pytest
import segmentation_models_pytorch as smp
import torch
from pfsegnet_fixtures import SCALED, quarters
from torch.nn import functional

from satsynth.pairs import IGNORE
from satsynth.runtime.errors import ConfigError, WeightsError
from satsynth.segmentation import encoders
from satsynth.segmentation.boundary_losses import balanced_edge_loss, ohem_cross_entropy
from satsynth.segmentation.networks import pfsegnet

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
