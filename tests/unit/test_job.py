"""The frame of every workflow script: what it hands to the work, and what becomes of work that fails, is killed or was done."""

import errno
import gc
import logging
import os
import signal
import subprocess
import sys
import time
from collections import UserList
from pathlib import Path
from types import SimpleNamespace

import pytest

from satsynth.runtime import devices, files, job, logs
from satsynth.runtime.errors import TrainingError

ROOT = Path(__file__).resolve().parents[2]


class Named(UserList):
    """Like Snakemake's lists: iterates over files, and `items` gives the named ones."""

    def __init__(self, **named: object):
        super().__init__(path for value in named.values() for path in (value if isinstance(value, list) else [value]))
        self.named = named

    def items(self):
        return self.named.items()


def given(**changes: object) -> SimpleNamespace:
    """What Snakemake would give to a script."""
    parts = {
        "rule": "train",
        "wildcards": Named(dataset="demo", seed="0"),
        "input": Named(card="in/card.json", shards=["in/0.npy", "in/1.npy"]),
        "output": Named(weights="results/demo/weights", card="results/demo/card.json"),
        "params": Named(cfg={"rate": 0.1}, code={"train.py": "1f"}),
        "threads": 2,
        "resources": SimpleNamespace(),
        "log": Named(log="results/logs/train.log"),
    }
    return SimpleNamespace(**parts | changes)


def write(task: job.Task) -> None:
    task.output["weights"].write_text(f"weights at {task.cfg['rate']}")
    task.output["card"].write_text("{}")


def never(task: job.Task) -> None:
    raise AssertionError("work that was done before is done again")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*devices.SCHEDULERS, devices.VISIBLE, "SATSYNTH_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SATSYNTH_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    files.write_json("in/card.json", {"count": 2})
    for name in "01":
        Path(f"in/{name}.npy").write_bytes(b"array")
    yield monkeypatch
    while logs._ours:
        handler = logs._ours.pop()
        logging.getLogger().removeHandler(handler)
        handler.close()
    logging.captureWarnings(False)


def state_folder() -> Path:
    (folder,) = Path("results/state/train").iterdir()
    return folder


def log_text() -> str:
    return Path("results/logs/train.log").read_text()


def test_the_collector_is_seldom_at_work_in_a_job_and_as_before_after_it():
    before, seen = gc.get_threshold(), []

    def look(task):
        seen.append(gc.get_threshold())
        write(task)

    job.perform(given(), look)
    assert seen == [job.COLLECTOR] != [before] and gc.get_threshold() == before


def test_the_work_gets_plain_paths_and_values(here):
    tasks = []

    def work(task):
        tasks.append(task)
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "2"
        assert os.environ[devices.VISIBLE] == ""
        write(task)

    here.setenv(devices.VISIBLE, "0,1")
    job.perform(given(), work)
    (task,) = tasks
    assert (task.rule, task.wildcards, task.cfg, task.code, task.raw) == (
        *("train", {"dataset": "demo", "seed": "0"}),
        *({"rate": 0.1}, {"train.py": "1f"}, None),
    )
    assert task.input == {"card": Path("in/card.json"), "shards": [Path("in/0.npy"), Path("in/1.npy")]}
    assert task.declared == {"weights": Path("results/demo/weights"), "card": Path("results/demo/card.json")}
    assert state_folder() in task.output["weights"].parents and state_folder() in task.work.parents
    assert (task.threads, task.gpus, task.device, task.log, task.wall_seconds) == (
        2,
        0,
        "cpu",
        Path("results/logs/train.log").absolute(),
        None,
    )
    assert Path("results/demo/weights").read_text() == "weights at 0.1"
    assert os.environ[devices.VISIBLE] == "0,1"


def test_what_was_done_before_is_restored():
    job.perform(given(), write)
    Path("results/demo/weights").unlink()
    job.perform(given(), never)
    assert Path("results/demo/weights").read_text() == "weights at 0.1"
    assert f"Finished before, restored from {state_folder()}" in log_text()
    facts = files.read_json(state_folder() / "provenance.json")
    assert facts["how"] == "restored" and len(facts["restored"]) == 1


def test_threads_devices_and_time_do_not_count_as_other_work():
    job.perform(given(), write)
    job.perform(given(threads=1, resources=SimpleNamespace(gpu=1, runtime=60), log=Named()), never)


@pytest.mark.parametrize("change", [{"params": Named(cfg={"rate": 0.2}, code={})}, {"wildcards": Named(seed="1")}])
def test_other_work_is_done(change):
    job.perform(given(), write)
    job.perform(given(**change), write)
    assert len(list(Path("results/state/train").iterdir())) == 2


def test_a_changed_input_card_is_other_work():
    job.perform(given(), write)
    files.write_json("in/card.json", {"count": 3})
    with pytest.raises(AssertionError):
        job.perform(given(), never)


def test_provenance_tells_how_it_was_made():
    job.perform(given(), write)
    facts = files.read_json(state_folder() / "provenance.json")
    assert facts["cfg"] == {"rate": 0.1} and facts["how"] == "computed" and facts["restored"] == []
    assert facts["inputs"]["in/card.json"] == {"size": 16, "sha256": files.sha256("in/card.json")}
    assert facts["inputs"]["in/0.npy"] == {"size": 5}
    assert facts["versions"]["numpy"] and facts["host"] and facts["cpus"] >= 1 and facts["seconds"] >= 0
    assert facts["started"] <= facts["ended"]


def test_devices_are_leased_for_the_work(here):
    def work(task):
        assert (task.gpus, task.device, os.environ[devices.VISIBLE]) == (2, "cuda", "0,1")
        write(task)

    here.setenv(devices.VISIBLE, "0,1,2")
    job.perform(given(resources=SimpleNamespace(gpu=2)), work)
    assert os.environ[devices.VISIBLE] == "0,1,2"


def test_more_devices_than_there_are_is_one_clean_line(here, capsys):
    here.setenv(devices.VISIBLE, "0")
    with pytest.raises(SystemExit) as left:
        job.perform(given(resources=SimpleNamespace(gpu=2)), never)
    assert left.value.code == 1
    assert "resources gpu=2: the job asks for 2 devices" in capsys.readouterr().err


def test_an_error_of_the_project_is_one_line_and_its_traceback_is_in_the_log_file(capsys):
    def work(task):
        (task.work / "checkpoint").write_text("step 7")
        raise TrainingError("demo", "the loss is not finite.", "Lower the rate.")

    with pytest.raises(SystemExit) as left:
        job.perform(given(), work)
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert "demo: the loss is not finite. Lower the rate." in said and "Traceback" not in said
    assert "Traceback" in log_text()
    assert (state_folder() / "work/checkpoint").read_text() == "step 7"
    assert not Path("results/demo").exists()


def test_other_errors_pass_with_their_traceback_in_the_log_file():
    with pytest.raises(ZeroDivisionError):
        job.perform(given(), lambda task: 1 / 0)
    assert "train failed unexpectedly" in log_text() and "ZeroDivisionError" in log_text()


def test_a_full_disk_anywhere_in_the_work_is_one_clean_line(capsys):
    def work(task):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "images.npy")

    with pytest.raises(SystemExit) as left:
        job.perform(given(), work)
    assert left.value.code == 1 and "images.npy: the disk is full. Free some space" in capsys.readouterr().err


def test_an_output_that_the_work_forgot_is_named(capsys):
    with pytest.raises(SystemExit):
        job.perform(given(), lambda task: task.output["card"].write_text("{}"))
    assert "results/demo/weights: the job ended without writing this output." in capsys.readouterr().err
    assert not Path("results/demo").exists()


def test_unnamed_files_are_refused(capsys):
    output = Named(weights="results/demo/weights")
    output.append("results/demo/nameless")
    with pytest.raises(SystemExit):
        job.perform(given(output=output), never)
    assert "Name every input and output" in capsys.readouterr().err


def test_checkpoints_of_a_failed_attempt_are_there_for_the_next():
    def fail(task):
        (task.work / "checkpoint").write_text("step 7")
        task.output["weights"].write_text("half")
        raise KeyError("x")

    def resume(task):
        assert (task.work / "checkpoint").read_text() == "step 7"
        assert not task.output["weights"].exists()
        write(task)

    with pytest.raises(KeyError):
        job.perform(given(), fail)
    job.perform(given(), resume)
    assert not (state_folder() / "work").exists()


@pytest.mark.parametrize(
    ("runtime", "spent", "seconds"),
    [(None, 0, None), ("TBD", 0, None), (True, 0, None), (10, 0, 570), (100, 0, 5700), (10, 70, 500), (0.1, 0, 0)],
)
def test_the_time_for_the_work_is_the_runtime_less_a_margin(monkeypatch, runtime, spent, seconds):
    clock = iter([1000.0])
    monkeypatch.setattr(job.time, "monotonic", lambda: next(clock, 1000.0 + spent))
    left = []
    job.perform(given(resources=SimpleNamespace(runtime=runtime)), lambda task: (left.append(task.wall_seconds), write(task)))
    assert left == [seconds]


def test_a_job_of_several_devices_that_lies_on_two_hosts_is_refused_before_it_asks_for_any(monkeypatch, caplog):
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    monkeypatch.setenv(devices.VISIBLE, "0")
    with pytest.raises(SystemExit):
        job.perform(given(resources=SimpleNamespace(gpu=2)), never)
    assert "the job was given 2 hosts" in caplog.text and "nodes: 1" in caplog.text


# In a process of its own: signals, and what is imported.
SCRIPT = """
import os, signal, sys, time, types
from pathlib import Path
from satsynth.runtime.job import perform

class Named(dict):
    __iter__ = lambda self: iter(self.values())

def work(task):
    assert sys.argv[1] != "never", "done again"
    try:
        if sys.argv[1] == "kill":
            (task.work / "checkpoint").write_text("step 7")
            os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[1] == "end":
            os.kill(os.getpid(), signal.SIGTERM)
        if sys.argv[1] == "wait":
            Path("begun").touch()
            time.sleep(60)
        task.output["weights"].write_text("resumed " + str((task.work / "checkpoint").exists()))
    finally:
        print("finally")

perform(types.SimpleNamespace(
    rule="train", wildcards={}, input={}, output={"weights": "results/weights"}, params={"cfg": {}, "code": {}},
    threads=1, resources=types.SimpleNamespace(), log="results/logs/train.log"), work)
print("torch" in sys.modules)
"""


def until(condition, seconds: float = 50) -> None:
    """Wait for another process; the bound ends a broken test, it judges nothing."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition(), "nothing to see after a long wait"


def run(how: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", SCRIPT, how], env=environment, capture_output=True, text=True)


def test_a_killed_job_resumes_and_a_finished_one_is_restored_without_torch():
    assert run("kill").returncode == -signal.SIGKILL
    assert not Path("results/weights").exists()
    assert run("work").returncode == 0
    assert Path("results/weights").read_text() == "resumed True"
    Path("results/weights").unlink()
    again = run("never")
    assert (again.returncode, again.stdout) == (0, "False\n"), again.stderr
    assert Path("results/weights").read_text() == "resumed True"


def test_sigterm_lets_the_work_clean_up():
    ended = run("end")
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "finally\n")
    assert "train was stopped; what it saved is kept." in log_text()


def test_a_job_ends_when_its_workflow_is_killed():
    workflow = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SCRIPT!r}, 'wait'])"
    process = subprocess.Popen([sys.executable, "-c", workflow], env=os.environ | {"PYTHONPATH": str(ROOT)})
    until(Path("begun").exists)
    process.kill()
    process.wait()
    until(lambda: "train was stopped; what it saved is kept." in log_text())
    assert "The workflow that started this job is dead" in log_text() and not Path("results/weights").exists()


# What a job says ----------------------------------------------------------------------------------------------------------------


def test_progress_is_a_line_at_the_start_at_the_end_and_every_ten_seconds(caplog):
    now = [0.0]
    with caplog.at_level(logging.INFO, logger="satsynth"):
        progress = logs.Progress("G", 5000, "images", done=1000, clock=lambda: now[0])
        for second in range(1, 41):
            now[0] = float(second)
            progress.update(1000 + 100 * second, loss=0.123456, rate=1e-4)
        progress.update(5000)
    assert [record.message for record in caplog.records] == [
        "G: 5000 images, 1000 of them done before",
        "G: 2000/5000 images (40 %), 100 images/s, 0:30 left, loss 0.1235, rate 0.0001",
        "G: 3000/5000 images (60 %), 100 images/s, 0:20 left, loss 0.1235, rate 0.0001",
        "G: 4000/5000 images (80 %), 100 images/s, 0:10 left, loss 0.1235, rate 0.0001",
        "G: 5000/5000 images (100 %), 100 images/s, took 0:40, loss 0.1235, rate 0.0001",
    ]


def test_numbers_are_read_only_when_a_line_is_due():
    class Expensive:
        def __float__(self):
            raise AssertionError("read")

    logs.Progress("G", 10, "images", clock=lambda: 0.0).update(1, loss=Expensive())


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3600 * 30 + 5, "30:00:05"), (-1, "0:00")])
def test_durations(seconds, text):
    assert logs.duration(seconds) == text


def test_setting_up_again_does_not_say_everything_twice(capsys):
    logs.setup("results/logs/train.log")
    logs.setup("results/logs/train.log")
    logging.getLogger("satsynth.x").info("once")
    logging.getLogger("satsynth.x").debug("in the file")
    logging.getLogger("elsewhere").debug("nowhere")
    assert capsys.readouterr().err.count("once") == 1
    assert log_text().count("once") == 1 and "in the file" in log_text() and "nowhere" not in log_text()
