"""A pair of an export made again: the same pixels, whichever block holds it; what was changed, masked or lost is told."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from export_fixtures import CFG, World
from generator_fixtures import SAMPLER, config, paths, train, write_store
from PIL import Image

from satsynth.diffusion import ddpm, upscaler
from satsynth.diffusion.sampling import sample_shard
from satsynth.export import recipe, regeneration
from satsynth.export.regeneration import find_weights, regenerate
from satsynth.pairs import IGNORE, LabelSpace
from satsynth.runtime import files
from satsynth.runtime.errors import CardError, ConfigError, DataError, WeightsError
from workflow_scripts.regenerate import main

LOW, HIGH = {**SAMPLER, "steps": 2}, {**SAMPLER, "steps": 2}
SPACE = LabelSpace(tuple("abcde"), tuple((number, 0, 0) for number in range(5)))


class Generated(World):
    """Pairs 0 to 4 and 5 to 9 of a cascade whose blocks hold four, below `results`."""

    def __init__(self, folder):
        self.folder = folder
        self.real = self.val = None
        stores = {8: write_store(folder / "low", 8), 16: write_store(folder / "high", 16)}
        home = folder / "results/town/generators"
        recipes = ((ddpm, "ddpm", "g"), (upscaler, "upscaler", "sr"))
        cards = [train(module, stores, config(kind, training={"steps": 2}), home / name) for module, kind, name in recipes]
        self.weights = [paths(home / name)["weights"] for name in ("g", "sr")]
        stages = [{"weights": file, "card": card, "sampler": LOW} for file, card in zip(self.weights, cards)]
        self.shards = [folder / f"made/shard-000{shard}" for shard in range(2)]
        for shard, store in enumerate(self.shards):
            sample_shard(stages, folder=store, seed=3, block=4, first=5 * shard, last=5 * shard + 5, device="cpu", classes=5)
        files.write_json(folder / "classes.json", SPACE.to_json())
        self.given = {"generators": [home / name / "card.json" for name in ("g", "sr")]}
        self.place = self.export("results/exports/set", given=self.given, val=False, generators=["g", "sr"])


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    (folder / "results/exports").mkdir(parents=True)
    return Generated(folder)


@pytest.fixture
def place(once, tmp_path):
    """A private copy of the export, with the generators' folder beside it."""
    shutil.copytree(once.folder / "results", tmp_path / "results")
    return tmp_path / "results/exports/set"


def change(place, part, index, value, count=1):
    path = place / f"train/{part}/made-{index:07d}.png"
    pixels = np.array(Image.open(path))
    pixels.reshape(-1)[:count] = value
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("index", [0, 4, 5, 9])
def test_every_pixel_comes_out_again(place, index):
    again = regenerate(place, index, device="cpu")
    assert again.equal and again.good and (again.key, again.masked) == (f"made-{index:07d}", 0)
    assert index in again.block and len(again.block) == 4 and again.block.start % 4 == 0
    for part, pixels in (("images", again.image), ("masks", again.mask)):
        assert np.array_equal(np.array(Image.open(place / f"train/{part}/{again.key}.png")), pixels)


@pytest.fixture
def rounding(monkeypatch):
    """Sampling whose first colour value depends on the number of threads, as rounding may; gives the numbers that were tried."""
    tried, off = [], {}
    before = torch.get_num_threads()

    def sampled(stages, *, folder, **options):
        sample_shard(stages, folder=folder, **options)
        tried.append(torch.get_num_threads())
        images = np.load(folder / "images.npy")
        value = int(images.reshape(-1)[0])
        images.reshape(-1)[0] = value + off.get(tried[-1], 0) * (1 if value < 128 else -1)
        np.save(folder / "images.npy", images)

    monkeypatch.setattr(regeneration, "sample_shard", sampled)
    torch.set_num_threads(3)
    yield SimpleNamespace(tried=tried, off=off)
    torch.set_num_threads(before)


def test_a_processor_tries_one_thread_first(place, rounding):
    assert (again := regenerate(place, 4, device="cpu")).equal and again.threads == 1
    assert rounding.tried == [1] and torch.get_num_threads() == 3


def test_then_all_threads_and_the_nearer_one_is_told(place, rounding, capsys):
    rounding.off |= {1: 2}
    assert (again := regenerate(place, 4, device="cpu")).equal and again.threads == 3
    assert rounding.tried == [1, 3] and torch.get_num_threads() == 3
    rounding.off |= {3: 5}
    assert ((again := regenerate(place, 4, device="cpu")).largest, again.threads) == (2, 1)
    rounding.off |= {3: 1}
    assert main([str(place), "4", "--cpu"]) == 0
    said = capsys.readouterr().out
    assert "the same but for rounding" in said and "differs by 1 of 255" in said and "On cpu, 3 threads; pairs 4 to 7" in said


def test_weights_may_be_named_in_any_order(once, place, tmp_path):
    shutil.rmtree(tmp_path / "results/town")
    with pytest.raises(WeightsError, match=r"no generator below .* has the weights [0-9a-f]{64} of 'g'"):
        regenerate(place, 7, device="cpu")
    assert regenerate(place, 7, weights=once.weights[::-1], device="cpu").equal
    with pytest.raises(WeightsError, match=r"has the weights [0-9a-f]{64} of 'sr'"):
        regenerate(place, 7, weights=once.weights[:1], device="cpu")
    with pytest.raises(WeightsError, match="there is no such file"):
        regenerate(place, 7, weights=[tmp_path / "absent"], device="cpu")


def test_an_export_may_lie_at_the_root_of_a_disk(place):
    with pytest.raises(WeightsError, match="no generator below / has the weights"):
        find_weights(recipe.Recipe.read(place / "recipe.json"), (), Path("/set"))


def test_another_pixel_is_noticed(place):
    again = regenerate(place, 3, device="cpu")
    other = (again.mask.reshape(-1)[0] + 1) % 5
    change(place, "masks", 3, other)
    found = regenerate(place, 3, device="cpu")
    assert found.labels_equal == 1 - 1 / 256 and not found.good and not found.equal
    change(place, "images", 2, 255 if again.image.reshape(-1)[0] < 128 else 0)
    found = regenerate(place, 2, device="cpu")
    assert found.labels_equal == 1 and found.good and not found.equal and found.largest > 0


def test_masked_pixels_are_left_aside(place):
    change(place, "masks", 6, IGNORE, count=100)
    found = regenerate(place, 6, device="cpu")
    assert found.equal and found.masked == 100
    change(place, "masks", 6, IGNORE, count=256)
    assert regenerate(place, 6, device="cpu").masked == 256


def test_another_seed_gives_another_pair(place):
    path = place / "recipe.json"
    value = files.read_json(path)
    value["made"]["seed"] += 1
    files.write_json(path, value)
    assert not regenerate(place, 1, device="cpu").equal


def test_what_cannot_be_made_again_is_told(place):
    with pytest.raises(DataError, match=r"made-0000010\.png: the export has no pair of this index"):
        regenerate(place, 10, device="cpu")
    with pytest.raises(CardError, match="Name the folder of an export"):
        regenerate(place.parent, 1, device="cpu")
    files.write_json(place / "recipe.json", {"format": 1})
    with pytest.raises(CardError, match="it lacks 'made'"):
        regenerate(place, 1, device="cpu")


def test_pairs_of_an_augmentation_have_no_weights(tmp_path):
    world = World(tmp_path)
    for shard in world.shards:
        card = files.read_json(shard / "card.json")
        files.write_json(shard / "card.json", card | {"source": {"augment": "cutout", "seed": 0, "parents": ["x"]}})
    place = world.export(given={"generators": []}, generators=[])
    text = (place / "README.md").read_text()
    assert (
        "altered by cutout" in text
        and "augmented pairs of made" in text
        and "All pairs, altered or not, are parts of the source data" in text
    )
    assert "a model made" not in text and "made by a model" not in text and "synthetic pairs" not in text
    with pytest.raises(ConfigError, match="altered by cutout; no weights made them"):
        regenerate(place, 1, device="cpu")


def test_the_recipe_needs_nothing_but_the_weights(once):
    value = files.read_json(once.place / "recipe.json")
    assert [stage["generator"] for stage in value["stages"]] == ["g", "sr"]
    assert [stage["card"]["weights_sha256"] for stage in value["stages"]] == [files.sha256(path) for path in once.weights]
    assert value["made"]["samplers"] == [LOW, HIGH] and (value["made"]["seed"], value["made"]["block"]) == (3, 4)
    assert recipe.Recipe.read(once.place / "recipe.json").source == CFG["source"]


def test_the_command_says_how_pairs_compare(place, tmp_path, capsys):
    assert main([str(place), "3", "8", "--cpu", "--out", str(tmp_path / "again")]) == 0
    said = capsys.readouterr().out
    assert (
        "made-0000003: the same pair. Labels: equal; image: equal." in said
        and "On cpu, 1 thread; pairs 0 to 3" in said
        and "pairs 8 to 11 were sampled with it" in said
    )
    assert sorted(path.name for path in (tmp_path / "again/masks").iterdir()) == ["made-0000003.png", "made-0000008.png"]
    change(place, "masks", 3, 4, count=256)
    assert main([str(place), "3", "--cpu"]) == 1
    assert "ANOTHER PAIR" in capsys.readouterr().out
    assert main([str(place), "77", "--cpu"]) == 2
    assert "no pair of this index" in capsys.readouterr().err
