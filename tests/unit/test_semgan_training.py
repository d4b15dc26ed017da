"""Training and sampling of a tiny SemGAN."""

import generator_fixtures
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from semgan_fixtures import SIZE, config

from satsynth import kinds
from satsynth.adversarial import semgan
from satsynth.adversarial.training import COLUMNS, Game
from satsynth.codes import Codes
from satsynth.diffusion.outputs import card_codes
from satsynth.diffusion.sampling import sample_shard
from satsynth.diffusion.stacks import Stacks, decode
from satsynth.pairs import Store, open_view
from satsynth.plan.closure import digests
from satsynth.randomness import torch_stream
from satsynth.runtime import files
from satsynth.runtime.errors import BudgetError, ConfigError, TrainingError, WeightsError

CLASSES = 3


def write_store(folder, **options: object):
    return generator_fixtures.write_store(folder, **{"size": SIZE, "count": 8, "classes": CLASSES, **options})


def train(store, folder, wall_seconds=None, **changes: object) -> dict:
    return generator_fixtures.train(semgan, {SIZE: store}, config(**changes), folder, wall_seconds)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A store and a SemGAN trained on it for a few steps."""
    root = tmp_path_factory.mktemp("world")
    store = write_store(root / "store")
    return root, store, train(store, root / "run")


def game(store, **changes: object) -> Game:
    view = open_view([store])
    return Game(config(**changes), Stacks([view], Codes("onehot", CLASSES), "none", "cpu"), "cpu", half=False)


def test_training_writes_weights_history_previews_and_a_card(world):
    root, store, card = world
    history = pd.read_csv(root / "run/history.csv")
    assert list(history) == ["step", "images", *COLUMNS]
    assert history["step"].tolist() == [2, 4, 6, 8] and history["images"].tolist() == [8, 16, 24, 32]
    assert history[["loss", "image_discriminator", "label_discriminator", "grad_norm"]].notna().all().all()
    # R1 in steps 0 and 4, path lengths in steps 0, 3 and 6: rows without one are empty.
    assert history["r1_image"].notna().tolist() == [True, False, True, False]
    assert history["path_length"].notna().tolist() == [True, True, False, True]
    assert history["learning_rate"].tolist() == pytest.approx([2.0e-3 * 3 / 4] * 4)
    with Image.open(root / "run/previews.png") as sheet:
        assert sheet.width > 3 * 96 and sheet.height > 4 * 2 * 96
    assert card["kind"] == "semgan" and card["codes"] == "onehot" and not card["ignore_word"] and card["low"] is None
    assert card["data"] == {str(SIZE): files.sha256(store / "card.json")}
    assert card["images_seen"] == 32 and card["pairs"] == 8
    generator = semgan.load(root / "run/weights.safetensors", card, "cpu")
    assert card["parameters"] == sum(parameter.numel() for parameter in generator.parameters())


def test_training_is_reproducible_to_the_bit(world, tmp_path):
    root, store, _ = world
    train(store, tmp_path)
    for name in ("weights.safetensors", "history.csv", "card.json", "previews.png"):
        assert (tmp_path / name).read_bytes() == (root / "run" / name).read_bytes()


def test_a_killed_training_ends_as_if_it_had_not_been(world, tmp_path, monkeypatch):
    root, store, _ = world
    monkeypatch.setenv("SATSYNTH_CHECKPOINT_SECONDS", "0")
    taken = Game.take_step

    def killed(self, step):
        if step == 5:
            raise KeyboardInterrupt
        return taken(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Game, "take_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(store, tmp_path)
    assert not (tmp_path / "weights.safetensors").exists()
    train(store, tmp_path)
    for name in ("weights.safetensors", "history.csv", "card.json", "previews.png"):
        assert (tmp_path / name).read_bytes() == (root / "run" / name).read_bytes()


def test_a_spent_time_budget_stops_with_a_checkpoint_and_goes_on(world, tmp_path):
    root, store, _ = world
    for step in range(1, 8):
        with pytest.raises(BudgetError, match=f"time budget of 0 s ended at step {step} of 8"):
            train(store, tmp_path, wall_seconds=0)
    train(store, tmp_path, wall_seconds=0)
    assert (tmp_path / "weights.safetensors").read_bytes() == (root / "run/weights.safetensors").read_bytes()


def test_a_number_that_is_not_finite_stops_the_training_and_keeps_the_good_checkpoint(world, tmp_path, monkeypatch):
    monkeypatch.setenv("SATSYNTH_CHECKPOINT_SECONDS", "0")
    taken = Game.take_step

    def spoilt(self, step):
        if step == 3:
            with torch.no_grad():
                self.labels.scales[0].layers[0][0].weight.fill_(torch.nan)
        return taken(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Game, "take_step", spoilt)
        with pytest.raises(TrainingError, match="not finite at step 4"):
            train(world[1], tmp_path)
    train(world[1], tmp_path)
    assert (tmp_path / "weights.safetensors").read_bytes() == (world[0] / "run/weights.safetensors").read_bytes()


def test_other_seeds_give_other_weights_and_half_precision_trains(world, tmp_path):
    _, store, card = world
    assert train(store, tmp_path / "seed", seed=2)["weights_sha256"] != card["weights_sha256"]
    train(store, tmp_path / "half", precision="bfloat16", training={"steps": 5})
    found = load_file(tmp_path / "half/weights.safetensors")
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in found.values())


def test_weights_are_the_running_average_not_the_last_step(world, tmp_path):
    _, store, card = world
    last = train(store, tmp_path, training={"ema": {"decay": 0.0, "warmup": False}})
    assert last["weights_sha256"] != card["weights_sha256"]


def test_labels_never_teach_the_image(world):
    """Without the image discriminator's gradient, no colour branch moves: what the label discriminator says stays with the labels."""
    player = game(world[1])
    player.images.score.weight.requires_grad_(False).zero_()
    player._train_generator(player.stacks.batch(0, 0, 4)[0], 0)
    assert max(parameter.grad.abs().max() for parameter in player.generator.colours.parameters()) == 0
    assert max(parameter.grad.abs().max() for parameter in player.generator.labels.parameters()) > 0


def test_players_train_alone_and_are_left_thawed(world):
    player = game(world[1])
    before = {name: [p.clone() for p in network.parameters()] for name, network in player.players.items()}

    def moved() -> set[str]:
        pairs = {name: zip(before[name], network.parameters(), strict=True) for name, network in player.players.items()}
        return {name for name, both in pairs.items() if any(not torch.equal(old, new) for old, new in both)}

    real = player.stacks.batch(0, 0, 4)[0]
    player._train_generator(real, 0)
    assert moved() == {"generator"}
    player._regularise_discriminators(real)
    assert moved() == {"generator", "images", "labels"}
    assert all(parameter.requires_grad for network in player.players.values() for parameter in network.parameters())


def test_lazy_regularisers_correct_the_optimisers(world):
    player = game(world[1])
    for name, share in (("generator", 3 / 4), ("images", 4 / 5), ("labels", 4 / 5)):
        group = player.optimizers[name].param_groups[0]
        assert group["lr"] == pytest.approx(2.0e-3 * share) and group["betas"] == (0.0, pytest.approx(0.99**share))
    plain = game(world[1], r1={"weight": 10.0, "every": 0}, path_length={"weight": 2.0, "every": 0, "decay": 0.01, "shrink": 2})
    assert {optimizer.param_groups[0]["lr"] for optimizer in plain.optimizers.values()} == {2.0e-3}
    assert not {"r1_image", "path_length"} & plain.take_step(0).keys()


def test_ignore_pixels_are_filled_and_unlabelled_pairs_left_out(tmp_path):
    card = train(write_store(tmp_path / "store", ignored=True), tmp_path / "run", training={"steps": 1})
    assert card["pairs"] == 7 and card["pairs_left_out"] == 1 and not card["ignore_word"]


def test_samples_depend_on_their_stream_and_are_pairs(world):
    root, _, card = world
    generator = semgan.load(root / "run/weights.safetensors", card, "cpu")
    first, again, other = (semgan.draw(generator, {"truncation": 1.0}, 3, torch_stream(seed, "x")) for seed in (0, 0, 1))
    assert first.shape == (3, 3 + CLASSES, SIZE, SIZE) and first.abs().max() <= 1
    assert torch.equal(first, again) and not torch.equal(first, other)
    images, masks, margins, invalid = decode(first, card_codes(card))
    assert images.dtype == np.uint8 and np.array_equal(masks, first[:, 3:].argmax(1).numpy())
    # No class word: no class has more than half of the probability.
    unsure = (first[:, 3:].amax(1) <= 0).float().mean((1, 2))
    assert margins.shape == (3,) and np.allclose(invalid, unsure.numpy())


def test_the_labels_of_a_perfect_branch_are_code_words_of_any_number_of_classes():
    """Its logits are the one-hot words of +-1 that the discriminator knows."""
    for classes in (2, 8, 16):
        codes, generator = Codes("onehot", classes), Perfect(classes)
        pairs = semgan.draw(generator, {"truncation": 1.0}, 2, torch_stream(0, "x"))
        _, masks, margins, invalid = decode(pairs, codes)
        assert (masks == generator.labels).all() and not invalid.any() and (margins > 1.9).all()


class Perfect:
    """A generator of grey images whose label logits are one-hot."""

    latent, mean_latent = 4, torch.zeros(4)

    def __init__(self, classes: int):
        self.labels = torch.arange(16).reshape(1, 4, 4).expand(2, -1, -1).remainder(classes)
        self.logits = torch.nn.functional.one_hot(self.labels, classes).permute(0, 3, 1, 2) * 2.0 - 1
        self.labels = self.labels.numpy()

    def map(self, z: torch.Tensor) -> torch.Tensor:
        return z

    def draw_noise(self, count: int, stream: torch.Generator) -> None:
        return None

    def __call__(self, styles: torch.Tensor, noise: None) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(2, 3, 4, 4), self.logits


def test_a_shard_is_sampled_in_one_evaluation_and_pairs_do_not_depend_on_its_ends(world, tmp_path):
    root, _, card = world
    stage = {"weights": root / "run/weights.safetensors", "card": card, "sampler": {"truncation": 0.8}}
    common = {"seed": 3, "block": 4, "device": "cpu", "classes": CLASSES}
    sample_shard([stage], folder=tmp_path / "whole", first=0, last=8, **common)
    sample_shard([stage], folder=tmp_path / "part", first=2, last=6, **common)
    whole, part = Store.open(tmp_path / "whole", verify=True), Store.open(tmp_path / "part")
    assert whole.card["source"]["nfe"] == [1] and whole.size == SIZE and whole.classes == CLASSES
    assert np.array_equal(part.images[:], whole.images[2:6]) and np.array_equal(part.masks[:], whole.masks[2:6])


DENOISER = {"denoiser.py", "samplers.py", "schedule.py", "training.py", "unet.py"}
SCRIPTS = [
    ("train_generator", "satsynth.adversarial.semgan"),
    ("sample_pairs", "satsynth.adversarial.semgan"),
    ("train_encoder", "satsynth.segmentation.networks.semgan"),
    ("evaluate_segmenter", "satsynth.segmentation.networks.semgan"),
]


@pytest.mark.parametrize(("script", "module"), SCRIPTS)
def test_no_code_of_a_denoiser_counts_for_semgan(script, module):
    """Another U-Net makes no other SemGAN, so its jobs must not run again."""

    def files_of(module: str) -> set[str]:
        return set(digests(f"workflow_scripts/{script}.py", (module,)))

    denoiser = {f"satsynth/diffusion/{file}" for file in DENOISER}
    assert "satsynth/adversarial/generator.py" in files_of(module) and not denoiser & files_of(module)
    assert denoiser <= files_of("satsynth.diffusion.ddpm")


def test_a_kind_is_a_module_of_either_package():
    assert kinds.module("semgan") is semgan and kinds.module("ddpm").KIND == "ddpm"
    with pytest.raises(ConfigError, match="no generator of kind 'gan'"):
        kinds.module("gan")


def test_full_truncation_leaves_one_style(world):
    root, _, card = world
    generator = semgan.load(root / "run/weights.safetensors", card, "cpu")
    with torch.no_grad():
        for conv in generator.convs:
            conv.strength.zero_()
    pairs = semgan.draw(generator, {"truncation": 0.0}, 2, torch_stream(0, "x"))
    torch.testing.assert_close(pairs[0], pairs[1])
    assert generator.mean_latent.abs().sum() > 0
    with pytest.raises(ConfigError, match=r"sampler\.truncation"):
        semgan.draw(generator, {"truncation": 1.5}, 2, torch_stream(0, "x"))


def test_weights_that_do_not_fit_their_card_are_refused(world, tmp_path):
    root, _, card = world
    weights = root / "run/weights.safetensors"
    with pytest.raises(WeightsError, match="no such file"):
        semgan.load(tmp_path / "none", card, "cpu")
    with pytest.raises(WeightsError, match="card says ddpm"):
        semgan.load(weights, {**card, "kind": "ddpm"}, "cpu")
    with pytest.raises(WeightsError, match="not what its card says"):
        semgan.load(weights, {**card, "weights_sha256": "0"}, "cpu")
    with pytest.raises(WeightsError, match="tensors do not fit"):
        semgan.load(weights, {**card, "classes": 4}, "cpu")
    save_file({"other": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(WeightsError, match="tensors do not fit"):
        semgan.load(tmp_path / "other", {**card, "weights_sha256": files.sha256(tmp_path / "other")}, "cpu")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"training": {"steps": 0}}, r"training\.steps"),
        ({"training": {"accumulate": 2}}, r"training\.accumulate"),
        ({"training": {"clip": 1.0}}, r"training\.clip"),
        ({"mixing": 1.5}, "mixing"),
        ({"r1": {"weight": 1.0, "every": -1}}, r"r1\.every"),
        ({"path_length": {"weight": 2.0, "every": 4, "decay": 0.01, "shrink": 0}}, r"path_length\.shrink"),
    ],
)
def test_configs_that_cannot_be_used_name_their_key(world, tmp_path, changes, key):
    with pytest.raises(ConfigError, match=key):
        train(world[1], tmp_path, **changes)


def test_a_store_of_another_side_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds 32 px, not 16"):
        train(write_store(tmp_path / "store", size=32), tmp_path / "run")
