"""Several devices that share a job, as processes on the CPU (gloo): the same results as one, one message, and no process left behind."""

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_fixtures import config, write_store
from safetensors.torch import load_file
from segmentation_fixtures import CFG, make_store

from satsynth.diffusion import ddpm
from satsynth.diffusion.sampling import sample_shard
from satsynth.pairs import Store
from satsynth.plan.slices import generator
from satsynth.runtime import files, ranks
from satsynth.runtime.errors import BudgetError, ConfigError, DeviceError
from satsynth.runtime.task import Task

ROOT = Path(__file__).resolve().parents[2]
# One plain step: gradients of fresh networks are so steep that last bits would grow to differences within a few.
SEGMENTER = {**CFG, "training": {**CFG["training"], "steps": 1, "momentum": 0.0, "weight_decay": 0.0}}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    for name in (ranks.RANK, ranks.MEETING, "SLURM_JOB_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def task(folder: Path, rule: str, inputs: dict, outputs: dict, cfg: dict, gpus: int, wildcards: dict, wall_seconds=None) -> Task:
    folder.mkdir(parents=True, exist_ok=True)
    output = {name: folder / file for name, file in outputs.items()}
    made = {"cfg": cfg, "code": {}, "raw": None, "threads": 1, "gpus": gpus, "device": "cpu", "log": None}
    return Task(rule, wildcards, inputs, output, output, **made, work=folder / "work", wall_seconds=wall_seconds)


def perform(given: Task) -> Path:
    """The work of the task's script, as rank 0; the folder of its outputs."""
    runpy.run_path(str(ROOT / "workflow_scripts" / f"{given.rule}.py"), run_name="rank")["work"](given)
    return given.work.parent


def trained(folder: Path, store: Path, gpus: int, wall_seconds=None, **changes) -> Path:
    cfg = config(**changes)
    outputs = {"weights": "weights.safetensors", "card": "card.json", "history": "history.csv", "previews": "previews.png"}
    return perform(task(folder, "train_generator", {"cards": [store / "card.json"]}, outputs, cfg, gpus, {}, wall_seconds))


def segmenter(folder: Path, store: Path, gpus: int, cfg: dict = SEGMENTER) -> Path:
    outputs = {"weights": "weights.safetensors", "card": "card.json", "history": "history.csv"}
    return perform(task(folder, "train_segmenter", {"cards": [store / "card.json"]}, outputs, cfg, gpus, {"seed": "0"}))


def difference(one: Path, other: Path) -> float:
    """Largest difference of two files of weights, as a share of the largest weight of its tensor."""
    first, second = (load_file(folder / "weights.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    largest = {name: first[name].abs().max().clamp(min=1e-3).item() for name in first}
    return max((first[name].double() - second[name].double()).abs().max().item() / largest[name] for name in first)


def test_a_generator_on_two_devices_learns_what_it_learns_on_one(tmp_path):
    store = write_store(tmp_path / "pairs", 8)
    network = {**config()["network"], "dropout": 0.0}
    one, two = (trained(tmp_path / str(gpus), store, gpus, network=network) for gpus in (0, 2))
    assert difference(one, two) < 1e-4
    cards = [files.read_json(folder / "card.json") for folder in (one, two)]
    for card in cards:
        card.pop("weights_sha256"), card.pop("margin")
    assert cards[0] == cards[1]
    history = [np.loadtxt(folder / "history.csv", delimiter=",", skiprows=1) for folder in (one, two)]
    np.testing.assert_allclose(*history, rtol=1e-4)


def test_a_resumed_training_on_two_devices_ends_as_an_unbroken_one(tmp_path):
    store = write_store(tmp_path / "pairs", 8)
    unbroken = trained(tmp_path / "unbroken", store, 2)
    with pytest.raises(BudgetError, match="time budget of 0 s ended at step 1 of 12"):
        trained(tmp_path / "broken", store, 2, wall_seconds=0.0)
    assert (tmp_path / "broken/work/checkpoint.safetensors").is_file() and not (tmp_path / "broken/card.json").exists()
    resumed = trained(tmp_path / "broken", store, 2)
    for name in ("weights.safetensors", "history.csv", "card.json", "previews.png"):
        assert files.sha256(resumed / name) == files.sha256(unbroken / name), name


def test_batch_statistics_are_those_of_all_devices(tmp_path, monkeypatch):
    """An FPN without dropout: with statistics of its own part each rank would train another network."""
    store = make_store(tmp_path / "real/train", count=8)
    (tmp_path / "still.py").write_text("import torch\ntorch.nn.functional.dropout2d = torch.nn.functional.dropout = lambda x, *a, **k: x\n")
    sitecustomize = (tmp_path / "still.py").rename(tmp_path / "sitecustomize.py")
    monkeypatch.setenv("PYTHONPATH", str(sitecustomize.parent))
    for name in ("dropout", "dropout2d"):
        monkeypatch.setattr(torch.nn.functional, name, lambda x, *arguments, **options: x)
    one, two = (segmenter(tmp_path / str(gpus), store, gpus) for gpus in (0, 2))
    assert difference(one, two) < 5e-3
    statistics = [name for name in load_file(two / "weights.safetensors") if "running_" in name]
    assert statistics


def test_devices_take_blocks_in_turn_and_make_the_same_shard(tmp_path):
    store = write_store(tmp_path / "real", 8)
    made = trained(tmp_path / "g", store, 0)
    card = files.read_json(made / "card.json")
    stage = {"weights": made / "weights.safetensors", "card": card, "sampler": config()["previews"]["sampler"]}
    sample_shard([stage], folder=tmp_path / "one", seed=3, block=2, first=1, last=9, device="cpu", classes=5)
    cfg = {"seed": 3, "block": 2, "shards": 1, "compile": False, "samplers": [stage["sampler"]]}
    inputs = {"weights": [stage["weights"]], "cards": [made / "card.json"], "real": store / "card.json"}
    outputs = {name.partition(".")[0]: name for name in ("images.npy", "masks.npy", "index.csv", "card.json")}
    shared = perform(task(tmp_path / "two", "sample_pairs", inputs, outputs, cfg, 2, {"shard": "0000"}))
    sample_shard([stage], folder=tmp_path / "whole", seed=3, block=2, first=0, last=10, device="cpu", classes=5)
    assert files.read_json(shared / "card.json") == files.read_json(tmp_path / "whole/card.json")
    np.testing.assert_array_equal(Store.open(tmp_path / "one").images, Store.open(shared).images[1:9])


def test_a_killed_shard_goes_on_behind_its_last_block(tmp_path, monkeypatch):
    store = write_store(tmp_path / "real", 8)
    made = trained(tmp_path / "g", store, 0)
    card = files.read_json(made / "card.json")
    stage = {"weights": made / "weights.safetensors", "card": card, "sampler": config()["previews"]["sampler"]}
    common = {"seed": 0, "block": 2, "first": 1, "last": 8, "device": "cpu", "classes": 5}
    sample_shard([stage], folder=tmp_path / "whole", **common)
    work, drawn = tmp_path / "work", []
    draw = ddpm.draw

    def counted(*arguments):
        drawn.append(len(drawn))
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(ddpm, "draw", counted)
    with pytest.raises(KeyboardInterrupt):
        sample_shard([stage], folder=tmp_path / "made", work=work, **common)
    assert len(list(work.iterdir())) == 2 and not (tmp_path / "made/card.json").exists()
    damaged = work / "block-000001.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(BudgetError, match="time budget of 0 s would end in block 1 of 0 to 3"):
        sample_shard([stage], folder=tmp_path / "made", work=work, wall_seconds=0.0, **common)
    sample_shard([stage], folder=tmp_path / "made", work=work, **common)
    assert len(drawn) == 3 + 3
    assert files.read_json(tmp_path / "made/card.json") == files.read_json(tmp_path / "whole/card.json")


def test_a_batch_that_devices_cannot_share_is_refused_by_every_rank(tmp_path):
    store = write_store(tmp_path / "pairs", 8)
    with pytest.raises(ConfigError, match=r"training\.batch: a batch of 4 in 2 parts cannot be shared equally by 3 devices"):
        trained(tmp_path / "made", store, 3)


def test_a_job_spread_over_hosts_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    store = write_store(tmp_path / "pairs", 8)
    with pytest.raises(DeviceError, match=r"resources gpu=2: the job was given 2 hosts.*nodes: 1"):
        trained(tmp_path / "made", store, 2)


DIES = """
import os, runpy, sys
sys.path[:0] = ["{root}", "{root}/tests/unit"]
from pathlib import Path
import test_distributed as here
from satsynth.runtime import ranks
ranks.SECONDS_TO_SAY_WHY = 0.5
print(os.getpid(), flush=True)
here.trained(Path("{folder}"), Path("{store}"), 2, training={{"steps": 100000}})
"""


def children(parent: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True).stdout.split()
    return [int(process) for process in found]


@pytest.mark.parametrize("victim", ["rank", "job"])
def test_no_rank_outlives_another(tmp_path, victim):
    store = write_store(tmp_path / "pairs", 8)
    code = DIES.format(root=ROOT, folder=tmp_path / "made", store=store)
    environment = {**os.environ, "SATSYNTH_CHECKPOINT_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    job = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, text=True)
    end = time.monotonic() + 120
    while not (tmp_path / "made/work/checkpoint.safetensors").exists():
        assert job.poll() is None and time.monotonic() < end, job.stderr.read()
        time.sleep(0.1)
    (rank,) = children(job.pid)
    os.kill(rank if victim == "rank" else job.pid, 9)
    job.wait(60)
    assert job.returncode != 0
    end = time.monotonic() + 60
    while Path(f"/proc/{rank}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{rank}").exists()


def test_the_number_of_devices_is_no_part_of_what_is_learned():
    cfg = config()
    assert generator({**cfg, "gpu": 4}) == generator({**cfg, "gpu": 1}) == generator(cfg)
