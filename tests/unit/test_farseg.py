"""FarSeg: its network against TorchGeo's, its loss against the same in float64, and what must hold for both."""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from satsynth.pairs import IGNORE
from satsynth.runtime.errors import ConfigError
from satsynth.segmentation.losses import cross_entropy
from satsynth.segmentation.networks import farseg

CLASSES = 16
STEPS = 10_000
SCHEDULES = {"cosine": lambda t: 0.5 * (np.cos(np.pi * t) + 1), "poly": lambda t: (1 - t) ** 0.9, "linear": lambda t: 1 - t}

# TorchGeo's names and ours.
RENAMED = {
    r"backbone\.": "encoder.",
    r"fpn\.inner_blocks\.(\d)\.0\.": r"pyramid.laterals.\1.",
    r"fpn\.layer_blocks\.(\d)\.0\.": r"pyramid.outputs.\1.",
    r"fsr\.scene_encoder\.": "relation.scenes.",
    r"fsr\.content_encoders\.": "relation.contents.",
    r"fsr\.feature_reencoders\.": "relation.features.",
    r"decoder\.blocks\.": "decoder.branches.",
    r"decoder\.classifier\.0\.": "classifier.",
}


def make(encoder="resnet18", kernel=1, classes=CLASSES):
    torch.manual_seed(0)
    return farseg.build({"encoder": encoder, "classifier_kernel": kernel}, classes)


def images(count, height, width, seed=0):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def criterion(**changes):
    return farseg.loss({"loss": {"kind": "annealed", "gamma": 2.0, "schedule": "cosine", "annealing_steps": STEPS, **changes}})


def batch(scale=3.0):
    """Logits (2,5,12,10) and masks of which about a fifth is unlabelled."""
    stream = np.random.default_rng(3)
    masks = stream.integers(0, 5, (2, 12, 10)).astype(np.uint8)
    masks[stream.random(masks.shape) < 0.2] = IGNORE
    logits = torch.from_numpy(stream.normal(0, scale, (2, 5, 12, 10)).astype(np.float32))
    return logits.requires_grad_(), torch.from_numpy(masks)


def loss_sum(logits, masks):
    return functional.cross_entropy(logits.double(), masks.long(), ignore_index=IGNORE, reduction="sum")


def value_and_gradient(logits, masks, step, **changes):
    """Of the sum: the loss times what it is divided by."""
    logits = logits.detach().requires_grad_()
    total = criterion(**changes)(logits, masks, step) * ((masks != IGNORE).sum() + len(masks))
    total.backward()
    return total.item(), logits.grad


# Network


def test_torchgeos_weights_give_torchgeos_logits():
    models = pytest.importorskip("torchgeo.models", reason="torchgeo is the oracle of this test")
    torch.manual_seed(1)
    oracle = models.FarSeg(backbone="resnet50", classes=CLASSES, backbone_pretrained=False)
    with torch.no_grad():
        for parameter in oracle.parameters():
            if parameter.ndim == 1:  # biases and batch normalisation, which start at 0 and 1
                parameter += 0.2 * torch.randn(len(parameter))
        for seed in range(3):
            oracle(images(2, 64, 64, seed))  # gives batch normalisation its statistics
    state = {}
    for name, value in oracle.state_dict().items():
        matches = [re.sub(f"^{theirs}", ours, name) for theirs, ours in RENAMED.items() if re.match(theirs, name)]
        assert len(matches) == 1, name
        state[matches[0]] = value
    unused = [name for name in state if name.startswith("encoder.fc.")]
    assert len(unused) == 2
    network = make("resnet50", kernel=3)
    network.load_state_dict({name: value for name, value in state.items() if name not in unused}, strict=True)

    relations = []
    oracle.fsr.normalizer.register_forward_hook(lambda module, inputs, output: relations.append(output))
    inputs = images(2, 64, 96, 7)
    with torch.no_grad():
        for training in (False, True):
            expected, actual = oracle.train(training)(inputs), network.train(training)(inputs)
            assert expected.std() > 0.05
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * expected.std().item())
    # The comparison says something about the relation only where it is no constant.
    assert len(relations) == 8 and all(relation.std() > 0.01 for relation in relations)


@pytest.mark.parametrize("kernel, count", [(1, 31_370_064), (3, 31_386_448)])
def test_parameters_are_as_many_as_in_the_originals(kernel, count):
    with torch.device("meta"):
        network = make("resnet50", kernel)
    assert sum(parameter.numel() for parameter in network.encoder.parameters()) == 23_508_032
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2", "mit_b0"])
def test_logits_have_the_size_of_the_images(encoder):
    network = make(encoder, classes=5).eval()
    with torch.no_grad():
        assert network(images(1, 64, 64)).shape == (1, 5, 64, 64)
        assert network(images(2, 32, 96)).shape == (2, 5, 32, 96)


def test_images_of_a_batch_do_not_see_each_other_in_evaluation():
    network = make().eval()
    inputs, order = images(3, 64, 64), [2, 0, 1]
    with torch.no_grad():
        torch.testing.assert_close(network(inputs[order]), network(inputs)[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_the_gradient_reaches_every_parameter(half):
    network = make(classes=5).train()
    masks = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (2, 64, 64)).astype(np.uint8))
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = network(images(2, 64, 64))
    assert logits.dtype == (torch.bfloat16 if half else torch.float32)
    criterion()(logits.float(), masks, STEPS // 2).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize("encoder", ["resnet99", "tu-vit_tiny_patch16_224"])
def test_encoders_that_do_not_fit_are_named(encoder):
    with pytest.raises(ConfigError, match=rf"^encoder: '{encoder}' is no encoder for FarSeg"):
        make(encoder)


def test_other_kernels_are_refused():
    with pytest.raises(ConfigError, match=r"^classifier_kernel: .*2 x 2.*1 \(the original\) or 3"):
        make(kernel=2)


# Loss


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("step", [0, 2500, STEPS, 2 * STEPS])
def test_annealing_never_changes_the_sum(schedule, step):
    logits, masks = batch()
    total, _ = value_and_gradient(logits, masks, step, schedule=schedule)
    assert total == pytest.approx(loss_sum(logits, masks).item(), rel=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_first_step_is_plain_cross_entropy(schedule):
    logits, masks = batch()
    (plain,) = torch.autograd.grad(loss_sum(logits, masks), logits)
    _, gradient = value_and_gradient(logits, masks, 0, schedule=schedule)
    torch.testing.assert_close(gradient, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("step", [2500, STEPS - 1, STEPS, 2 * STEPS])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_every_pixel_pulls_with_its_weight(schedule, step, gamma):
    """The gradient of sum(w l) with constant w is w (softmax - one hot): the weights, and that they have no gradient of their own."""
    logits, masks = batch()
    scores, labels = logits.detach().double().numpy(), masks.numpy()
    odds = np.exp(scores)
    softmax = odds / odds.sum(axis=1, keepdims=True)
    labelled = labels != IGNORE
    truth = (np.arange(5)[None, :, None, None] == labels[:, None]).astype(float)
    p = (softmax * truth).sum(axis=1)
    losses = np.where(labelled, -np.log(np.where(labelled, p, 1)), 0)
    modulation = np.where(labelled, (1 - p) ** gamma, 0)
    focal = modulation * losses.sum() / (losses * modulation).sum()
    share = SCHEDULES[schedule](step / STEPS) if step <= STEPS else 0
    weights = np.where(labelled, focal + share * (1 - focal), 0)
    total, gradient = value_and_gradient(logits, masks, step, schedule=schedule, gamma=gamma)
    assert total == pytest.approx((weights * losses).sum(), rel=1e-5)
    np.testing.assert_allclose(gradient.numpy(), weights[:, None] * (softmax - truth), rtol=1e-4, atol=1e-6)


def test_ignored_pixels_never_matter():
    logits, masks = batch()
    other = logits.detach().clone()
    other.permute(0, 2, 3, 1)[masks == IGNORE] *= -9
    results = [value_and_gradient(given, masks, STEPS) for given in (logits, other)]
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
    assert not results[0][1].permute(0, 2, 3, 1)[masks == IGNORE].any()


@pytest.mark.parametrize("step", [0, STEPS])
def test_a_batch_without_a_label_costs_nothing(step):
    logits, masks = batch()
    value = criterion()(logits, torch.full_like(masks, IGNORE), step)
    value.backward()
    assert value.item() == 0 and not logits.grad.any()


def test_easy_batches_keep_their_sum():
    # Probabilities so near 1 that a power of 1 - p is no float32: the sum must hold as for any other batch.
    _, masks = batch()
    labels = masks.long().where(masks != IGNORE, torch.zeros(()).long())
    truth = functional.one_hot(labels, 5).permute(0, 3, 1, 2).float()
    total, gradient = value_and_gradient(13 * truth, masks, STEPS, gamma=8.0)
    assert total == pytest.approx(loss_sum(13 * truth, masks).item(), rel=1e-2)  # the losses are some 9e-6, in units of 1.2e-7
    assert gradient.isfinite().all() and gradient.any()
    total, gradient = value_and_gradient(1000 * truth, masks, STEPS)
    assert total == 0 and not gradient.any()


def test_the_other_kind_is_plain_cross_entropy():
    logits, masks = batch()
    criterion = farseg.loss({"loss": {"kind": "cross_entropy"}})
    assert all(torch.equal(criterion(logits, masks, step), cross_entropy(logits, masks)) for step in (0, STEPS))


@pytest.mark.parametrize(
    "change, remedy",
    [
        ({"kind": "focal"}, "annealed or cross_entropy"),
        ({"schedule": "sine"}, "cosine, poly, linear"),
        ({"gamma": -1.0}, "0 or more"),
        ({"annealing_steps": 0}, "1 or more"),
    ],
)
def test_losses_that_do_not_exist_are_refused(change, remedy):
    (key,) = change
    with pytest.raises(ConfigError, match=rf"^loss\.{key}: .*{remedy}"):
        criterion(**change)
