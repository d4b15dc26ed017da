"""SegDiff: exact sizes, schedule, what is averaged before decoding, noise that knows no batch, the masked loss, averaged weights."""

import copy

import numpy as np
import pytest
import torch
from presets import preset
from safetensors.torch import load_file
from segmentation_fixtures import make_store, run, score
from torch import nn
from torch.nn import functional as F

from satsynth.codes import Codes
from satsynth.diffusion.schedule import make_schedule
from satsynth.diffusion.unet import Attention, UNet, UNetConfig
from satsynth.pairs import IGNORE
from satsynth.plan import slices
from satsynth.plan.config import merge, resolve
from satsynth.runtime.errors import ConfigError, WeightsError
from satsynth.segmentation.networks.segdiff import BitSegmenter, combine, fill
from satsynth.segmentation.prediction import predict_rows
from satsynth.segmentation.rrdb import Block, DenseBlock, RRDBNet
from satsynth.segmentation.segmenter import build, load
from satsynth.segmentation.training import groups, start


def stanza(over=None, name="tiny"):
    """SegDiff's whole config under a preset."""
    changes = {} if name == "paper" else {"precision": "float32"}
    config = {"preset": name, "run": [], "segmenters": {"segdiff": merge(changes, over or {})}}
    return resolve(config, preset(name))["segmenters"]["segdiff"]


def recipe(over=None, name="tiny"):
    """SegDiff's config under a preset, as its training job gets it."""
    return slices.segmenter(stanza(over, name))


def drawn_by(over=None, name="tiny"):
    """Sampler and ensemble under a preset, as the jobs that predict get them."""
    return slices.inference(stanza(over, name))["inference"]


def stirred(classes=3, **over):
    """A segmenter whose zero-initialised layers are not zero, so that image and noise act on the masks."""
    torch.manual_seed(0)
    segmenter = build({**recipe(over), **drawn_by(over)}, classes, "float32").eval()
    with torch.no_grad():
        for parameter in segmenter.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
    return segmenter


def images(count=3, side=16, seed=5):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


# Network


@pytest.mark.parametrize(
    ("blocks", "whole", "encoder"), [(6, 156_298_116, 4_466_048), (12, 160_614_660, 8_782_592), (15, 162_772_932, 10_940_864)]
)
def test_the_papers_networks_have_the_original_sizes(blocks, whole, encoder):
    with torch.device("meta"):
        segmenter = build(recipe({"rrdb": {"blocks": blocks}}, "paper"), 16, "float32")
    assert parameters(segmenter) == whole and parameters(segmenter.network.encoder) == encoder
    assert segmenter.multiple == 32 and segmenter.network.codes.channels == 4


def test_attention_stands_where_the_paper_has_it():
    with torch.device("meta"):
        unet = build(recipe(name="paper"), 16, "float32").network.network.unet
    down = [layer for layer in unet.down if hasattr(layer, "attention")]
    assert [layer.attention is not None for layer in down] == [False] * 9 + [True] * 6 + [False] * 3
    assert {layer.attention.heads for layer in down if layer.attention is not None} == {4}


def test_heads_share_the_channels_of_attention():
    torch.manual_seed(0)
    ours, theirs = Attention(16, 4, heads=4), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        ours.project.weight.normal_()
        theirs.in_proj_weight.copy_(ours.qkv.weight.flatten(1))
        theirs.in_proj_bias.copy_(ours.qkv.bias.normal_())
        theirs.out_proj.weight.copy_(ours.project.weight.flatten(1))
        theirs.out_proj.bias.copy_(ours.project.bias.normal_())
    x = torch.randn(2, 16, 3, 5)
    rows = ours.norm(x).flatten(2).transpose(1, 2)
    wanted = x + theirs(rows, rows, rows)[0].transpose(1, 2).view_as(x)
    torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_must_divide_the_widths(heads):
    with pytest.raises(ConfigError, match="heads cannot share"):
        UNetConfig(4, 4, 32, (1, 2), 1, (8,), 0.0, 16, heads=heads)


def test_features_of_the_image_are_added_behind_the_first_convolution():
    torch.manual_seed(0)
    unet = UNet(UNetConfig(2, 2, 16, (1, 2), 1, (), 0.0, 8, unshuffle=2, norm_groups=4))
    nn.init.normal_(unet.conv_out.weight)
    other, shift = copy.deepcopy(unet), torch.randn(16)
    with torch.no_grad():
        other.conv_in.bias += shift
    x, time = torch.randn(3, 2, 8, 8), torch.tensor([0.0, 5.0, 900.0])
    added = unet(x, time, features=shift[:, None, None].expand(3, 16, 4, 4))
    torch.testing.assert_close(added, other(x, time), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(added, unet(x, time))


def test_residuals_of_the_dense_blocks_are_scaled_inside_and_around():
    dense, block = DenseBlock(8, 4), Block(8, 4)
    for module in (dense, *block.blocks):
        for layer in module.layers:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.ones_(module.layers[-1].bias)
    x = torch.randn(1, 8, 5, 5)
    torch.testing.assert_close(dense(x), x + 0.2)
    torch.testing.assert_close(block(x), x + 0.2 * (x + 3 * 0.2))


@pytest.mark.parametrize(("unshuffle", "side"), [(1, 12), (2, 6)])
def test_the_encoder_keeps_every_pixel(unshuffle, side):
    assert RRDBNet(3, 10, 2, 8, 4, unshuffle)(torch.randn(2, 3, 12, 12)).shape == (2, 10, side, side)


def test_the_encoder_has_parameters_of_its_own_rate():
    segmenter = build(recipe(), 3, "float32")
    encoder, head = groups(segmenter, 1.0e-3, 5.0)
    assert sum(value.numel() for value in encoder["params"]) == parameters(segmenter.network.encoder)
    assert sum(value.numel() for group in (encoder, head) for value in group["params"]) == parameters(segmenter)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"encoder": "resnet18"}, "is no encoder for SegDiff"),
        ({"denoiser": {"attention_strides": [3]}}, r"strides \[4, 8, 16\], not all of \[3\]"),
        ({"denoiser": {"heads": 5}}, "5 heads"),
        ({"prediction": "edm"}, "cannot predict 'edm'"),
        ({"ensemble": {"combine": "median"}}, "'median' is not known"),
        ({"ensemble": {"generations": 0}}, "needs a generation"),
    ],
)
def test_what_cannot_be_built_is_a_config_error(over, words):
    with pytest.raises(ConfigError, match=words):
        build(merge({**recipe(), **drawn_by()}, over), 3, "float32")


def test_there_are_no_public_weights_of_its_encoder():
    with pytest.raises(WeightsError, match=r"has no such weights.*or to none"):
        start(recipe({"encoder_weights": "imagenet"}), 3, "float32", 0)


# Schedule


@pytest.mark.parametrize(("steps", "last"), [(100, 2.039e-5), (50, 7.74e-6), (25, 2.42e-7)])
def test_few_steps_end_in_noise_by_rescaled_betas(steps, last):
    schedule = make_schedule({**recipe(name="paper")["schedule"], "steps": steps})
    assert schedule.alpha_bars[-1] == pytest.approx(last, rel=2e-3)


def test_the_papers_schedule_and_sampler():
    cfg = recipe(name="paper")
    betas = make_schedule(cfg["schedule"]).betas
    assert len(betas) == 100 and betas[0] == pytest.approx(1e-3) and betas[-1] == pytest.approx(0.2)
    plain = make_schedule({**cfg["schedule"], "rescale": False})
    assert plain.alpha_bars[-1] == pytest.approx(0.36356, rel=1e-4)
    wanted = {"method": "ancestral", "steps": 100, "spacing": "uniform", "variance": "fixed_large", "clip": False}
    drawn = drawn_by(name="paper")
    assert {key: drawn["sampler"][key] for key in wanted} == wanted
    assert drawn["ensemble"] == {"generations": 25, "combine": "mean", "seed": 0}
    assert cfg["training"]["weight_decay"] == 0 and cfg["training"]["ema"]["decay"] == 0.9999


# Ensemble


class Fake(nn.Module):
    """A denoiser that draws given bits, one a generation, whatever the noise."""

    prediction, schedule = "epsilon", make_schedule(recipe()["schedule"])

    def __init__(self, drawn, codes, combine):
        super().__init__()
        self.encoder, self.codes, self.drawn = nn.Identity(), codes, iter(drawn)
        self.sampler = {"method": "ddim", "steps": 1, "spacing": "uniform", "eta": 0.0, "clip": False}
        self.ensemble = {"generations": len(drawn), "combine": combine, "seed": 0}

    def denoise(self, x, sigma, condition, condition_level):
        return torch.tensor(next(self.drawn))[None, :, None, None].expand_as(x)


@pytest.mark.parametrize(
    ("drawn", "mean", "vote"),
    [
        ([[-0.2, -1.0], [-0.2, -1.0], [1.0, -1.0]], 2, 0),  # one sure generation outweighs two that waver, but has one vote
        ([[3.0, -1.0], [-1.0, -1.0], [-1.0, -1.0]], 2, 0),  # what leaves the range is clipped after the average, not before
        ([[0.9, 0.9], [0.9, -0.1], [-0.1, 0.9]], 3, 1),  # bits are averaged, not classes; equal votes go to the lowest id
    ],
)
def test_bits_are_averaged_before_they_are_decoded(drawn, mean, vote):
    for how, label in (("mean", mean), ("vote", vote)):
        segmenter = BitSegmenter(Fake(drawn, Codes("bits", 4), how), 4, "float32")
        answers = segmenter(images(2, 6)).max(1).indices
        assert answers.shape == (2, 6, 6) and (answers == label).all()


@pytest.mark.parametrize("how", ["mean", "vote"])
def test_one_generation_is_decoded_to_the_nearest_word(how):
    codes = Codes("bits", 7)
    values = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    values[0, :, 0, 0] = 2.0  # between the words of 3, 5 and 6: the lowest id
    scores = combine([values], codes, how)
    wanted, _ = codes.decode(values.clamp(-1, 1))
    assert scores.shape == (2, 7, 9, 9) and scores.dtype == torch.float32
    assert torch.equal(scores.max(1).indices.to(torch.uint8), wanted) and wanted[0, 0, 0] == 3


def test_votes_are_shares():
    codes = Codes("bits", 2)
    scores = combine([torch.full((1, 1, 1, 1), value) for value in (1.0, 1.0, -1.0)], codes, "vote")
    assert scores.softmax(1).flatten().tolist() == pytest.approx([1.5 / 4, 2.5 / 4])


# Noise


@pytest.mark.parametrize("sampler", [{}, {"method": "ancestral", "steps": 4}])
def test_an_image_gets_the_same_mask_in_any_company_at_any_time(sampler):
    segmenter, batch = stirred(sampler=sampler), images(4)
    scores = segmenter(batch)
    assert torch.equal(scores, segmenter(batch))
    alone = torch.cat([segmenter(image[None]) for image in batch])
    torch.testing.assert_close(alone, scores, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(segmenter(batch.flip(0)).flip(0), scores, atol=1e-3, rtol=1e-3)
    twice = segmenter(batch[[0, 0]])
    torch.testing.assert_close(twice[0], twice[1], atol=1e-3, rtol=1e-3)


def test_prediction_leaves_the_global_generator_and_the_mode_alone():
    segmenter, batch = stirred(sampler={"method": "ancestral", "steps": 2}), images(2)
    state = torch.get_rng_state()
    scores = segmenter(batch)
    assert torch.equal(torch.get_rng_state(), state) and not scores.requires_grad
    assert torch.equal(segmenter.train()(batch), scores) and segmenter.network.training


def test_noise_depends_on_seed_generation_and_every_pixel():
    batch = images(1)
    other = batch.clone()
    other[0, 3, 3, 0] ^= 1

    def drawn(batch, seed=0):
        segmenter = stirred(ensemble={"generations": 2, "seed": seed})
        features = torch.zeros(1, 32, 4, 4)  # of no image: what differs is the noise
        return list(segmenter.generations(batch, features, (16, 16)))

    first = drawn(batch)
    assert all(torch.equal(one, again) for one, again in zip(first, drawn(batch), strict=True))
    for values in (first[1], drawn(batch, seed=1)[0], drawn(other)[0]):
        assert not torch.allclose(first[0], values, atol=0.1)


# Training


def test_the_loss_is_the_mean_error_over_labelled_pixels():
    segmenter, batch = build(recipe({"prediction": "epsilon"}), 3, "float32"), images(2)
    masks = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (2, 16, 16), dtype=np.uint8))
    masks[0, :, :9], masks[1, 4] = IGNORE, IGNORE
    torch.manual_seed(3)
    loss = segmenter.training_loss(batch, masks)
    # An untrained network predicts no noise at all, so the error is the noise itself; the steps are drawn before it.
    torch.manual_seed(3)
    torch.randint(100, (2,))
    noise = torch.randn(2, 2, 16, 16)
    labelled = (masks != IGNORE)[:, None].expand_as(noise)
    assert loss.item() == pytest.approx(noise[labelled].square().mean().item(), rel=1e-5)
    blank = segmenter.training_loss(batch, torch.full_like(masks, IGNORE))
    blank.backward()
    assert blank.item() == 0 and all(not value.grad.any() for value in segmenter.parameters() if value.grad is not None)


def test_padding_has_no_share_in_the_loss():
    segmenter, batch = build(recipe({"prediction": "epsilon"}), 3, "float32"), images(2, 12)
    torch.manual_seed(3)
    loss = segmenter.training_loss(batch, torch.zeros(2, 12, 12, dtype=torch.uint8))
    torch.manual_seed(3)
    torch.randint(100, (2,))
    assert loss.item() == pytest.approx(torch.randn(2, 2, 16, 16)[:, :, :12, :12].square().mean().item(), rel=1e-5)


def test_unlabelled_pixels_take_the_nearest_class():
    masks = torch.tensor([[[0, IGNORE, IGNORE, 2]], [[1, 1, 0, 2]], [[IGNORE] * 4]], dtype=torch.uint8)
    assert fill(masks).tolist() == [[[0, 0, 2, 2]], [[1, 1, 0, 2]], [[0, 0, 0, 0]]]
    assert masks[0, 0, 1] == IGNORE


@pytest.mark.parametrize("decay", [0.0, 0.5, 1 - 1e-9])
def test_the_average_of_the_parameters_is_what_is_saved(tmp_path, decay):
    store = make_store(tmp_path / "store", size=16)
    cfg = recipe({"training": {"steps": 2, "batch": 2, "log_every": 1, "ema": {"decay": decay, "warmup": False}}})
    run(tmp_path / "one", [store], [], **merge(cfg, {"training": {"steps": 1}}))
    run(tmp_path / "two", [store], [], **cfg)
    once, twice = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    begin = start(cfg, 3, "float32", 0)[0].network.state_dict()
    moved = [name for name in begin if not torch.allclose(twice[name], begin[name], atol=1e-7)]
    assert bool(moved) == (decay < 0.9)
    if decay == 0.5:  # half of the way of the first step, after which the average stands between
        plain = merge(cfg, {"training": {"steps": 1, "ema": {"decay": 0.0}}})
        run(tmp_path / "plain", [store], [], **plain)
        last = load_file(tmp_path / "plain" / "weights.safetensors")
        for name, value in once.items():
            torch.testing.assert_close(value, (begin[name] + last[name]) / 2)


def test_scores_of_a_trained_network_do_not_depend_on_the_batch(tmp_path):
    store = make_store(tmp_path / "store", count=5, size=16)
    run(tmp_path, [store], [], **recipe())
    alone, together = (score(tmp_path, store, batch=batch, inference=drawn_by()) for batch in (1, 4))
    assert alone == together


def test_one_training_serves_every_sampler_and_ensemble(tmp_path):
    store = make_store(tmp_path / "store", count=3, size=16)
    card = run(tmp_path, [store], [], **recipe({"training": {"steps": 2}}))
    assert not {"sampler", "ensemble"} & set(card["segmenter"])
    few, many = drawn_by(), drawn_by({"sampler": {"method": "ancestral", "steps": 4}, "ensemble": {"generations": 1, "combine": "vote"}})
    for inference in (few, many):
        segmenter, _ = load(tmp_path / "weights.safetensors", tmp_path / "card.json", "cpu", inference)
        assert (segmenter.network.sampler, segmenter.network.ensemble) == (inference["sampler"], inference["ensemble"])
        assert score(tmp_path, store, inference=inference)["inference"] == inference
        options = {"masks": tmp_path / "masks.npy", "rows_card": tmp_path / "rows.json", "count": 1, "seed": 0, "device": "cpu", "batch": 1}
        files = tmp_path / "weights.safetensors", tmp_path / "card.json"
        assert predict_rows(*files, store, **options, inference=inference)["inference"] == inference
    for missing, words in ((None, "is given nothing"), ({"sampler": few["sampler"]}, "is given sampler"), ({**few, "rrdb": {}}, "rrdb")):
        with pytest.raises(ConfigError, match=f"needs sampler, ensemble beside its weights.*{words}"):
            score(tmp_path, store, inference=missing)


def test_training_noise_is_a_function_of_seed_and_step(tmp_path):
    store = make_store(tmp_path / "store", size=16)
    for name in ("one", "two"):
        torch.manual_seed(len(name) * 7)
        run(tmp_path / name, [store], [], **recipe())
    assert (tmp_path / "one/history.csv").read_bytes() == (tmp_path / "two/history.csv").read_bytes()
    run(tmp_path / "other", [store], [], seed=1, **recipe())
    assert (tmp_path / "one/history.csv").read_bytes() != (tmp_path / "other/history.csv").read_bytes()


def test_wide_maps_are_generated_whole():
    segmenter = stirred()
    scores = segmenter(images(1, 24)[:, :13])
    assert scores.shape == (1, 3, 13, 24) and torch.isfinite(scores).all()
    assert F.softmax(scores, 1).sum(1).allclose(torch.ones(1))
