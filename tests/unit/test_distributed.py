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
    deadline = None if wall_seconds is None else time.monotonic() + wall_seconds
    return Task(rule, wildcards, inputs, output, output, **made, work=folder / "work", deadline=deadline)


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
    """Of three ranks the last has most to do, and rank 0 must wait for it: a broadcast alone would not."""
    store = write_store(tmp_path / "real", 8)
    made = trained(tmp_path / "g", store, 0)
    card = files.read_json(made / "card.json")
    stage = {"weights": made / "weights.safetensors", "card": card, "sampler": config()["previews"]["sampler"]}
    sample_shard([stage], folder=tmp_path / "whole", seed=3, block=2, first=0, last=10, device="cpu", classes=5)
    cfg = {"seed": 3, "block": 2, "shards": 1, "compile": False, "samplers": [stage["sampler"]]}
    inputs = {"weights": [stage["weights"]], "cards": [made / "card.json"], "real": store / "card.json"}
    outputs = {name.partition(".")[0]: name for name in ("images.npy", "masks.npy", "index.csv", "card.json")}
    given = task(tmp_path / "three", "sample_pairs", inputs, outputs, cfg, 3, {"shard": "0000"})
    sample_shard([stage], folder=tmp_path / "some", seed=3, block=2, first=0, last=10, device="cpu", classes=5, work=given.work)
    for number in (1, 2, 4):  # of blocks 0 to 4, rank 0 finds its own two: ranks 1 and 2 sample theirs
        (given.work / f"block-{number:06d}.safetensors").unlink()
    shared = perform(given)
    assert files.read_json(shared / "card.json") == files.read_json(tmp_path / "whole/card.json")
    np.testing.assert_array_equal(Store.open(tmp_path / "whole").images, Store.open(shared).images)


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
    with pytest.raises(BudgetError, match="time budget of 0 s is too short for what is left of blocks 0 to 3"):
        sample_shard([stage], folder=tmp_path / "made", work=work, wall_seconds=0.0, **common)
    sample_shard([stage], folder=tmp_path / "made", work=work, **common)
    assert len(drawn) == 3 + 3
    assert files.read_json(tmp_path / "made/card.json") == files.read_json(tmp_path / "whole/card.json")


def test_a_batch_that_devices_cannot_share_is_refused_by_every_rank(tmp_path):
    store = write_store(tmp_path / "pairs", 8)
    with pytest.raises(ConfigError, match=r"training\.batch: a batch of 4 in 2 parts cannot be shared equally by 3 devices"):
        trained(tmp_path / "made", store, 3)


def test_slices_of_gpus_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1,MIG-2")
    with pytest.raises(DeviceError, match=r"resources gpu=2: .*\(MIG\).*Set gpu: 1"):
        trained(tmp_path / "made", write_store(tmp_path / "pairs", 8), 2)


# Two processes of one group; each prints what it found.
PAIR = """
import sys
sys.path[:0] = ["{root}", "{root}/tests/unit"]
import torch
from torch import distributed as group
torch.set_num_threads(1)
number = int(sys.argv[1])
{before}
group.init_process_group("gloo", init_method="file://{meeting}", rank=number, world_size=2)
{after}
"""


def pair(tmp_path, before: str, after: str) -> list[str]:
    code = PAIR.format(root=ROOT, meeting=tmp_path / "meeting", before=before, after=after)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}}
    both = [subprocess.Popen([sys.executable, "-c", code, str(number)], **options) for number in (0, 1)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    return [out for out, _ in said]


def test_losses_are_those_of_the_whole_batch_however_labels_are_spread(tmp_path):
    """Rank 1's half has five labelled pixels; value and gradient of every loss are those of one device all the same."""
    before = """
from satsynth.segmentation.annealed_loss import annealed_cross_entropy
from satsynth.segmentation.boundary_losses import balanced_edge_loss, ohem_cross_entropy
from satsynth.segmentation.losses import cross_entropy
torch.manual_seed(0)
logits, masks = torch.randn(4, 3, 8, 8), torch.randint(0, 3, (4, 8, 8), dtype=torch.uint8)
masks[2:] = 255
masks[3, 0, :5] = torch.tensor([0, 0, 1, 2, 1], dtype=torch.uint8)
losses = dict(
    plain=cross_entropy,
    annealed=lambda l, m: annealed_cross_entropy(l, m, 5, gamma=2.0, schedule="cosine", annealing_steps=10),
    ohem=lambda l, m: ohem_cross_entropy(l, m, 0.2, 40),
    edges=lambda l, m: balanced_edge_loss(l, m, 2),
)
def both(loss, l, m):
    l = l.clone().requires_grad_()
    value = loss(l, m)
    value.backward()
    return value.detach(), l.grad
whole = {name: both(loss, logits, masks) for name, loss in losses.items()}
"""
    after = """
from satsynth import distributed
own = slice(2 * number, 2 * number + 2)
for name, loss in losses.items():
    value, gradient = both(loss, logits[own], masks[own])
    torch.testing.assert_close(distributed.mean(value), whole[name][0])
    torch.testing.assert_close(gradient / 2, whole[name][1][own])  # the mean over ranks is DistributedDataParallel's
    print(name)
"""
    assert pair(tmp_path, before, after) == ["plain\nannealed\nohem\nedges\n"] * 2


def test_normalisations_that_devices_cannot_share_are_refused(tmp_path):
    after = """
from timm.layers import BatchNormAct2d
from satsynth import distributed
from satsynth.runtime.errors import ConfigError
try:
    distributed.synchronise_statistics(torch.nn.Sequential(torch.nn.BatchNorm2d(3), BatchNormAct2d(3)))
except ConfigError as error:
    print(error)
"""
    said = pair(tmp_path, "", after)
    assert all("gpu: its encoder has layers (BatchNormAct2d)" in text and "Use gpu: 1" in text for text in said)


def test_a_flag_of_any_rank_is_everybodys_and_all_wait_for_it(tmp_path):
    after = """
import time
from satsynth import distributed
begun = time.monotonic()
if number == 1:
    time.sleep(2)
print(distributed.anywhere(number == 1), time.monotonic() - begun > 1.5)
"""
    assert pair(tmp_path, "", after) == ["True True\n"] * 2


WATCHED = """
import sys, time, os
sys.path.insert(0, "{root}")
from pathlib import Path
from satsynth.runtime import logs, ranks
from satsynth.runtime.task import Task
logs.setup()
ranks.SECONDS_TO_SAY_WHY = 0.2
given = dict(cfg=None, code={{}}, raw=None, threads=1, gpus=2, device="cpu", log=None, work=Path("{folder}"), deadline=None)
with ranks.started(Task("no_such_script", {{}}, {{}}, {{}}, {{}}, **given)) as rank:
    print(rank.meeting.parent, flush=True)
    time.sleep(600)  # as a call that no signal reaches
"""


def test_a_rank_that_fails_ends_the_job_whatever_rank_0_waits_for(tmp_path):
    code = WATCHED.format(root=ROOT, folder=tmp_path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "Rank 1 of 2 ended with status" in done.stderr
    assert not Path(done.stdout.strip()).exists()


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
