"""Training and sampling of G and G_SR with tiny networks."""

import json
import logging
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusion_fixtures import Waits
from generator_fixtures import SAMPLER, config, train, write_store
from PIL import Image
from safetensors.torch import load_file, save_file

from satsynth.codes import Codes
from satsynth.diffusion import ddpm, previews, training, upscaler
from satsynth.diffusion.outputs import card_codes
from satsynth.diffusion.sampling import check_data, sample_shard
from satsynth.diffusion.stacks import Stacks, choose_codes, decode, encode, enlarge
from satsynth.pairs import IGNORE, Store, bounds, open_view
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, StoreError, TrainingError, WeightsError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Stores of 8 and 16 px, and a G and a G_SR trained on them for a few steps."""
    root = tmp_path_factory.mktemp("world")
    stores = {size: write_store(root / str(size), size) for size in (8, 16)}
    cards = {
        "g": train(ddpm, stores, config(), root / "g"),
        "sr": train(upscaler, stores, config("upscaler", condition_noise={"max": 0.2}, previews=noisy_previews()), root / "sr"),
    }
    return root, stores, cards


def noisy_previews() -> dict:
    return {"count": 3, "sampler": {**SAMPLER, "condition_level": 0.1}}


def stage(world, name: str, **sampler: object) -> dict:
    root, _, cards = world
    level = 0.1 if name == "sr" else None
    return {
        "weights": root / name / "weights.safetensors",
        "card": cards[name],
        "sampler": {**SAMPLER, "condition_level": level, **sampler},
    }


def test_batches_are_shuffled_epochs_with_one_symmetry_for_all_sizes(tmp_path):
    views = [open_view([write_store(tmp_path / str(size), size)]) for size in (16, 8)]
    stacks = Stacks(views, Codes("bits", 5), "d4", "cpu")
    drawn = torch.cat([stacks.batch(3, seen, 5)[0] for seen in range(0, 20, 5)])
    # The blue channel carries the row number: two epochs hold every row once each, in different orders.
    rows = ((drawn[:, 2, 0, 0] + 1) * 127.5).round().int().tolist()
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10] != rows[10:]
    for full, low in zip(*stacks.batch(3, 5, 5), strict=True):
        assert torch.equal(full[:, ::2, ::2], low)
        masks = Codes("bits", 5).decode(full[None, 3:])[0]
        assert torch.equal(masks[0].float() * 50 / 127.5 - 1, full[0])


@pytest.mark.parametrize("free", [0, 10**9], ids=["memory-mapped", "resident"])
def test_no_batch_waits_for_the_device(tmp_path, free, monkeypatch):
    monkeypatch.setattr("satsynth.supply.free_bytes", lambda device: free)
    stacks = Stacks([open_view([write_store(tmp_path / str(size), size)]) for size in (16, 8)], Codes("bits", 5), "d4", "meta")
    assert (stacks.supply.resident is None) == (free == 0)
    stacks.batch(3, 0, 7)  # the code words go there once
    with Waits() as watch:
        high, low = stacks.batch(3, 7, 7)
    assert watch.count == 0 and (high.device.type, high.shape, low.shape) == ("meta", (7, 6, 16, 16), (7, 6, 8, 8))


def test_waits_are_seen():
    with Waits() as watch:
        torch.ones(3).to("meta")
    assert watch.count == 1


def test_batches_do_not_depend_on_where_the_pairs_are_held(tmp_path, monkeypatch):
    view = open_view([write_store(tmp_path, 8, ignored=True, classes=4)])
    resident = Stacks([view], Codes("bits", 4), "d4", "cpu")
    monkeypatch.setattr("satsynth.supply.free_bytes", lambda device: 0)
    mapped = Stacks([view], Codes("bits", 4), "d4", "cpu")
    assert resident.supply.resident is not None and mapped.supply.resident is None
    for seed, first in [*((0, 3 + 7 * step) for step in range(6)), (0, 24), (0, 31), (1, 3)]:  # over epochs, then as after a resume
        assert torch.equal(resident.batch(seed, first, 7)[0], mapped.batch(seed, first, 7)[0])


def test_ignore_pixels_take_the_free_word_and_come_back(tmp_path):
    view = open_view([write_store(tmp_path, 8, ignored=True)])
    codes = choose_codes("bits", [view])
    assert codes.ignore_word
    stacks = Stacks([view], codes, "none", "cpu")
    assert len(stacks) == 10
    images, masks, margins, invalid = decode(stacks.batch(0, 0, 10)[0], codes)
    assert (masks[:, 0] == IGNORE).all() and (masks == IGNORE).sum() == 9 * 8 + 64
    assert margins == pytest.approx(1) and not invalid.any() and images.dtype == np.uint8


def test_ignore_pixels_without_a_free_word_are_filled_and_unlabelled_pairs_left_out(tmp_path, caplog):
    view = open_view([write_store(tmp_path, 8, ignored=True, classes=4)])
    codes = choose_codes("bits", [view])
    assert not codes.ignore_word
    with caplog.at_level(logging.WARNING):
        stacks = Stacks([view], codes, "none", "cpu")
    assert len(stacks) == 9 and 0 not in stacks.rows
    assert "1 of 10 pairs hold no labelled pixel" in caplog.text
    masks = decode(stacks.batch(0, 0, 9)[0], codes)[1]
    assert (masks[:, 0] == masks[:, 1]).all()


def test_stacks_refuse_sizes_of_different_rows(tmp_path):
    views = [open_view([write_store(tmp_path / str(size), size, count=size)]) for size in (8, 16)]
    with pytest.raises(StoreError, match="differ in rows"):
        Stacks(views, Codes("bits", 5), "none", "cpu")


def test_stack_survives_encoding_and_codes_are_never_averaged():
    codes = Codes("bits", 5)
    images = torch.arange(192, dtype=torch.uint8).view(1, 8, 8, 3)
    masks = (torch.arange(64) % 5).to(torch.uint8).view(1, 8, 8)
    stack = encode(images, masks, codes)
    assert stack.shape == (1, 6, 8, 8) and stack.abs().max() <= 1
    back = decode(stack, codes)
    assert (back[0] == images.numpy()).all() and (back[1] == masks.numpy()).all()
    large = enlarge(stack, 16)
    assert set(large[:, 3:].unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(large[:, 3:, ::2, ::2], stack[:, 3:])


@pytest.mark.parametrize("kind", ["ddpm", "upscaler"])
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(world, tmp_path, monkeypatch, kind):
    root, stores, _ = world
    module, unbroken = {"ddpm": (ddpm, root / "g"), "upscaler": (upscaler, root / "sr")}[kind]
    noise = {"condition_noise": {"max": 0.2}, "previews": noisy_previews()} if kind == "upscaler" else {}
    cfg = config(kind, **noise)
    monkeypatch.setenv("SATSYNTH_CHECKPOINT_SECONDS", "0")
    take = previews.Previews.take

    def killed(self, denoiser, step):
        take(self, denoiser, step)
        if step == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(previews.Previews, "take", killed)
    with pytest.raises(KeyboardInterrupt):
        train(module, stores, cfg, tmp_path)
    assert not (tmp_path / "weights.safetensors").exists() and (tmp_path / "work/checkpoint.safetensors").exists()
    monkeypatch.setattr(previews.Previews, "take", take)
    card = train(module, stores, cfg, tmp_path)
    for name in ("weights.safetensors", "card.json", "history.csv", "previews.png"):
        assert (tmp_path / name).read_bytes() == (unbroken / name).read_bytes(), name
    assert card["steps"] == 12 and card["images_seen"] == 48


def test_outputs_say_what_was_trained(world):
    root, stores, cards = world
    card = cards["sr"]
    assert card["low"] == 8 and card["size"] == 16 and card["classes"] == 5 and card["ignore_word"] is False
    assert card["data"] == {str(size): files.sha256(stores[size] / "card.json") for size in (8, 16)}
    tensors = load_file(root / "sr/weights.safetensors")
    assert card["parameters"] == sum(value.numel() for value in tensors.values())
    assert {value.dtype for value in tensors.values()} == {torch.float32}
    assert (root / "sr/history.csv").read_text().startswith("step,images,loss,learning_rate,grad_norm\n2,8,")
    with Image.open(root / "sr/previews.png") as sheet:
        # conditions and four milestones, each an image and a mask band of 96 px tiles
        assert sheet.size == (3 * 98, 10 * 98 + 4 * 6)
    assert json.loads((root / "sr/card.json").read_text()) == card


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(world, tmp_path, monkeypatch):
    _, stores, _ = world
    monkeypatch.setenv("SATSYNTH_CHECKPOINT_SECONDS", "0")
    losses = iter([1.0] * 12 + [float("nan")] * 100)
    forward = training.Denoiser.forward
    monkeypatch.setattr(training.Denoiser, "forward", lambda self, *args: forward(self, *args) * next(losses))
    with pytest.raises(TrainingError, match="not finite") as caught:
        train(ddpm, stores, config(), tmp_path)
    assert "learning_rate" in caught.value.remedy
    with torch.no_grad():
        found = load_file(tmp_path / "work/checkpoint.safetensors")
    assert all(torch.isfinite(value.float()).all() for value in found.values())
    assert not (tmp_path / "card.json").exists()


def test_sigma_data_by_channel_group_survives_the_card(world, tmp_path):
    _, stores, _ = world
    card = train(ddpm, stores, config(edm={"sigma_data": [0.3, 0.9], "p_mean": -1.0, "p_std": 1.4}), tmp_path)
    assert ddpm.load(tmp_path / "weights.safetensors", card, "cpu").edm["sigma_data"] == [0.3, 0.9]


def test_a_training_without_steps_is_refused(world, tmp_path):
    with pytest.raises(ConfigError, match=r"training\.steps"):
        train(ddpm, world[1], config(training={"steps": 0}), tmp_path)


def test_the_store_must_have_the_configured_size(world, tmp_path):
    _, stores, _ = world
    with pytest.raises(ConfigError, match="holds 16 px, not 8"):
        train(ddpm, {8: stores[16]}, config(), tmp_path)


def test_a_few_pairs_are_learnt_by_heart(tmp_path):
    stores = {8: write_store(tmp_path / "two", 8, count=2, classes=4)}
    network = {"channels": 48, "multipliers": [1], "blocks": 1, "attention": [], "dropout": 0.0, "unshuffle": 2, "norm_groups": 8}
    cfg = config(
        network=network,
        flips="none",
        training={"steps": 450, "batch": 16, "accumulate": 1, "learning_rate": 4.0e-3, "warmup": 10, "decay": "constant", "log_every": 50},
        previews={"count": 4, "sampler": {**SAMPLER, "steps": 10}},
    )
    card = train(ddpm, stores, cfg, tmp_path / "g")
    one = {"weights": tmp_path / "g/weights.safetensors", "card": card, "sampler": cfg["previews"]["sampler"]}
    sample_shard([one], folder=tmp_path / "made", seed=0, block=8, first=0, last=8, device="cpu", classes=4)
    known, made = Store.open(stores[8]), Store.open(tmp_path / "made")
    agreement = [max((mask == other).mean() for other in known.masks) for mask in made.masks]
    assert np.mean(agreement) > 0.9
    # Red rises and green falls with the label in the two pairs; so they must in what was made of them.
    assert np.corrcoef(made.images[..., 0].ravel(), made.masks.ravel())[0, 1] > 0.8
    assert np.corrcoef(made.images[..., 1].ravel(), made.masks.ravel())[0, 1] < -0.8


def test_bounds_tile_every_unit_and_do_not_move_when_units_are_added():
    for count, shards in ((10, 4), (7, 7), (100, 3)):
        ranges = [bounds(shard, shards, count) for shard in range(3 * shards)]
        assert ranges[0][0] == 0 and ranges[-1][1] == 3 * count
        assert all(before[1] == after[0] for before, after in pairwise(ranges))
        assert bounds(shards, shards, count)[0] == count
    assert bounds(1, 4, 10) == (2, 5)


def test_pair_i_is_the_same_in_every_split_into_shards(world, tmp_path):
    stages = [stage(world, "g"), stage(world, "sr", method="ancestral", variance="fixed_small")]
    whole = tmp_path / "whole"
    sample_shard(stages, folder=whole, seed=5, block=4, first=0, last=10, device="cpu", classes=5)
    for first, last in ((0, 3), (3, 7), (7, 10)):
        sample_shard(stages, folder=tmp_path / "part", seed=5, block=4, first=first, last=last, device="cpu", classes=5)
        part, all_pairs = Store.open(tmp_path / "part"), Store.open(whole)
        assert (part.images == all_pairs.images[first:last]).all() and (part.masks == all_pairs.masks[first:last]).all()
        assert part.index["index"].tolist() == list(range(first, last)) and part.index["seed"].unique().tolist() == [5]
        assert part.index["margin"].tolist() == all_pairs.index["margin"][first:last].tolist()
    sample_shard(stages, folder=tmp_path / "other", seed=6, block=4, first=0, last=10, device="cpu", classes=5)
    assert (Store.open(tmp_path / "other").images != Store.open(whole).images).any()


def test_a_cascade_starts_from_the_pairs_of_its_first_stage(world, tmp_path, monkeypatch):
    both, seen, drawn = [stage(world, "g"), stage(world, "sr")], [], upscaler.draw

    def draw(denoiser, sampler, count, generator, low):
        seen.append(decode(low, card_codes(both[0]["card"]))[:2])
        return drawn(denoiser, sampler, count, generator, low)

    monkeypatch.setattr(upscaler, "draw", draw)
    sample_shard(both, folder=tmp_path / "full", seed=2, block=4, first=2, last=8, device="cpu", classes=5)
    sample_shard(both[:1], folder=tmp_path / "alone", seed=2, block=4, first=2, last=8, device="cpu", classes=5)
    full, alone = (Store.open(tmp_path / name, verify=True) for name in ("full", "alone"))
    images, masks = (np.concatenate(blocks)[2:8] for blocks in zip(*seen, strict=True))
    assert (images == alone.images).all() and (masks == alone.masks).all()
    assert full.size == 16 and alone.size == 8 and len(full) == len(alone) == 6
    assert full.index["index"].tolist() == alone.index["index"].tolist() == list(range(2, 8))
    assert full.card["source"]["weights"] == [each["card"]["weights_sha256"] for each in both]
    assert full.card["source"]["nfe"] == [4, 4] and alone.card["source"]["nfe"] == [4]
    assert full.index["invalid"].between(0, 1).all() and (full.index["margin"] >= 0).all()


def test_stages_must_follow_each_other(world, tmp_path):
    with pytest.raises(ConfigError, match="starts from 8 px follows nothing"):
        sample_shard([stage(world, "sr")], folder=tmp_path, seed=0, block=4, first=0, last=4, device="cpu", classes=5)
    with pytest.raises(ConfigError, match="condition_level"):
        wrong = stage(world, "sr", condition_level=None)
        sample_shard([stage(world, "g"), wrong], folder=tmp_path, seed=0, block=4, first=0, last=4, device="cpu", classes=5)
    assert not (tmp_path / "card.json").exists()


def test_a_generator_does_not_depend_on_the_parts_of_a_batch(world, tmp_path):
    weights = []
    for parts in (1, 4):
        recipe = {"steps": 3, "batch": 8, "accumulate": parts}
        cfg = config("upscaler", condition_noise={"max": 0.2}, previews=noisy_previews(), training=recipe)
        cfg["network"]["dropout"] = 0.0
        train(upscaler, world[1], cfg, tmp_path / str(parts))
        weights.append(load_file(tmp_path / str(parts) / "weights.safetensors"))
    for name, whole in weights[0].items():
        torch.testing.assert_close(weights[1][name], whole, atol=2e-5, rtol=2e-3)


def test_generators_of_other_pairs_are_refused(world):
    stores = world[1]
    both = [stage(world, "g"), stage(world, "sr")]
    check_data(both, stores[16] / "card.json")
    check_data(both[:1], stores[8] / "card.json")
    with pytest.raises(WeightsError, match="trained on other pairs of 16 px"):
        check_data(both, stores[8] / "card.json")
    other = {**both[0], "card": {**both[0]["card"], "data": {"8": "0" * 64}}}
    with pytest.raises(WeightsError, match=r"g/weights\.safetensors.*trained on other pairs of 8 px than .*sr/weights\.safetensors"):
        check_data([other, both[1]], stores[16] / "card.json")


def test_weights_of_another_network_are_refused_with_a_list(world, tmp_path):
    root, _, cards = world
    card = cards["g"]
    wider = {**card, "network": {**card["network"], "channels": 16}}
    with pytest.raises(WeightsError, match=r"conv_in.weight is \(8, 6, 3, 3\), the network has \(16, 6, 3, 3\).* more"):
        ddpm.load(root / "g/weights.safetensors", wider, "cpu")
    with pytest.raises(WeightsError, match="not what its card says"):
        ddpm.load(root / "sr/weights.safetensors", card, "cpu")
    with pytest.raises(WeightsError, match="upscaler"):
        ddpm.load(root / "sr/weights.safetensors", cards["sr"], "cpu")
    with pytest.raises(WeightsError, match="no such file"):
        ddpm.load(tmp_path / "none.safetensors", card, "cpu")
    tensors = load_file(root / "g/weights.safetensors")
    tensors.pop("network.conv_in.bias")
    save_file(tensors, tmp_path / "less.safetensors")
    less = {**card, "weights_sha256": files.sha256(tmp_path / "less.safetensors")}
    with pytest.raises(WeightsError, match=r"conv_in\.bias is missing"):
        ddpm.load(tmp_path / "less.safetensors", less, "cpu")


def test_loaded_weights_are_the_average_and_need_no_gradient(world):
    root, _, cards = world
    denoiser = upscaler.load(root / "sr/weights.safetensors", cards["sr"], "cpu")
    assert not denoiser.training and not any(parameter.requires_grad for parameter in denoiser.parameters())
    saved = load_file(root / "sr/weights.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in denoiser.state_dict().items())
