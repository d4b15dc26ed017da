"""Killed jobs resume, finished work is never done twice, and nothing half-written is picked up."""

import shutil
import time

import pytest
from checkout import TINY, Checkout, kill

from satsynth.runtime.files import sha256

WEIGHTS = "results/demo/generators/satsynth/weights.safetensors"
RUN = "results/demo/64px/segmentation/real/fpn/seed-0/weights.safetensors"
TRAINED = " images/s, "  # as in the progress line of a training
LONGER = {
    "generators": {"satsynth": {"training": {"steps": 120, "log_every": 10}}},
    "segmenters": {"fpn": {"training": {"steps": 60, "log_every": 5}}},
}


def until(condition, process, seconds=240):
    """Wait for something on disk; the bound ends a broken test, it judges nothing."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end, "nothing to see after a long wait"
        time.sleep(0.05)


@pytest.mark.parametrize(("target", "rule"), [(WEIGHTS, "train_generator"), (RUN, "train_segmenter")])
def test_a_killed_training_resumes_and_ends_with_the_same_weights(copy, target, rule):
    configs = (TINY, copy.overlay("longer.yaml", LONGER))
    twin = object.__new__(Checkout)
    twin.folder = copy.folder.with_name("twin")
    shutil.copytree(copy.folder, twin.folder, copy_function=shutil.copy2)
    twin.run(target, configs=configs)
    unbroken = sha256(twin.folder / target)

    state = copy.folder / "results/state" / rule
    process = copy.start(target, configs=configs, SATSYNTH_CHECKPOINT_SECONDS="0")
    until(lambda: list(state.glob("*/work/checkpoint.safetensors")), process)
    kill(process)
    assert list(state.glob("*/work/checkpoint.safetensors"))
    copy.run("--unlock", configs=configs)
    log = copy.run(target, configs=configs)
    assert "resumed at step" in log
    assert sha256(copy.folder / target) == unbroken
    # The shorter training's weights are in state too: the longer one was another training.
    assert any(sha256(path) != unbroken for path in (copy.folder / "results/state").rglob(target))


def test_a_deleted_output_comes_back_from_state(copy):
    weights = copy.folder / WEIGHTS
    before = sha256(weights)
    weights.unlink()
    log = copy.run(WEIGHTS)  # asked for by name: as long as what was made of it is there, nobody else misses it
    assert "restored from" in log and TRAINED not in log
    assert sha256(weights) == before
    assert copy.planned() == {}


def test_a_forced_rule_comes_back_from_state_and_nothing_else_changes(copy):
    before = {
        path: sha256(path)
        for path in sorted((copy.folder / "results").glob("tables/*")) + sorted((copy.folder / "results").glob("figures/*"))
    }
    log = copy.run("--forcerun", "train_generator", "tile_patches_demo")
    assert "restored from" in log and TRAINED not in log, "something was trained again"
    assert {path: sha256(path) for path in before} == before


def test_a_damaged_output_in_state_is_not_brought_back(copy):
    weights = copy.folder / RUN
    before = sha256(weights)
    kept = next((copy.folder / "results/state/train_segmenter").rglob(RUN))
    with open(kept, "r+b") as file:
        file.seek(-8, 2)
        file.write(b"\0" * 8)
    weights.unlink()
    log = copy.run(RUN)
    assert "segmenter: 16/16 images" in log, "the damaged file was brought back"
    assert sha256(weights) == before


def test_a_damaged_checkpoint_is_not_picked_up(copy):
    configs = (TINY, copy.overlay("longer.yaml", LONGER))
    state = copy.folder / "results/state/train_segmenter"
    process = copy.start(RUN, configs=configs, SATSYNTH_CHECKPOINT_SECONDS="0")
    until(lambda: list(state.glob("*/work/checkpoint.safetensors")), process)
    kill(process)
    checkpoint = next(iter(state.glob("*/work/checkpoint.safetensors")))
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    copy.run("--unlock", configs=configs)
    log = copy.run(RUN, configs=configs)
    assert "damaged" in log and "resumed at step" not in log


def test_a_half_written_store_stops_who_reads_it(copy):
    shard = copy.folder / "results/demo/64px/cascade/shard-0001"
    content = (shard / "images.npy").read_bytes()
    (shard / "images.npy").unlink()
    (shard / "images.npy").write_bytes(content[: len(content) // 2])
    other = copy.overlay("other.yaml", {"segmenters": {"fpn": {"training": {"steps": 3}}}})
    log = copy.run("results/demo/64px/segmentation/cascade-r1/fpn/seed-0/card.json", configs=(TINY, other), check=False)
    assert "shard-0001" in log and "cannot be read" in log
    assert not (copy.folder / "results/demo/64px/segmentation/cascade-r1/fpn/seed-0/card.json").exists()


def test_a_loss_that_is_not_finite_stops_with_its_remedy(copy):
    hot = copy.overlay("hot.yaml", {"segmenters": {"fpn": {"training": {"learning_rate": 1.0e30, "steps": 40}}}})
    log = copy.run(RUN, configs=(TINY, hot), check=False)
    assert "not finite" in log and "training.learning_rate" in log
    assert not (copy.folder / RUN).exists()
