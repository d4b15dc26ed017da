"""Every network through the same door: exact sizes, options, shapes, precision, cards, odd inputs and odd label spaces."""

import numpy as np
import pytest
import torch
from presets import preset
from segmentation_fixtures import make_store, run, score

from satsynth.pairs import IGNORE, StoreWriter
from satsynth.plan import slices
from satsynth.plan.closure import declares, registered
from satsynth.plan.config import merge, resolve
from satsynth.plan.stanzas import NETWORKS
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError
from satsynth.segmentation import segmenter as segmenters
from satsynth.segmentation.segmenter import build, build_loss, load, structure

EVERY = [name for name in registered(NETWORKS) if not declares(NETWORKS, name, "NEEDS")]
# SYSTEMS of the field: trainable parameters with 16 classes, as published or counted in the originals.
SIZES = {
    "fpn": 26_117_968,
    "unet": 32_523_280,
    "pspnet": 24_370_128,
    "segformer": 24_726_224,
    "farseg": 31_370_064,
    "pfsegnet": 32_994_003,
    "segdiff": 162_772_932,
}


def stanza(network, over=None, name="demo"):
    """The whole config of a network under a preset."""
    config = {"preset": name, "run": [], "segmenters": {"one": merge(over or {}, {"network": network})}}
    return resolve(config, preset(name))["segmenters"]["one"]


def recipe(network, over=None, name="demo"):
    """The config of a network under a preset, as its training job gets it."""
    return slices.segmenter(stanza(network, over, name))


def inference(network):
    """What a toy network predicts by beside its weights, as its evaluation job gets it."""
    return slices.inference(stanza(network, name="tiny")).get("inference", {})


def small(network, **over):
    """A recipe of a few steps in float32 for runs of seconds."""
    changes = {"precision": "float32", "training": {"steps": 2, "batch": 4, "warmup": 0, "log_every": 1}}
    return recipe(network, merge(changes, over), "tiny")


def images(count=2, height=64, width=64):
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_all_networks_are_found():
    assert set(EVERY) == set(SIZES)


@pytest.mark.parametrize("network", EVERY)
def test_the_paper_preset_builds_the_published_sizes(network):
    assert parameters(build(recipe(network, name="paper"), 16, "float32")) == SIZES[network]


@pytest.mark.parametrize(
    ("network", "over", "count"),
    [
        ("pspnet", {"depth": 5}, 29_877_840),
        ("pspnet", {"depth": 5, "dilated": True}, 29_877_840),
        ("segformer", {"encoder": "mit_b0"}, 3_718_256),
        ("segformer", {"decoder_width": 768}, 27_358_928),
    ],
)
def test_options_change_the_size(network, over, count):
    assert parameters(build(recipe(network, over, "paper"), 16, "float32")) == count


def test_dilation_keeps_the_stride():
    deep, dilated = (build(small("pspnet", depth=5, dilated=flag), 3, "float32").eval() for flag in (False, True))
    shapes = [network.network.encoder(torch.zeros(1, 3, 64, 64))[-1].shape[-1] for network in (deep, dilated)]
    assert shapes == [2, 8]
    for network in (deep, dilated):
        with torch.inference_mode():
            assert network(images()).shape == (2, 3, 64, 64)


@pytest.mark.parametrize(
    ("network", "over", "words"),
    [
        ("pspnet", {"dilated": True}, "nothing to dilate"),
        ("pspnet", {"depth": 2}, "2 stages"),
        *((network, {"encoder": "resnet19"}, "is no encoder") for network in EVERY),
        ("fpn", {"encoder": "tu-resnet99"}, "is no encoder"),
        ("fpn", {"encoder": "mit_b9"}, "is no encoder"),
    ],
)
def test_what_cannot_be_built_is_a_config_error(network, over, words):
    with pytest.raises(ConfigError, match=words):
        build({**recipe(network), **over}, 3, "float32")


@pytest.mark.parametrize(
    ("over", "key", "words"),
    [
        ({"fpn": {"depth": 5}}, "segmenters.fpn.depth", "network fpn does not read this key"),
        ({"farseg": {"loss": {"edge_weight": 2.0}}}, "segmenters.farseg.loss.edge_weight", "does not read"),
        ({"half": {"extends": "pspnet", "points": {"edge_points": 3}}, "pspnet": {}}, "segmenters.half.points", "network pspnet"),
    ],
)
def test_keys_of_another_network_are_refused(over, key, words):
    with pytest.raises(ConfigError, match=words) as found:
        resolve({"preset": "demo", "run": [], "segmenters": over}, preset("demo"))
    assert found.value.subject == key


@pytest.mark.parametrize("network", EVERY)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_of_any_size_get_logits_of_their_size(network, precision):
    segmenter = build({**small(network), **inference(network)}, 5, precision).eval()
    with torch.inference_mode():
        for height, width in ((64, 64), (50, 70), (7, 33)):
            logits = segmenter(images(2, height, width))
            assert logits.shape == (2, 5, height, width) and logits.dtype == torch.float32 and torch.isfinite(logits).all()


@pytest.mark.parametrize("network", EVERY)
def test_a_permuted_batch_gives_permuted_logits(network):
    segmenter = build({**small(network), **inference(network)}, 4, "float32").eval()
    batch = images(4)
    order = torch.tensor([2, 0, 3, 1])
    with torch.inference_mode():
        torch.testing.assert_close(segmenter(batch)[order], segmenter(batch[order]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", EVERY)
@pytest.mark.parametrize("classes", [2, 255])
def test_two_and_255_classes_train_and_are_scored(tmp_path, network, classes):
    with StoreWriter(tmp_path / "store", size=32, classes=classes) as writer:
        stream = np.random.default_rng(classes)
        for _ in range(4):
            mask = np.repeat(np.repeat(stream.integers(0, classes, (4, 4), dtype=np.uint8), 8, 0), 8, 1)
            writer.append(np.repeat(mask[:, :, None], 3, 2), mask)
    cfg = small(network)
    card = run(tmp_path, [tmp_path / "store"], [], **cfg)
    assert card["classes"] == classes and card["segmenter"] == structure(cfg)
    values = score(tmp_path, tmp_path / "store", inference=inference(network))
    assert len(values["iou"]) == classes and 0 <= values["miou"] <= 1


@pytest.mark.parametrize("network", EVERY)
def test_trained_weights_are_read_back_to_the_same_function(tmp_path, network):
    store = make_store(tmp_path / "store", size=64)
    run(tmp_path, [store], [], **small(network))
    first, second = (load(tmp_path / "weights.safetensors", tmp_path / "card.json", "cpu", inference(network))[0] for _ in range(2))
    untrained = build({**small(network), **inference(network)}, 3, "float32").eval()
    with torch.inference_mode():
        logits = first(images())
        assert torch.equal(logits, second(images())) and not torch.allclose(logits, untrained(images()))
    kept = structure(small(network))
    assert files.read_json(tmp_path / "card.json")["segmenter"] == kept and "training" not in kept


@pytest.mark.parametrize("network", EVERY)
def test_a_resumed_training_of_every_network_equals_an_unbroken_one(tmp_path, network):
    from satsynth.runtime.errors import BudgetError

    store = make_store(tmp_path / "store", size=32)
    whole = run(tmp_path / "whole", [store], [], **small(network))
    with pytest.raises(BudgetError, match="time budget"):
        run(tmp_path / "broken", [store], [], wall_seconds=0, **small(network))
    assert run(tmp_path / "broken", [store], [], **small(network)) == whole


@pytest.mark.parametrize("network", EVERY)
def test_a_batch_of_one_is_trained_or_told_why_not(tmp_path, network):
    """On 32 px the deepest map is one pixel: batch statistics of one image do not exist. PSPNet has no norm there, SegFormer none."""
    store = make_store(tmp_path / "store", size=32)
    cfg = small(network, training={"batch": 1})
    if network in ("pspnet", "segformer", "segdiff"):
        assert run(tmp_path, [store], [], **cfg)["batch"] == 1
    else:
        with pytest.raises(ConfigError, match=r"too few for batch normalisation.*at least 2"):
            run(tmp_path, [store], [], **cfg)


def test_pooled_maps_of_one_pixel_need_two_images_at_any_size(tmp_path):
    store = make_store(tmp_path / "store", size=96)
    with pytest.raises(ConfigError, match="too few for batch normalisation"):
        run(tmp_path, [store], [], **small("pfsegnet", training={"batch": 2, "accumulate": 2}))
    assert run(tmp_path, [store], [], **small("pfsegnet", training={"batch": 2}))["steps"] == 2


@pytest.mark.parametrize("network", EVERY)
def test_a_class_that_train_lacks_is_missed_and_one_that_nobody_has_is_left_out(tmp_path, network):
    """Four classes: 3 is in neither set, 2 only in val, 1 only in train."""

    def store(folder, classes_shown):
        with StoreWriter(folder, size=32, classes=4) as writer:
            for number in range(6):
                mask = np.full((32, 32), classes_shown[number % len(classes_shown)], np.uint8)
                mask[:8] = classes_shown[0]
                mask[-4:] = IGNORE
                writer.append(np.repeat(60 * mask[:, :, None], 3, 2), mask)
        return folder

    learned = {"steps": 30, "optimizer": "adamw", "learning_rate": 2.0e-3}
    run(tmp_path, [store(tmp_path / "train", (0, 1))], [], **small(network, training=learned))
    values = score(tmp_path, store(tmp_path / "val", (0, 2)), inference=inference(network))
    counts = np.load(tmp_path / "confusion.npy").sum(0)
    # What was never shown is never answered: class 2 is missed whole and counts, class 3 is in neither and does not.
    assert counts[:, 2:].sum() == 0 and counts[2].sum() > 0
    absent = [number for number in (1, 3) if counts[:, number].sum() == 0]
    assert values["iou"][2] == 0 and values["absent"] == absent and 3 in absent
    assert values["miou"] == pytest.approx(np.mean([value for value in values["iou"] if value is not None]))


def test_losses_are_the_networks_own():
    masks = torch.randint(0, 3, (2, 64, 64), dtype=torch.uint8)
    logits = torch.randn(2, 3, 64, 64)
    plain = build_loss(recipe("fpn"))(logits, masks, 0)
    annealed = build_loss(recipe("farseg"))
    assert annealed(logits, masks, 0) == pytest.approx(plain.item(), rel=1e-3)
    edges = torch.randn(2, 3, 64, 64)
    cfg = recipe("pfsegnet")
    with_edges = build_loss(cfg)((logits, edges), masks, 0)
    without = build_loss({**cfg, "loss": {**cfg["loss"], "edge_weight": 0.0}})((logits, edges), masks, 0)
    assert with_edges > without > 0


def test_an_unknown_network_is_a_config_error():
    with pytest.raises(ConfigError, match="there is no network 'fpm'"):
        segmenters.build({"network": "fpm"}, 3, "float32")
