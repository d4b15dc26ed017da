"""Segmentation: fair pairs of runs, exact mixing, resuming, encoders, networks."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusion_fixtures import Waits
from safetensors.torch import load_file, save_file
from segmentation_fixtures import CFG, CLASSES, make_store, run, score

from satsynth.fitting import choose_precision
from satsynth.pairs import IGNORE, open_view
from satsynth.runtime import files
from satsynth.runtime.errors import BudgetError, ConfigError, StoreError, TrainingError, WeightsError
from satsynth.segmentation import encoders
from satsynth.segmentation.batches import Mixture, _gather_turned, rearrange
from satsynth.segmentation.losses import cross_entropy
from satsynth.segmentation.segmenter import build, pad
from satsynth.segmentation.training import by_origin, start


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("real") / "train")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    return [make_store(root / f"shard-{shard:04d}", count=5, seed=shard + 1, mark=1) for shard in range(3)]


# Batches


def test_every_batch_is_half_real_and_half_synthetic(real, synthetic):
    mixture = Mixture(open_view([real]), open_view(synthetic), "cpu")
    for step in range(20):
        rows = mixture.rows(3, step * 8, 8)
        assert (rows < 6).sum() == (rows >= 6).sum() == 4
    every = mixture.rows(3, 0, 2 * 6 * 15)  # 15 epochs of the 6 real pairs, 6 of the 15 synthetic ones
    assert np.bincount(every).tolist() == [15] * 6 + [6] * 15


def test_odd_batches_alternate(real, synthetic):
    mixture = Mixture(open_view([real]), open_view(synthetic), "cpu")
    assert [int((mixture.rows(0, step * 5, 5) < 6).sum()) for step in range(4)] == [3, 2, 3, 2]
    assert mixture.exposures(20) == {"real": 10, "synthetic": 10}
    assert mixture.exposures(5) == {"real": 3, "synthetic": 2}


@pytest.mark.parametrize("share", [0.25, 0.75, 0.07, 0.9])
def test_real_pairs_have_the_share_that_is_asked_for(real, synthetic, share):
    mixture = Mixture(open_view([real]), open_view(synthetic), "cpu", share)
    rows = mixture.rows(3, 0, 400)
    for count in (1, 7, 100, 399, 400):
        assert (rows[:count] < 6).sum() == math.ceil(count * round(100 * share) / 100) == mixture.exposures(count)["real"]
    np.testing.assert_array_equal(mixture.rows(3, 123, 50), rows[123:173])
    for part, pairs in ((rows[rows < 6], 6), (rows[rows >= 6] - 6, 15)):  # epoch by epoch, as always
        for first in range(0, len(part) - pairs, pairs):
            assert sorted(part[first : first + pairs]) == list(range(pairs))


def test_a_share_of_one_half_is_the_stream_that_there_always_was(real, synthetic):
    mixture = Mixture(open_view([real]), open_view(synthetic), "cpu", 0.5)
    assert ((mixture.rows(1, 0, 60) < 6) == (np.arange(60) % 2 == 0)).all()
    with pytest.raises(ConfigError, match="1 is no share of both parts"):
        Mixture(open_view([real]), open_view(synthetic), "cpu", 1)


def test_one_part_fills_the_batch(real, synthetic):
    alone = Mixture(None, open_view(synthetic), "cpu")
    assert alone.exposures(8) == {"real": 0, "synthetic": 8}
    images, _ = alone.draw(0, 0, 8)
    assert (images.amax((1, 2))[:, 0] > 0).all() and sorted(alone.rows(0, 0, 15)) == list(range(15))
    assert Mixture(open_view([real]), None, "cpu").exposures(8) == {"real": 8, "synthetic": 0}


def test_the_stream_has_no_memory(real, synthetic):
    def fresh():
        return Mixture(open_view([real]), open_view(synthetic), "cpu")

    walked = fresh()
    for step in range(9):
        latest = walked.draw(5, step, 8)
    for one, other in zip(latest, fresh().draw(5, 8, 8)):
        assert torch.equal(one, other)
    assert not torch.equal(latest[0], fresh().draw(6, 8, 8)[0])


def test_parts_of_a_step_join_to_its_batch(real, synthetic):
    mixture = Mixture(open_view([real]), open_view(synthetic), "cpu")
    whole = mixture.draw(1, 7, 8)
    for number in range(2):
        assert torch.equal(torch.cat([mixture.draw(1, 7, 8, part, 4)[number] for part in range(4)]), whole[number])


def test_real_pairs_come_in_one_order_with_and_without_synthetic_ones(real, synthetic):
    joined = Mixture(open_view([real]), open_view(synthetic), "cpu").rows(2, 0, 40)
    alone = Mixture(open_view([real]), None, "cpu").rows(2, 0, 20)
    assert joined[joined < 6].tolist() == alone.tolist()


def test_a_batch_is_what_its_rows_are_under_their_turns(real, synthetic):
    mixture = Mixture(open_view([real]), open_view(synthetic), "cpu")
    view = mixture.view
    for number in range(8):
        rows = np.array([3, 20, 7, 0])
        turned = _gather_turned(view, rows, np.full(4, number))
        wanted = rearrange(*(torch.from_numpy(array) for array in view.gather(rows)), mixture._turns[[number] * 4])
        assert all(torch.equal(one, other) for one, other in zip(turned, wanted))
    seen = {tuple(array.flatten().tolist()) for array in mixture._turns}
    assert len(seen) == 8
    images, masks = mixture.draw(4, 2, 64)
    rows = mixture.rows(4, 2 * 64, 64)
    plain, _ = view.gather(rows)
    assert torch.equal(images.sort(dim=1).values.sum((1, 2)), torch.from_numpy(plain).sort(dim=1).values.sum((1, 2)))
    assert images.shape == (64, 32, 32, 3) and masks.shape == (64, 32, 32)


@pytest.mark.parametrize("free", [0, 10**9], ids=["memory-mapped", "resident"])
def test_a_device_is_supplied_with_the_rows_of_each_part_without_a_wait(real, synthetic, free, monkeypatch):
    """ "meta" stands for an accelerator."""
    monkeypatch.setattr("satsynth.supply.free_bytes", lambda device: free)
    mixture, asked = Mixture(open_view([real]), open_view(synthetic), "meta"), []
    take = mixture.supply.take
    mixture.supply.take = lambda *draw: (asked.append(draw), take(*draw))[1]
    for step, part in [(4, 0), (4, 1), (5, 0), (2, 0)]:
        with Waits() as watch:
            images, masks = mixture.draw(1, step, 8, part, 2)
        assert watch.count == 0 and (images.shape, masks.shape) == ((4, 32, 32, 3), (4, 32, 32))
    assert asked == [(1, first, 4) for first in (32, 36, 40, 16)]
    assert (mixture.supply.resident is None) == (free == 0)


def test_the_eight_turns_are_the_group_and_move_masks_alike(real):
    mixture = Mixture(open_view([real]), None, "cpu")
    image = torch.arange(32 * 32 * 3).reshape(1, 32, 32, 3)
    mask = image[..., 0]
    seen = set()
    for number in range(8):
        turned, moved = rearrange(image, mask, mixture._turns[number][None])
        base = image[0].flip(1) if number >= 4 else image[0]
        assert torch.equal(turned[0], torch.rot90(base, number % 4, (0, 1)))
        assert torch.equal(turned[0, ..., 0], moved[0])
        seen.add(tuple(moved.flatten().tolist()))
    assert len(seen) == 8


def test_stores_are_parted_by_where_they_lie():
    town = Path("results/town/64px")
    made = [town / "cascade/shard-0000", town / "real_like/shard-0000"]
    assert by_origin([made[0], town / "real/train", made[1]]) == ([town / "real/train"], made)
    assert by_origin(card.parent for card in [town / "real/fit/card.json"]) == ([town / "real/fit"], [])


def test_bad_training_sets_are_named(tmp_path, real, synthetic):
    with pytest.raises(ConfigError, match="neither real nor synthetic"):
        Mixture(None, None, "cpu")
    blank = make_store(tmp_path / "blank", ignored=True)
    with pytest.raises(StoreError, match="no pixel of its masks is labelled"):
        Mixture(open_view([real]), open_view([blank]), "cpu")
    empty = make_store(tmp_path / "empty", count=0)
    with pytest.raises(StoreError, match="no synthetic pairs"):
        Mixture(open_view([real]), open_view([empty]), "cpu")
    Mixture(open_view([real]), open_view([empty, *synthetic]), "cpu")  # one empty shard among others is no fault
    large = make_store(tmp_path / "large", size=64)
    with pytest.raises(StoreError, match="64 px"):
        Mixture(open_view([real]), open_view([large]), "cpu")


# Loss


def test_cross_entropy_is_the_mean_over_labelled_pixels():
    torch.manual_seed(0)
    logits, masks = torch.randn(2, 4, 5, 5), torch.randint(0, 4, (2, 5, 5), dtype=torch.uint8)
    masks[0, :2] = IGNORE
    wanted = torch.nn.functional.cross_entropy(logits, masks.long(), ignore_index=IGNORE)
    assert cross_entropy(logits, masks).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_a_batch_without_labels_has_zero_loss_and_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 4, 4), IGNORE, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


# Networks


def test_parameter_count_of_the_papers_segmenter():
    segmenter = build({"network": "fpn", "encoder": "resnet50"}, 16, "float32")
    assert sum(parameter.numel() for parameter in segmenter.parameters()) == 26_117_968
    assert sum(parameter.numel() for parameter in segmenter.network.encoder.parameters()) == 23_508_032


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_any_size_is_padded_and_cropped(precision):
    segmenter = build(CFG, CLASSES, precision).eval()
    for height, width in ((40, 70), (7, 33)):
        with torch.inference_mode():
            logits = segmenter(torch.zeros(1, height, width, 3, dtype=torch.uint8))
        assert logits.shape == (1, CLASSES, height, width) and logits.dtype == torch.float32


def test_padding_mirrors_and_falls_back_to_the_border():
    inputs = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert pad(inputs, 2).shape == (1, 1, 4, 4) and torch.equal(pad(inputs, 2)[0, 0, 3], inputs[0, 0, 1])
    assert torch.equal(pad(inputs, 8)[0, 0, 7], pad(inputs, 8)[0, 0, 2])
    assert pad(inputs, 1) is inputs


def test_inputs_are_normalised_by_imagenet_statistics():
    segmenter = build(CFG, CLASSES, "float32")
    seen = []
    segmenter.network = torch.nn.Module()
    segmenter.network.forward = lambda inputs: seen.append(inputs) or inputs
    segmenter(torch.tensor([124, 116, 104], dtype=torch.uint8).expand(1, 32, 32, 3))
    assert seen[0].shape == (1, 3, 32, 32) and seen[0].abs().max() < 0.02


def test_unknown_names_are_config_errors():
    with pytest.raises(ConfigError, match="no network 'fnp'"):
        build({**CFG, "network": "fnp"}, CLASSES, "float32")
    with pytest.raises(ConfigError, match="'resnet17' is no encoder"):
        build({**CFG, "encoder": "resnet17"}, CLASSES, "float32")
    with pytest.raises(ConfigError, match="'half' is no precision"):
        choose_precision("half", "cpu")


# Encoder weights


def test_a_local_file_fills_the_encoder(tmp_path):
    donor = build(CFG, CLASSES, "float32").network.encoder
    state = {name: value + 1 for name, value in donor.state_dict().items() if not name.endswith("num_batches_tracked")}
    state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    save_file(state, tmp_path / "encoder.safetensors")
    torch.save(state, tmp_path / "encoder.pth")
    for suffix in ("safetensors", "pth"):
        path = tmp_path / f"encoder.{suffix}"
        segmenter, origin = start({**CFG, "encoder_weights": str(path)}, CLASSES, "float32", 0)
        assert origin == f"sha256:{files.sha256(path)}"
        assert torch.equal(segmenter.network.encoder.state_dict()["conv1.weight"], state["conv1.weight"])


def test_what_does_not_fit_is_listed_and_nothing_is_loaded(tmp_path):
    network = build(CFG, CLASSES, "float32").network
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    state["conv1.weight"] = torch.zeros(64, 4, 7, 7)
    state["stem.weight"] = state.pop("bn1.weight")
    save_file(state, tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError) as caught:
        encoders.initialise(network, "resnet18", str(tmp_path / "encoder.safetensors"))
    text = str(caught.value)
    assert "1 missing (bn1.weight)" in text and "1 unexpected (stem.weight)" in text
    assert "1 mismatched (conv1.weight (64, 4, 7, 7) for (64, 3, 7, 7))" in text
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())


def test_unreadable_weights_are_named(tmp_path):
    network = build(CFG, CLASSES, "float32").network
    with pytest.raises(WeightsError, match="no such file"):
        encoders.initialise(network, "resnet18", str(tmp_path / "absent.pth"))
    for name in ("cut.pth", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 cut")
        with pytest.raises(WeightsError, match="cannot be read"):
            encoders.initialise(network, "resnet18", str(tmp_path / name))
    torch.save({"state_dict": {}}, tmp_path / "nested.pth")
    with pytest.raises(WeightsError, match="no plain dictionary"):
        encoders.initialise(network, "resnet18", str(tmp_path / "nested.pth"))


def test_imagenet_without_a_connection_names_the_local_path(monkeypatch):
    network = build(CFG, CLASSES, "float32").network

    def offline(*_, **__):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(encoders.smp.encoders, "get_encoder", offline)
    with pytest.raises(WeightsError, match=r"could not be downloaded.*path of a local \.safetensors or \.pth"):
        encoders.initialise(network, "resnet18", "imagenet")


def test_imagenet_weights_are_loaded(monkeypatch):
    network = build(CFG, CLASSES, "float32").network
    donor = build(CFG, CLASSES, "float32").network.encoder
    monkeypatch.setattr(encoders.smp.encoders, "get_encoder", lambda name, weights: donor)
    assert encoders.initialise(network, "resnet18", "imagenet") == "imagenet"
    assert torch.equal(network.encoder.conv1.weight, donor.conv1.weight)


# Training


def test_steps_are_equal_whatever_the_training_set(tmp_path, real, synthetic):
    cards = {
        "D": run(tmp_path / "d", [real], []),
        "D'": run(tmp_path / "s", [], synthetic[:1]),
        "D+D'": run(tmp_path / "one", [real], synthetic[:1]),
        "D+3D'": run(tmp_path / "three", [real], synthetic),
    }
    assert {card["steps"] for card in cards.values()} == {4}
    pairs = {name: (card["real_pairs"], card["synthetic_pairs"]) for name, card in cards.items()}
    assert pairs == {"D": (6, 0), "D'": (0, 5), "D+D'": (6, 5), "D+3D'": (6, 15)}
    shown = {name: (card["real_exposures"], card["synthetic_exposures"]) for name, card in cards.items()}
    assert shown == {"D": (16, 0), "D'": (0, 16), "D+D'": (8, 8), "D+3D'": (8, 8)}
    # The control: D with as many exposures of real pairs as D ∪ D' has.
    control = run(tmp_path / "control", [real], [], exposures=0.5)
    assert (control["steps"], control["real_exposures"]) == (2, 8)
    assert len({card["data"]["real"][0] for card in cards.values() if card["real_pairs"]}) == 1
    assert len((tmp_path / "d" / "history.csv").read_text().splitlines()) == 5


def test_runs_of_a_seed_start_from_the_same_weights():
    torch.manual_seed(11)
    first, _ = start(CFG, CLASSES, "float32", 4)
    torch.manual_seed(12)
    untouched = torch.random.get_rng_state()
    second, _ = start(CFG, CLASSES, "float32", 4)
    assert torch.equal(untouched, torch.random.get_rng_state())
    other, _ = start(CFG, CLASSES, "float32", 5)
    states = [segmenter.network.state_dict() for segmenter in (first, second, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["segmentation_head.0.weight"], states[2]["segmentation_head.0.weight"])
    assert not torch.equal(states[0]["encoder.conv1.weight"], states[2]["encoder.conv1.weight"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path, real, synthetic, precision):
    whole = run(tmp_path / "whole", [real], synthetic, precision=precision)
    broken = tmp_path / "broken"
    for _ in range(3):
        with pytest.raises(BudgetError, match="time budget"):
            run(broken, [real], synthetic, precision=precision, wall_seconds=0)
        assert not (broken / "card.json").exists() and not (broken / "weights.safetensors").exists()
    assert run(broken, [real], synthetic, precision=precision) == whole
    assert (broken / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path, real):
    with pytest.raises(BudgetError, match="time budget"):
        run(tmp_path, [real], [], wall_seconds=0)
    before = files.sha256(tmp_path / "work" / "checkpoint.safetensors")
    with pytest.raises(TrainingError, match=r"not finite.*learning_rate"):
        run(tmp_path, [real], [], training={"learning_rate": 1.0e30})
    assert files.sha256(tmp_path / "work" / "checkpoint.safetensors") == before
    assert not (tmp_path / "weights.safetensors").exists()


def test_accumulation_and_head_rate(tmp_path, real):
    card = run(tmp_path, [real], [], head_rate=10.0, training={"steps": 1, "accumulate": 2})
    assert card["real_exposures"] == 4
    trained = load_file(tmp_path / "weights.safetensors")
    initial, _ = start(CFG, CLASSES, "float32", 0)
    assert not torch.equal(trained["encoder.conv1.weight"], initial.network.state_dict()["encoder.conv1.weight"])


def test_batch_of_one(tmp_path, real):
    with pytest.raises(ConfigError, match="too few for batch normalisation"):
        run(tmp_path / "small", [real], [], training={"batch": 1})
    large = make_store(tmp_path / "large", count=2, size=64)
    assert run(tmp_path / "run", [large], [], training={"batch": 1, "steps": 2})["batch"] == 1


def test_a_small_set_is_learned_by_heart(tmp_path):
    store = make_store(tmp_path / "shapes", count=16, size=64)
    recipe = {"steps": 75, "batch": 8, "optimizer": "adamw", "betas": [0.9, 0.999], "learning_rate": 1.0e-3, "weight_decay": 0.01}
    run(tmp_path, [store], [], training=recipe, precision="auto")
    assert score(tmp_path, store)["miou"] >= 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pairs_held_on_the_device_give_the_same_batches(real, synthetic):
    batches = [Mixture(open_view([real]), open_view(synthetic), device).draw(1, 2, 8) for device in ("cpu", "cuda")]
    assert all(torch.equal(one, other.cpu()) for one, other in zip(*batches))
