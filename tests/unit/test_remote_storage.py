"""A job whose files Snakemake copied from remote storage works in another folder than the workflow's."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from satsynth.runtime import devices, files, job, logs, telemetry
from satsynth.segmentation import encoders

COPY = Path(".snakemake/storage/fs/storage")
ROW = {"attempts": [{"gpus": [{"device": "GPU-a1"}]}]}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("SATSYNTH_STATE", files.WORKFLOW, devices.VISIBLE):
        monkeypatch.delenv(name, raising=False)
    files.write_json(COPY / "results/in/card.json", {"count": 2})
    yield monkeypatch
    while logs._ours:
        handler = logs._ours.pop()
        logging.getLogger().removeHandler(handler)
        handler.close()
    logging.captureWarnings(False)


def given(folder: Path, log: str):
    return SimpleNamespace(
        **{"rule": "train", "wildcards": {}, "input": {"card": folder / "results/in/card.json"}, "threads": 1},
        **{
            "output": {"weights": folder / "results/weights"},
            "params": {"cfg": {}, "code": {}},
            "resources": SimpleNamespace(),
            "log": log,
        },
    )


def write(task):
    task.output["weights"].write_text(f"{Path.cwd()} {os.environ.get('SATSYNTH_STATE')}")


def test_state_is_where_the_workflow_has_it_and_the_environment_says_so_for_the_time_of_the_work(tmp_path):
    job.perform(given(COPY, "x.log"), write)
    assert (COPY / "results/weights").read_text() == f"{tmp_path / COPY} {tmp_path / 'results/state'}"
    (entry,) = Path("results/state/train").iterdir()
    assert Path.cwd() == tmp_path and not {"SATSYNTH_STATE", files.WORKFLOW} & os.environ.keys()
    # The same work on this machine has the same key: it comes back from state.
    files.write_json("results/in/card.json", {"count": 2})
    job.perform(given(Path(), "x.log"), lambda task: pytest.fail("it was done before"))
    assert Path("results/weights").is_file() and list(Path("results/state/train").iterdir()) == [entry]


@pytest.mark.parametrize("place", ["elsewhere/state", "/absolute"])
def test_a_state_that_the_environment_names_is_kept(here, tmp_path, place):
    place = place.replace("/absolute", str(tmp_path / "absolute"))
    here.setenv("SATSYNTH_STATE", place)
    job.perform(given(COPY, "x.log"), write)
    assert (COPY / "results/weights").read_text().endswith(f" {tmp_path / place}")
    assert os.environ["SATSYNTH_STATE"] == place and (tmp_path / place / "train").is_dir()


def test_the_environment_is_restored_after_an_error_too(here, tmp_path):
    here.setenv("SATSYNTH_STATE", "elsewhere")
    with pytest.raises(ZeroDivisionError):
        job.perform(given(COPY, "x.log"), lambda task: 1 / 0)
    assert os.environ["SATSYNTH_STATE"] == "elsewhere" and files.WORKFLOW not in os.environ and Path.cwd() == tmp_path


@pytest.mark.parametrize("log", ["results/logs/train/x.log", str(COPY / "results/logs/train/x.log")])
def test_log_and_telemetry_lie_where_snakemake_says(here, tmp_path, log):
    told = []
    report = telemetry.report
    here.setattr(telemetry, "report", lambda attempts, path: told.append(path) or report(ROW["attempts"], path))
    job.perform(given(COPY, log), lambda task: (told.append(task.log), write(task)))
    assert told == [tmp_path / log] * 2
    found = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("x.*")]
    assert sorted(found) == sorted([log, log.replace("logs", "benchmarks").replace(".log", ".gpu.json")])


@pytest.mark.parametrize("absolute", [False, True])
def test_encoder_weights_are_found_beside_the_config(tmp_path, absolute):
    (tmp_path / "my").mkdir()
    save_file({"weight": torch.ones(1, 1)}, "my/encoder.safetensors")
    network = nn.Module()
    network.encoder = nn.Linear(1, 1, bias=False)
    named = str(tmp_path / "my/encoder.safetensors") if absolute else "my/encoder.safetensors"

    def work(task):
        task.output["weights"].write_text(encoders.initialise(network, "resnet18", named))

    job.perform(given(COPY, "x.log"), work)
    assert network.encoder.weight.item() == 1
    assert (COPY / "results/weights").read_text() == f"sha256:{files.sha256('my/encoder.safetensors')}"
