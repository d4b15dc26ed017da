"""Every variant of a generator by config alone: what it predicts, how labels are coded or left out, and what must not be mixed."""

import numpy as np
import pytest
from generator_fixtures import SAMPLER, SCHEDULE, config, train, write_store
from PIL import Image

from satsynth.diffusion import ddpm, previews, upscaler
from satsynth.diffusion.samplers import METHODS
from satsynth.diffusion.sampling import sample_shard
from satsynth.diffusion.stacks import Stacks, choose_codes, decode, encode, enlarge
from satsynth.pairs import IGNORE, Store, check_one_origin, open_view
from satsynth.runtime.errors import ConfigError, StoreError

# Every number that a sampler may be asked for; levels that a network has of its own are null.
FULL = {**SAMPLER, "sigma_min": None, "sigma_max": None, "eta": 0.3, "variance": "fixed_small"}
EDM = {"sigma_min": 0.01, "sigma_max": 40.0}
DEEP = {"channels": 8, "multipliers": [1, 1, 2, 2, 4, 4], "blocks": 1, "attention": [4], "dropout": 0.0, "unshuffle": 1, "norm_groups": 4}
SILENT = {**SCHEDULE, "zero_terminal_snr": True}
VARIANTS = {
    "epsilon": {"prediction": "epsilon", "min_snr": 5.0},
    "x0": {"prediction": "x0"},
    "x0, zero terminal SNR": {"prediction": "x0", "schedule": SILENT},
    "v, zero terminal SNR": {"prediction": "v", "schedule": SILENT},
    "v, cosine, zero terminal SNR": {"prediction": "v", "schedule": {**SILENT, "kind": "cosine"}},
    "edm": {"prediction": "edm"},
    "one-hot": {"prediction": "epsilon", "codes": "onehot"},
    "images alone": {"prediction": "epsilon", "codes": "none"},
    "images alone, edm by channel group": {
        "prediction": "edm",
        "codes": "none",
        "edm": {"sigma_data": [0.4, 0.9], "p_mean": -1, "p_std": 1},
    },
    "direct at full size": {"prediction": "epsilon", "size": 64, "network": DEEP},
}


def made(stages, folder, **changes):
    sample_shard(stages, **{"folder": folder, "seed": 0, "block": 3, "first": 0, "last": 3, "device": "cpu", "classes": 5, **changes})
    return Store.open(folder, verify=True)


def stage(folder, card, **sampler):
    return {"weights": folder / "weights.safetensors", "card": card, "sampler": {**SAMPLER, **sampler}}


@pytest.mark.parametrize("name", list(VARIANTS))
def test_a_variant_trains_and_samples_by_every_method(name, tmp_path):
    changes = {"size": 16, **VARIANTS[name]}
    size, edm = changes["size"], changes["prediction"] == "edm"
    sampler = {**FULL, **(EDM if edm else {})}
    previews = {"count": 2, "sampler": {**sampler, "steps": 2}}
    cfg = config(training={"steps": 2, "batch": 2, "accumulate": 1}, previews=previews, **changes)
    card = train(ddpm, {size: write_store(tmp_path / "real", size, count=4)}, cfg, tmp_path)
    codes = changes.get("codes", "bits")
    assert card["codes"] == codes and card["prediction"] == changes["prediction"] and card["pairs"] == 4
    width = {"bits": 6, "onehot": 8, "none": 3}[codes]
    denoiser = ddpm.load(tmp_path / "weights.safetensors", card, "cpu")
    assert denoiser.network.config.in_channels == denoiser.network.config.out_channels == width
    for method in METHODS:
        for spacing in ("uniform", "karras"):
            store = made([stage(tmp_path, card, **{**sampler, "method": method, "spacing": spacing, "steps": 3})], tmp_path / "made")
            assert len(store) == 3 and store.size == size and not (store.images[0] == store.images[1]).all()


def test_codes_of_kind_none_have_no_channel(tmp_path):
    view = open_view([write_store(tmp_path, 8, ignored=True, classes=4)])
    codes = choose_codes("none", [view])
    assert codes.channels == 0 and not codes.ignore_word and codes.words().shape == (4, 0)
    stacks = Stacks([view], codes, "d4", "cpu")
    assert len(stacks) == 10  # the row without a labelled pixel stays: an image needs no label
    batch = stacks.batch(0, 0, 10)[0]
    assert batch.shape == (10, 3, 8, 8)
    images, masks, margins, invalid = decode(batch, codes)
    assert images.shape == (10, 8, 8, 3) and (masks == IGNORE).all() and masks.dtype == np.uint8
    assert np.isnan(margins).all() and not invalid.any()
    assert enlarge(batch, 16).shape == (10, 3, 16, 16)
    images, masks = (array[:2] for array in stacks.supply.pairs(np.arange(2))[0])
    assert encode(images, masks, codes).shape == (2, 3, 8, 8)


@pytest.fixture(scope="module")
def images_alone(tmp_path_factory):
    """A cascade of image-only G and G_SR, and a G of pairs beside it."""
    root = tmp_path_factory.mktemp("images")
    stores = {size: write_store(root / str(size), size, count=4, ignored=True) for size in (8, 16)}
    short = {"training": {"steps": 4, "batch": 2, "accumulate": 1}}
    cards = {
        "g": train(ddpm, stores, config(codes="none", **short), root / "g"),
        "sr": train(upscaler, stores, config("upscaler", codes="none", **short), root / "sr"),
        "pairs": train(ddpm, stores, config(**short), root / "pairs"),
    }
    return root, cards


def test_images_alone_are_stored_without_labels_margins_and_invalid_shares(images_alone, tmp_path):
    root, cards = images_alone
    store = made([stage(root / "g", cards["g"])], tmp_path / "a")
    assert (store.masks[:] == IGNORE).all() and store.card["ignore_pixels"] == store.masks.size and store.classes == 5
    assert store.card["class_pixels"] == [0] * 5 and store.index.columns.tolist() == ["pair", "seed", "index"]
    card = cards["g"]
    assert card["codes"] == "none" and card["margin"] is None and card["invalid"] is None
    assert card["pairs"] == 4 and card["pairs_left_out"] == 0
    with Image.open(root / "g/previews.png") as sheet:
        assert sheet.size == (3 * 98, 4 * 98 + 3 * 6)  # four milestones, a band of images each and no masks
    with Image.open(root / "sr/previews.png") as sheet:
        assert sheet.size == (3 * 98, 5 * 98 + 4 * 6)


def test_images_alone_go_through_a_cascade_but_not_into_one_of_pairs(images_alone, tmp_path):
    root, cards = images_alone
    both = [stage(root / name, cards[name]) for name in ("g", "sr")]
    store = made(both, tmp_path / "full")
    assert store.size == 16 and (store.masks[:] == IGNORE).all() and len(store) == 3
    with pytest.raises(ConfigError, match="different label codes"):
        made([stage(root / "pairs", cards["pairs"]), both[1]], tmp_path / "none")


def test_previews_of_images_and_of_pairs_share_a_sheet(tmp_path):
    images, masks = np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8), np.uint8)
    for name, kept in (("with", masks), ("without", None)):
        previews.save(tmp_path / name, images, kept)
    rows = [previews.load(tmp_path / name) for name in ("with", "without")]
    assert (rows[0][1] == masks).all() and rows[1][1] is None
    assert previews.sheet(rows, 3).shape[0] == 3 * 98 + 6


def test_a_generator_of_another_label_space_is_refused(images_alone, tmp_path):
    root, cards = images_alone
    stages = [stage(root / "pairs", cards["pairs"])]
    with pytest.raises(ConfigError, match=r"5 classes.*this one of 7.*train it again"):
        made(stages, tmp_path / "made", classes=7)
    assert not (tmp_path / "made").exists()
    assert made(stages, tmp_path / "made", classes=5).classes == 5


def test_shards_of_different_weights_samplers_or_seeds_are_not_mixed(images_alone, tmp_path):
    root, cards = images_alone
    first = made([stage(root / "g", cards["g"])], tmp_path / "plain/shard-000")
    alike = made([stage(root / "g", cards["g"])], tmp_path / "plain/shard-001", first=3, last=6)
    check_one_origin([first, alike])
    others = {
        "weights": made([stage(root / "pairs", cards["pairs"])], tmp_path / "plain/shard-002"),
        "samplers": made([stage(root / "g", cards["g"], steps=5)], tmp_path / "plain/shard-003"),
        "seed": made([stage(root / "g", cards["g"])], tmp_path / "plain/shard-004", seed=1),
        "block": made([stage(root / "g", cards["g"])], tmp_path / "plain/shard-005", block=2),
    }
    for name, other in others.items():
        with pytest.raises(StoreError, match=f"its {name} differ from those of .*shard-000"):
            check_one_origin([first, alike, other])
    # Another source may differ in everything, and real or augmented stores have no weights.
    elsewhere = made([stage(root / "pairs", cards["pairs"])], tmp_path / "other/shard-000")
    check_one_origin([Store.open(root / "8"), first, elsewhere, alike])
