"""What an evaluator sees in a store: the right arrays, of the right evaluator, or an error that says why not."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from segmentation_fixtures import CLASSES, make_store, run, write_features

from satsynth.pairs import StoreWriter
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, WeightsError
from satsynth.segmentation.features import Features, choose_stage, describe, encode, pool
from satsynth.segmentation.networks import unet
from satsynth.segmentation.segmenter import Segmenter, load, pad
from satsynth.weights import write

ARRAYS = Features._fields


def make_evaluator(folder, store, **changes):
    run(folder, [store], [], training={"steps": 2}, **{"network": "unet", **changes})
    return folder / "weights.safetensors", folder / "card.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An evaluator of 64 px, a store of 7 pairs and its features."""
    folder = tmp_path_factory.mktemp("features")
    store = make_store(folder / "store", count=7, size=64)
    evaluator = make_evaluator(folder / "evaluator", store)
    card, arrays = describe_store(folder / "out", *evaluator, store)
    return {"evaluator": evaluator, "store": store, "card": card, **arrays}


def describe_store(folder, weights, card, store, **changes):
    values = write_features(folder, weights, card, store, **{"batch": 3, **changes})
    assert values == files.read_json(folder / "card.json")
    return values, {name: np.load(folder / f"{name}.npy") for name in ARRAYS}


def images_of(store):
    return torch.from_numpy(np.load(store / "images.npy"))


def test_pooled_features_are_the_mean_of_the_last_map(made):
    segmenter, _ = load(*made["evaluator"], "cpu")
    inputs = segmenter.normalised(images_of(made["store"]))
    with torch.inference_mode():
        maps = segmenter.network.encoder(inputs)
    assert made["pooled"].shape == (7, 512) and made["pooled"].dtype == np.float32
    np.testing.assert_allclose(made["pooled"], maps[-1].mean((2, 3)), rtol=1e-3, atol=1e-5)
    # Of 64 px the map of 16 x 16 is that of stride 4.
    assert made["spatial"].shape == (7, 7 * 16 * 16) and made["spatial"].dtype == np.float32
    np.testing.assert_allclose(made["spatial"], maps[2][:, :7].reshape(7, -1), rtol=1e-3, atol=1e-5)


def test_probabilities_and_entropy_are_those_of_the_pixels(made):
    segmenter, _ = load(*made["evaluator"], "cpu")
    with torch.inference_mode():
        logits = segmenter(images_of(made["store"])).numpy().astype(np.float64)
    exponents = np.exp(logits)
    shares = exponents / exponents.sum(1, keepdims=True)
    assert made["probabilities"].shape == (7, 2, CLASSES) and made["probabilities"].dtype == np.float64
    np.testing.assert_allclose(made["probabilities"][:, 0], shares.mean((2, 3)), rtol=1e-4)
    averaged = np.exp(logits.mean((2, 3)))
    np.testing.assert_allclose(made["probabilities"][:, 1], averaged / averaged.sum(1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(made["probabilities"].sum(2), 1, rtol=1e-12)
    assert made["entropy"].shape == (7,) and made["entropy"].dtype == np.float64
    np.testing.assert_allclose(made["entropy"], -(shares * np.log(shares)).sum(1).mean((1, 2)), rtol=1e-4)


def test_the_card_tells_what_was_made_of_what(made, tmp_path):
    weights, _ = made["evaluator"]
    card = made["card"]
    assert (card["count"], card["classes"], card["size"]) == (7, CLASSES, 64)
    assert (card["pooled_width"], card["spatial_width"], card["spatial_stage"]) == (512, 1792, 2)
    assert card["evaluator_sha256"] == files.sha256(weights)
    assert card["evaluator_data"] == {"real": [card["store_sha256"]], "synthetic": []}
    assert card["store_sha256"] == files.sha256(made["store"] / "card.json")
    again, _ = describe_store(tmp_path, *made["evaluator"], made["store"])
    assert again == card
    assert card["sha256"] == {f"{name}.npy": files.sha256(tmp_path / f"{name}.npy") for name in ARRAYS}


def test_the_batch_changes_nothing_but_rounding(made, tmp_path):
    _, arrays = describe_store(tmp_path, *made["evaluator"], made["store"], batch=100)
    for name in ARRAYS:
        np.testing.assert_allclose(arrays[name], made[name], rtol=1e-3, atol=1e-5)


def test_the_encoder_alone_gives_what_the_whole_network_gives(made):
    segmenter, _ = load(*made["evaluator"], "cpu")
    images = images_of(made["store"])
    torch.testing.assert_close(pool(encode(segmenter, images)), describe(segmenter, images).pooled)


def test_no_hook_stays_in_the_network(made):
    segmenter, _ = load(*made["evaluator"], "cpu")
    describe(segmenter, images_of(made["store"]))
    assert not segmenter.network.encoder._forward_hooks


@pytest.mark.parametrize(
    "size, side, expected",
    [(128, 16, 3), (256, 16, 4), (64, 16, 2), (32, 16, 1), (512, 16, 5), (96, 12, 3), (160, 20, 3), (48, 12, 2), (1024, 32, 5)],
)
def test_the_spatial_stage_is_the_one_nearest_16_by_16(size, side, expected):
    sides = [size // stride for stride in (2, 4, 8, 16, 32)]
    stage = choose_stage(sides, size)
    assert (stage + 1, sides[stage]) == (expected, side)


def test_the_paper_s_evaluator_gives_the_widths_of_the_paper_s_patches():
    segmenter = Segmenter(smp.Unet("resnet50", encoder_weights=None, classes=2), 32, "float32").eval()
    found = describe(segmenter, torch.zeros(1, 128, 128, 3, dtype=torch.uint8))
    assert found.pooled.shape == (1, 2048) and found.spatial.shape == (1, 1792)


def test_sides_that_the_network_pads_are_described_as_padded(tmp_path):
    store = make_store(tmp_path / "store", count=2, size=40)
    evaluator = make_evaluator(tmp_path / "evaluator", store)
    _, arrays = describe_store(tmp_path / "out", *evaluator, store)
    segmenter, _ = load(*evaluator, "cpu")
    with torch.inference_mode():
        maps = segmenter.network.encoder(pad(segmenter.normalised(images_of(store)), 32))
        logits = segmenter(images_of(store))
    np.testing.assert_allclose(arrays["pooled"], maps[-1].mean((2, 3)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(arrays["probabilities"][:, 0], logits.softmax(1).mean((2, 3)), rtol=1e-4)


def test_an_encoder_without_a_first_map_serves_too(tmp_path):
    # The first map of these encoders has no channels.
    store = make_store(tmp_path / "store", count=2, size=32)
    card, arrays = describe_store(tmp_path / "out", *make_evaluator(tmp_path / "evaluator", store, encoder="mit_b0"), store)
    assert arrays["pooled"].shape == (2, 256) and arrays["spatial"].shape == (2, 7 * 8 * 8) and card["spatial_stage"] == 1


def test_pairs_without_labels_are_described(made, tmp_path):
    store = make_store(tmp_path / "store", count=2, size=64, ignored=True)
    _, arrays = describe_store(tmp_path / "out", *made["evaluator"], store)
    np.testing.assert_allclose(arrays["pooled"], made["pooled"][:2], rtol=1e-3, atol=1e-5)


def test_an_evaluator_of_other_classes_is_refused(made, tmp_path):
    store = make_store(tmp_path / "store", size=64, classes=CLASSES + 1)
    with pytest.raises(WeightsError, match=rf"trained on {CLASSES} classes, but .* has {CLASSES + 1}"):
        describe_store(tmp_path / "out", *made["evaluator"], store)
    assert not (tmp_path / "out").exists()


def test_an_evaluator_of_another_size_is_refused(made, tmp_path):
    store = make_store(tmp_path / "store", size=32)
    with pytest.raises(WeightsError, match=r"trained on 64 px, but .* has 32"):
        describe_store(tmp_path / "out", *made["evaluator"], store)


def test_a_store_without_pairs_has_features_of_no_rows(made, tmp_path):
    StoreWriter(tmp_path / "store", size=64, classes=CLASSES).close()
    card, arrays = describe_store(tmp_path / "out", *made["evaluator"], tmp_path / "store")
    assert card["count"] == 0 and card["pooled_width"] == made["card"]["pooled_width"]
    for name, empty in arrays.items():
        assert empty.shape == (0, *made[name].shape[1:]) and empty.dtype == made[name].dtype


class OneMap(torch.nn.Module):
    """A network whose encoder gives one map and no list of them."""

    def __init__(self, cfg, classes):
        super().__init__()
        self.encoder = torch.nn.Conv2d(3, classes, 1)

    def forward(self, images):
        return self.encoder(images)


def test_a_network_without_maps_is_refused(made, tmp_path, monkeypatch):
    monkeypatch.setattr(unet, "build", OneMap)
    segmenter = Segmenter(OneMap({}, CLASSES), 32, "float32")
    written = write(tmp_path / "weights.safetensors", segmenter.network.state_dict())
    files.write_json(tmp_path / "card.json", {**files.read_json(made["evaluator"][1]), "weights_sha256": written})
    with pytest.raises(ConfigError, match="'unet' has no encoder that gives a map a stage"):
        describe_store(tmp_path / "out", tmp_path / "weights.safetensors", tmp_path / "card.json", made["store"])


def test_features_that_are_not_finite_leave_no_file(made, tmp_path):
    segmenter, facts = load(*made["evaluator"], "cpu")
    with torch.no_grad():
        segmenter.network.encoder.conv1.weight[0] = np.nan
    written = write(tmp_path / "weights.safetensors", segmenter.network.state_dict())
    files.write_json(tmp_path / "card.json", {**facts, "weights_sha256": written})
    with pytest.raises(WeightsError, match="NaN or Inf"):
        describe_store(tmp_path / "out", tmp_path / "weights.safetensors", tmp_path / "card.json", made["store"])
    assert not list((tmp_path / "out").glob("*"))
