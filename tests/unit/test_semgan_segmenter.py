"""SemGAN as a segmenter: encoder, perceptual distance, latent search, training around a frozen generator."""

import generator_fixtures
import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import torch
from segmentation_fixtures import CLASSES, TRAINING, make_store, run, score
from semgan_fixtures import SIZE, config

from satsynth.adversarial import semgan
from satsynth.adversarial.encoder import StyleHead
from satsynth.adversarial.generator import Generator
from satsynth.pairs import IGNORE, Store
from satsynth.runtime import files
from satsynth.runtime.errors import BudgetError, ConfigError, WeightsError
from satsynth.segmentation.latent_search import PerceptualDistance, noise_pattern, rate_factor, search
from satsynth.segmentation.networks.semgan import centred, dice
from satsynth.segmentation.prediction import predict
from satsynth.segmentation.segmenter import load
from satsynth.segmentation.semgan_training import train_encoder

GENERATOR = config(training={"steps": 2, "log_every": 1})
SEARCH = {"steps": 3, "learning_rate": 0.1, "pixels": 0.1, "noise": 100.0, "consistency": 1.0e-3, "seed": 0}
CFG = {
    "network": "semgan",
    "encoder": "resnet18",
    "encoder_weights": "none",
    "style_width": 8,
    "precision": "float32",
    "head_rate": 1.0,
    "exposures": 1.0,
    "loss": {"perceptual": 10.0, "labels": 1.0},
    "background": None,
    "training": {**TRAINING, "optimizer": "adamw", "betas": [0.9, 0.99], "learning_rate": 1.0e-3, "clip": 5.0},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A store, and a generator, an evaluator and a SemGAN segmenter trained on it for a few steps."""
    root = tmp_path_factory.mktemp("world")
    store = make_store(root / "store", size=SIZE)
    outputs = {"weights": "weights.safetensors", "card": "card.json", "history": "history.csv", "previews": "p.png", "work": "work"}
    files_of = {key: root / "generator" / name for key, name in outputs.items()}
    semgan.train({SIZE: store}, GENERATOR, **files_of, device="cpu", wall_seconds=None)
    run(root / "evaluator", [store], [], network="unet", training={"steps": 2})
    fit(root, root / "run")
    return root


def fit(root, folder, cfg=CFG, stores=None, synthetic=(), **options) -> dict:
    given = {name: (root / name / "weights.safetensors", root / name / "card.json") for name in ("generator", "evaluator")}
    outputs = {"weights": "weights.safetensors", "card": "card.json", "history": "history.csv", "work": "work"}
    paths = {key: folder / name for key, name in outputs.items()}
    stores = [root / "store"] if stores is None else stores
    options = {"train_store": root / "store", "device": "cpu", **options}
    return train_encoder(stores, list(synthetic), cfg, 0, **{**given, **paths, **options})


def opened(root, folder="run"):
    inference = {"search": SEARCH} if folder == "run" else None
    return load(root / folder / "weights.safetensors", root / folder / "card.json", "cpu", inference)


def test_encoder_and_head_have_the_published_number_of_parameters_and_chains_down_to_one_pixel():
    with torch.device("meta"):
        encoder = smp.encoders.get_encoder("resnet50", weights=None)
        head = StyleHead(list(encoder.out_channels[-4:]), 256, 12, 512, 512)
    assert sum(parameter.numel() for network in (encoder, head) for parameter in network.parameters()) == 182_015_552
    assert [len(chain.halvings) // 2 for chain in head.chains] == [4] * 3 + [5] * 4 + [6] * 5


@pytest.mark.parametrize("size", [16, 32, 64])
def test_every_size_gets_one_style_a_layer_and_keeps_the_batch(size):
    generator = Generator(size, 3, 12, 2, 128, 16)
    encoder = smp.encoders.get_encoder("resnet18", weights=None).eval()
    head = StyleHead(list(encoder.out_channels[-4:]), size, generator.styles, 12, 8)
    assert head(encoder(torch.randn(2, 3, size, size))[-4:]).shape == (2, generator.styles, 12)


def test_images_without_a_map_of_stride_16_are_refused():
    with pytest.raises(ConfigError, match="16 px or more"):
        StyleHead([4, 4, 4, 4], 8, 4, 12, 8)


def test_perceptual_distance_is_that_of_unit_feature_vectors():
    class Fixed(torch.nn.Module):
        def forward(self, images):
            shown = images.mean((1, 2, 3))[:, None, None, None]
            return [images, torch.cat([shown, 1 - shown], 1), images.new_zeros(len(images), 0, 2, 2), torch.ones(len(images), 3, 2, 2)]

    distance = PerceptualDistance(Fixed())
    # These images, normalised by ImageNet's statistics, are 0 and 1: features (0, 1) and (1, 0), and equal ones in the other stage.
    first = distance.mean.expand(3, 8, 8)[None]
    second = (distance.mean + distance.std).expand(3, 8, 8)[None]
    known = distance.features(torch.cat([first, first]))
    assert len(known) == 2
    torch.testing.assert_close(distance(known, torch.cat([first, second])), torch.tensor([0.0, 1.0]))


def test_noise_pattern_tells_noise_from_pictures():
    noise = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    noise[1] = noise[1, :, 0].repeat(32, 1)  # stripes
    values = noise_pattern([noise])
    assert values[0] < 0.05 and values[1] > 0.9
    # Correlated at half the size only: a sum over scales sees it.
    coarse = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert noise_pattern([coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)]) > noise_pattern([coarse])


def test_the_rate_rises_holds_and_falls():
    assert [rate_factor(progress) for progress in (0, 0.025, 0.05, 0.5, 0.75)] == pytest.approx([0, 0.5, 1, 1, 1])
    assert rate_factor(0.875) == pytest.approx(0.5) and rate_factor(1) == pytest.approx(0)


def test_dice_is_its_formula_over_labelled_pixels():
    masks = torch.tensor([[[0, 1], [1, IGNORE]]], dtype=torch.uint8)
    shares = torch.tensor([[[[1.0, 0.5], [0.0, 0.9]], [[0.0, 0.5], [1.0, 0.9]]]])
    first, second = (2 * 1 + 1) / (1.5 + 1 + 1), (2 * 1.5 + 1) / (1.5 + 2 + 1)
    assert dice(shares, masks, background=None).item() == pytest.approx(1 - (first + second) / 2)
    assert dice(shares, masks, background=0).item() == pytest.approx(1 - second)
    assert dice(shares, masks, background=1).item() == pytest.approx(1 - first)


def test_search_comes_nearer_to_the_images():
    torch.manual_seed(0)
    generator = Generator(SIZE, 3, 12, 2, 128, 16).requires_grad_(False)
    distance = PerceptualDistance(smp.encoders.get_encoder("resnet18", weights=None).eval()).requires_grad_(False)
    images = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    first = torch.zeros(2, generator.styles, 12)
    errors = []
    for steps in (0, 10, 60):
        settings = {**SEARCH, "steps": steps, "pixels": 1.0, "consistency": 0.0}
        made, logits = search(generator, lambda images: first, distance, images, settings)
        assert logits.shape == (2, 3, SIZE, SIZE) and not logits.requires_grad
        errors.append(((made - images) ** 2).mean().item())
    assert errors[2] < errors[1] < errors[0] and errors[2] < 0.7 * errors[0]


def test_the_search_leaves_no_gradient_in_the_networks(world):
    segmenter, _ = opened(world)
    predict(segmenter, Store.open(world / "store").images[:2], 2)
    assert all(parameter.grad is None for parameter in segmenter.parameters())


def test_training_moves_the_encoder_alone_and_keeps_all_that_prediction_needs(world):
    segmenter, card = opened(world)
    generator = semgan.load(world / "generator/weights.safetensors", files.read_json(world / "generator/card.json"), "cpu")
    for name, value in generator.state_dict().items():
        assert torch.equal(segmenter.network.generator.state_dict()[name], value)
    evaluator, facts = opened(world, "evaluator")
    for name, value in evaluator.network.encoder.state_dict().items():
        assert torch.equal(segmenter.network.distance.encoder.state_dict()[name], value)
    assert card["generator_sha256"] == files.read_json(world / "generator/card.json")["weights_sha256"]
    assert card["evaluator_sha256"] == facts["weights_sha256"]
    assert "frozen" not in card["segmenter"] and card["segmenter"]["generator"]["size"] == SIZE


def test_training_lowers_the_loss(world, tmp_path):
    cfg = {**CFG, "training": {**CFG["training"], "steps": 40, "log_every": 10, "learning_rate": 2.0e-3}}
    fit(world, tmp_path, cfg)
    losses = pd.read_csv(tmp_path / "history.csv")["loss"].tolist()
    assert losses[-1] < 0.8 * losses[0]


def test_a_resumed_training_equals_an_unbroken_one(world, tmp_path):
    with pytest.raises(BudgetError, match="time budget"):
        fit(world, tmp_path, wall_seconds=0)
    fit(world, tmp_path)
    assert (tmp_path / "weights.safetensors").read_bytes() == (world / "run/weights.safetensors").read_bytes()


def test_prediction_and_scores_take_it_like_any_segmenter(world):
    values = score(world / "run", world / "store", inference={"search": SEARCH})
    assert values["images"] == 6 and len(values["iou"]) == CLASSES and 0 <= values["miou"] <= 1


def test_a_mask_depends_on_its_image_alone(world):
    segmenter, _ = opened(world)
    images = Store.open(world / "store").images
    together = predict(segmenter, images, 6)
    torch.manual_seed(5)
    alone = predict(segmenter, images, 1)
    assert together.shape == (6, SIZE, SIZE) and (together != alone).mean() < 0.01
    assert np.array_equal(predict(segmenter, images, 6), together)


def test_images_of_another_size_are_refused(world):
    segmenter, _ = opened(world)
    with pytest.raises(ConfigError, match="SemGAN makes pairs of 16 px"):
        segmenter(torch.zeros((1, 32, 32, 3), dtype=torch.uint8))


def test_a_generator_of_other_classes_or_without_a_card_is_refused(world, tmp_path):
    other = make_store(tmp_path / "other", size=SIZE, classes=CLASSES + 1)
    with pytest.raises(WeightsError, match="makes 3 classes, the data has 4"):
        fit(world, tmp_path / "run", stores=[other])
    with pytest.raises(WeightsError, match="card cannot be read"):
        fit(world, tmp_path / "run", generator=(tmp_path / "none", tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"classes": CLASSES + 1}, "tells 4 classes apart, the data has 3"),
        ({"size": 2 * SIZE}, "trained on patches of 32 px, the generator makes 16"),
    ],
)
def test_an_evaluator_of_other_classes_or_another_size_is_refused(world, tmp_path, changes, cause):
    other = make_store(tmp_path / "other", **{"size": SIZE, **changes})
    run(tmp_path / "evaluator", [other], [], network="unet", training={"steps": 1})
    paths = tmp_path / "evaluator" / "weights.safetensors", tmp_path / "evaluator" / "card.json"
    with pytest.raises(WeightsError, match=cause):
        fit(world, tmp_path / "run", evaluator=paths)


def trained(folder, kind, real, synthetic=()):
    """Weights and card of an evaluator or a generator that learned these pairs."""
    if kind == "evaluator":
        run(folder, [real], list(synthetic), network="unet", training={"steps": 1})
    else:
        generator_fixtures.train(semgan, {SIZE: real}, GENERATOR, folder)
    return folder / "weights.safetensors", folder / "card.json"


@pytest.mark.parametrize("kind", ["evaluator", "generator"])
def test_parts_of_another_dataset_with_as_many_classes_are_refused(world, tmp_path, kind):
    other = make_store(tmp_path / "other", size=SIZE, seed=1)
    part = {kind: trained(tmp_path / kind, kind, other)}
    cause = f"weights.safetensors: the {kind} was trained on other pairs than those in .*store"
    with pytest.raises(WeightsError, match=cause):
        fit(world, tmp_path / "run", **part)
    with pytest.raises(WeightsError, match=cause):  # the encoder sees synthetic pairs alone
        fit(world, tmp_path / "run", stores=[], synthetic=[other], **part)


def test_parts_of_one_other_dataset_are_refused_too(world, tmp_path):
    other = make_store(tmp_path / "other", size=SIZE, seed=1)
    with pytest.raises(WeightsError, match=r"the generator was trained on other pairs than those in .*other"):
        fit(world, tmp_path / "run", stores=[], synthetic=[world / "store"], train_store=other)


def test_an_evaluator_that_learned_synthetic_pairs_is_refused(world, tmp_path):
    made = make_store(tmp_path / "made", size=SIZE, seed=1)
    with pytest.raises(WeightsError, match="the evaluator was trained on synthetic pairs, too"):
        fit(world, tmp_path / "run", evaluator=trained(tmp_path / "evaluator", "evaluator", world / "store", [made]))


def test_an_encoder_without_a_generator_or_of_an_unknown_name_is_a_config_error(world, tmp_path):
    with pytest.raises(ConfigError, match="by means of a trained generator"):
        run(tmp_path / "alone", [world / "store"], [], **CFG)
    with pytest.raises(ConfigError, match="is no encoder for SemGAN"):
        fit(world, tmp_path / "named", {**CFG, "encoder": "resnet19"})


def test_uint8_images_are_centred():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    assert centred(images).tolist() == [[[[-1.0, 1.0]]] * 3]
