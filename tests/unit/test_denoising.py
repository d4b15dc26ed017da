"""Pairs followed from noise: the sampler's watch, the states that are kept, and the figure of them."""

import math

import numpy as np
import pytest
import torch
from figure_checks import check_legible, check_repeatable, compose
from generator_fixtures import SAMPLER, SCHEDULE, config, train, write_store
from PIL import Image
from reporting_fixtures import SPACE, write_classes, write_json

from satsynth.diffusion import ddpm, upscaler
from satsynth.diffusion.denoising import chosen_steps, trace_pairs
from satsynth.diffusion.levels import sigma_grid
from satsynth.diffusion.outputs import card_codes
from satsynth.diffusion.samplers import METHODS, sample
from satsynth.diffusion.sampling import sample_shard
from satsynth.diffusion.stacks import decode
from satsynth.diffusion.training import starting_noise
from satsynth.pairs import IGNORE, LabelSpace, Store
from satsynth.randomness import torch_stream
from satsynth.reporting import figures
from satsynth.reporting.captions import CAPTIONS
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, StoreError

FULL = {**SAMPLER, "sigma_min": None, "sigma_max": None, "eta": 0.3, "variance": "fixed_small"}
EDM = {"sigma_min": 0.01, "sigma_max": 40.0}
VARIANTS = {
    "epsilon": {"prediction": "epsilon"},
    "v, zero terminal SNR": {"prediction": "v", "schedule": {**SCHEDULE, "zero_terminal_snr": True}},
    "edm": {},
    "images alone": {"prediction": "x0", "codes": "none"},
}
SHORT = {"steps": 2, "batch": 2, "accumulate": 1}


@pytest.fixture(scope="module", params=list(VARIANTS))
def generator(request, tmp_path_factory):
    """A generator of 8 px, barely trained: weights, card, and a sampler without a method."""
    root, changes = tmp_path_factory.mktemp("generator"), VARIANTS[request.param]
    sampler = {**FULL, **({} if "prediction" in changes else EDM)}
    cfg = config(training=SHORT, previews={"count": 1, "sampler": {**sampler, "steps": 2}}, **changes)
    card = train(ddpm, {8: write_store(root / "real", 8, count=4)}, cfg, root)
    return root / "weights.safetensors", card, sampler


@pytest.mark.parametrize("spacing", ["uniform", "karras"])
@pytest.mark.parametrize("method", METHODS)
def test_a_watch_sees_every_step_and_changes_no_bit(generator, method, spacing):
    weights, card, sampler = generator
    cfg = {**sampler, "method": method, "spacing": spacing, "steps": 4}
    denoiser, seen = ddpm.load(weights, card, "cpu"), []
    start = starting_noise(denoiser, 2, torch_stream(0, "start"))

    def watch(step, sigma, x, x0):
        seen.append((step, sigma, x.clone(), x, x0))

    plain = sample(denoiser, start, cfg, torch_stream(0, "steps"))
    watched = sample(denoiser, start, cfg, torch_stream(0, "steps"), watch=watch)
    assert torch.equal(plain, watched)
    sigmas = sigma_grid(cfg, denoiser.schedule, denoiser.prediction)
    assert [entry[0] for entry in seen] == list(range(5)) and [entry[1] for entry in seen] == sigmas
    assert all(torch.equal(then, now) for _, _, then, now, _ in seen)  # no later step writes into what was shown
    for _, sigma, x, _, x0 in seen[:-1]:
        torch.testing.assert_close(denoiser.denoise(x, sigma).clamp(-1, 1), x0)
    scale = 1 if sigmas[0] == math.inf else sigmas[0] if card["prediction"] == "edm" else math.hypot(1, sigmas[0])
    torch.testing.assert_close(seen[0][2], start * scale)
    assert torch.equal(seen[-1][3], plain) and torch.equal(seen[-1][4], plain)


def traced(weights, card, folder, **changes):
    """Images, masks and card of traced pairs."""
    out = {"images": folder / "images.npy", "masks": folder / "masks.npy", "card_out": folder / "card.json"}
    numbers = {"seed": 3, "block": 3, "count": 5, "moments": 3, "device": "cpu"}
    trace_pairs(weights, card, **out, **{**numbers, **changes})
    return np.load(out["images"]), np.load(out["masks"]), files.read_json(out["card_out"])


@pytest.mark.parametrize("method", METHODS)
def test_the_last_state_is_the_pair_of_the_sources_own_shard(generator, method, tmp_path):
    weights, card, sampler = generator
    sampler = {**sampler, "method": method, "steps": 4}
    images, masks, told = traced(weights, card, tmp_path, sampler=sampler)
    stages = [{"weights": weights, "card": card, "sampler": sampler}]
    sample_shard(stages, folder=tmp_path / "made", seed=3, block=3, first=0, last=5, device="cpu", classes=5)
    store = Store.open(tmp_path / "made")
    assert (images[:, -1] == store.images[:]).all() and (masks[:, -1] == store.masks[:]).all()
    assert told["steps"] == [0, 2, 4] and told["sigmas"][-1] == 0 and told["weights_sha256"] == card["weights_sha256"]
    assert (masks == IGNORE).all() == (card["codes"] == "none")
    # The first is what the noise of the block looks like, whatever the sampler calls it.
    denoiser = ddpm.load(weights, card, "cpu")
    noise = starting_noise(denoiser, 3, torch_stream(3, "sample", 0, 1))[:2]
    level = told["sigmas"][0] or math.inf
    share = 1 if level == math.inf or card["prediction"] != "edm" else level / math.hypot(1, level)
    assert np.abs(images[3:, 0].astype(int) - decode(share * noise, card_codes(card))[0]).max() <= 1


def test_the_first_stage_of_a_cascade_is_followed(tmp_path):
    stores = {size: write_store(tmp_path / str(size), size) for size in (8, 16)}
    cards = {}
    for module, cfg in ((ddpm, config()), (upscaler, config("upscaler"))):
        cards[module.KIND] = train(module, stores, cfg, tmp_path / module.KIND)
    stages = [{"weights": tmp_path / kind / "weights.safetensors", "card": card, "sampler": SAMPLER} for kind, card in cards.items()]
    sample_shard(stages[:1], folder=tmp_path / "lows", seed=3, block=3, first=1, last=4, device="cpu", classes=5)
    images, masks, _ = traced(stages[0]["weights"], cards["ddpm"], tmp_path, sampler=SAMPLER)
    lows = Store.open(tmp_path / "lows")
    assert (images[1:4, -1] == lows.images[:]).all() and (masks[1:4, -1] == lows.masks[:]).all()
    with pytest.raises(ConfigError, match="a upscaler starts from pairs of 8 px"):
        traced(stages[1]["weights"], cards["upscaler"], tmp_path / "no", sampler=SAMPLER)
    with pytest.raises(ConfigError, match="a semgan makes its pairs in one step"):
        traced(stages[0]["weights"], {"kind": "semgan", "low": None}, tmp_path / "no", sampler=SAMPLER)
    for wrong in ({"count": 0}, {"moments": 1}, {"block": 0}):
        with pytest.raises(ConfigError, match="cannot be followed"):
            traced(stages[0]["weights"], cards["ddpm"], tmp_path / "no", sampler=SAMPLER, **wrong)
    assert not (tmp_path / "no").exists()


def test_moments_lie_evenly_and_are_no_more_than_the_steps():
    assert chosen_steps(1000, 9) == list(range(0, 1001, 125))
    assert chosen_steps(10, 4) == [0, 3, 7, 10]
    assert chosen_steps(2, 9) == [0, 1, 2] and chosen_steps(1, 2) == [0, 1]


def states(folder, pairs=2, moments=4, size=32, space=SPACE, **card):
    """Inputs of the figure: states whose images are of one colour each and whose masks of one class."""
    numbers = np.arange(pairs * moments).reshape(pairs, moments)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "masks.npy", (numbers % space.count).astype(np.uint8)[..., None, None].repeat(size, 2).repeat(size, 3))
    colours = np.stack([numbers, np.full_like(numbers, 240), np.full_like(numbers, 40)], -1).astype(np.uint8)
    np.save(folder / "images.npy", np.broadcast_to(colours[:, :, None, None], (pairs, moments, size, size, 3)))
    steps = [250 * number for number in range(moments)]
    facts = {"codes": "bits", "classes": space.count, "size": size, "sampler": {"method": "unipc"}, "steps": steps}
    facts["sigmas"] = [None, *np.geomspace(157, 0.01, moments - 2).tolist(), 0.0]
    write_json(folder / "card.json", facts | card)
    inputs = {"images": [folder / "images.npy"], "masks": [folder / "masks.npy"], "cards": [folder / "card.json"]}
    return inputs | {"classes": [write_classes(folder, space)]}


CFG = {"title": "From noise to pairs", "dataset": "demo", "source": "base", "cell": 64}


def test_the_figure_is_repeatable_and_has_a_caption(tmp_path):
    check_repeatable("denoising", CFG, states(tmp_path), tmp_path)
    assert "log SNR" in CAPTIONS["denoising"]


@pytest.mark.parametrize(("size", "classes", "pairs", "moments"), [(32, 5, 1, 3), (64, 7, 3, 9), (256, 16, 1, 9), (8, 2, 1, 2)])
def test_no_text_leaves_the_figure_or_covers_another(tmp_path, size, classes, pairs, moments):
    colours = tuple((15 * number, 255 - 15 * number, 90) for number in range(classes))
    space = LabelSpace(tuple(f"ground_track_field_{number}" for number in range(classes)), colours)
    for cell in (16, 128):
        inputs = states(tmp_path / f"{cell}", pairs, moments, size, space)
        check_legible("denoising", CFG | {"cell": cell}, inputs, tmp_path)


def test_states_stand_in_columns_over_their_steps_and_levels(tmp_path):
    inputs = states(tmp_path, sigmas=[None, 10.0, 0.1, 0.0])
    figures.draw("denoising", CFG, inputs, tmp_path / "f.png", tmp_path / "f.pdf")
    drawn = np.asarray(Image.open(tmp_path / "f.png").convert("RGB"))
    colours = [[(4 * pair + moment, 240, 40) for moment in range(4)] for pair in range(2)]
    places = np.array([[np.argwhere((drawn == colour).all(-1)).min(0) for colour in line] for line in colours])
    assert (places[:, :, 1] == places[:1, :, 1]).all() and (places[:, :, 0] == places[:, :1, 0]).all()
    for pair in range(2):
        for moment, (y, x) in enumerate(places[pair]):
            assert (drawn[y : y + 64, x : x + 64] == colours[pair][moment]).all()
            assert (drawn[y + 67 : y + 131, x : x + 64] == SPACE.colours[(4 * pair + moment) % 3]).all()
    figure = compose("denoising", CFG, inputs)
    said = {text.get_text(): round(text.get_position()[0] * drawn.shape[1]) for text in figure.texts}
    for moment, words in enumerate((("0", "−∞"), ("250", "−4.6"), ("500", "4.6"), ("750", "∞"))):
        assert [said[word] for word in words] == [places[0, moment, 1] + 32] * 2
    assert {"From noise to pairs (demo, 32 px, base)", "The first 2 pairs of G, UniPC sampler of 750 steps"} <= set(said)


def test_images_alone_have_no_masks_and_no_legend(tmp_path):
    inputs = states(tmp_path, codes="none")
    np.save(inputs["masks"][0], np.full((2, 4, 32, 32), IGNORE, np.uint8))
    figure = compose("denoising", CFG, inputs)
    assert not figure.legends and "mask" not in [text.get_text() for text in figure.texts]
    check_legible("denoising", CFG, inputs, tmp_path)


def test_states_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(StoreError, match=r"knows 4 classes, classes.json names 3"):
        compose("denoising", CFG, states(tmp_path, classes=4))
    with pytest.raises(StoreError, match="do not fit"):
        compose("denoising", CFG, states(tmp_path, steps=[0, 1]))
    inputs = states(tmp_path)
    np.save(inputs["masks"][0], np.zeros((2, 4, 32, 32), np.int64))
    with pytest.raises(StoreError, match="not uint8"):
        compose("denoising", CFG, inputs)
