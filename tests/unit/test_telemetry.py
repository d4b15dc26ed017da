"""What a job's use of its machine is measured as, over a pretend NVML."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from satsynth.runtime import devices, files, job, telemetry

ROOT = Path(__file__).resolve().parents[2]


class NVML:
    """Two GPUs, the second cut into slices; functions named in `silent` fail. Every reading of power and energy goes one step on."""

    NVML_DEVICE_MIG_ENABLE = 1

    class NVMLError(Exception):
        pass

    def __init__(self, silent=(), watts=(100.0, 300.0, 200.0), joules=(5000.0, 5100.0, 5600.0)):
        self.silent, self.readings = set(silent), {}
        self.series = {"power": watts, "energy": joules, "busy": (10, 90, 50), "used": (1 << 30, 3 << 30, 2 << 30)}

    def __getattribute__(self, name):
        if name.startswith("nvml") and name in self.silent:
            raise NVML.NVMLError(name)
        return object.__getattribute__(self, name)

    def next(self, handle, what):
        place = self.readings[handle, what] = self.readings.get((handle, what), -1) + 1
        return self.series[what][min(place, len(self.series[what]) - 1)]

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return ("GPU-a1", "GPU-b2")[index]

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetMigMode(self, handle):
        return (1, 1) if handle == "GPU-b2" else (0, 0)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle):
        return 1

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index):
        return "MIG-c3"

    def nvmlDeviceGetName(self, handle):
        return b"Pretend GPU"

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(used=self.next(handle, "used"))

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=self.next(handle, "busy"))

    def nvmlDeviceGetPowerUsage(self, handle):
        return self.next(handle, "power") * 1000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self.next(handle, "energy") * 1000


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(telemetry, "SECONDS_BETWEEN_READINGS", 1e6)  # readings are the tests' own
    return monkeypatch


def measure(here, nvml, *names, readings=1):
    """The row of an attempt on these devices; a second goes by between any two looks at the clock."""
    here.setattr(devices, "_nvml", lambda: nvml)
    clock = itertools.count()
    with telemetry.Meter(
        Path("attempts.json"), devices.Lease(names, "cuda" if names else "cpu"), clock=lambda: float(next(clock))
    ) as meter:
        for _ in range(readings):
            meter.read()
    (row,) = files.read_json("attempts.json")["attempts"]
    return row


def test_a_gpu_tells_use_memory_power_and_the_energy_of_its_counter(here):
    row = measure(here, NVML(), "0")
    (gpu,) = row["gpus"]
    assert (gpu["device"], gpu["model"], gpu["readings"]) == ("GPU-a1", "Pretend GPU", 3)
    assert (gpu["utilisation_mean_percent"], gpu["utilisation_max_percent"]) == (50, 90)
    assert gpu["memory_peak_bytes"] == 3 << 30 and gpu["power_mean_watts"] == 200
    assert (gpu["energy_joules"], gpu["energy_from"]) == (600, "counter") and row["energy_joules"] == 600
    assert row["devices"] == 1 and row["gpu_seconds"] == row["seconds"] > 0 and row["cpu_seconds"] >= 0


def test_without_a_counter_energy_is_the_integral_of_power(here):
    nvml = NVML(silent=["nvmlDeviceGetTotalEnergyConsumption"], watts=(100.0, 300.0))
    (gpu,) = measure(here, nvml, "GPU-a", readings=0)["gpus"]  # two readings: on entering and on leaving
    times = 1 + 1 + 1  # the clock is looked at for the row that is kept, for the thread's, and for the reading itself
    assert (gpu["energy_joules"], gpu["energy_from"]) == (pytest.approx(200 * times), "power")


def test_a_counter_that_began_anew_is_not_believed(here):
    (gpu,) = measure(here, NVML(joules=(5000.0, 5100.0, 100.0)), "0")["gpus"]
    assert gpu["energy_from"] == "power" and gpu["energy_joules"] > 0


def test_of_a_slice_only_its_memory_is_told(here):
    row = measure(here, NVML(), "0", "MIG-c")
    whole, part = row["gpus"]
    assert part["device"] == "MIG-c3" and part["memory_peak_bytes"] == 3 << 30
    assert {part[name] for name in part if name.split("_")[0] in ("utilisation", "power", "energy")} == {None}
    assert whole["energy_joules"] == 600 and row["energy_joules"] is None, "the sum leaves a device out"
    assert row["gpu_seconds"] == pytest.approx(2 * row["seconds"])


FUNCTIONS = sorted(name for name in vars(NVML) if name.startswith("nvml"))


@pytest.mark.parametrize("silent", [[name] for name in FUNCTIONS] + [FUNCTIONS])
def test_whatever_fails_is_absent_and_no_error(here, silent):
    (gpu,) = measure(here, NVML(silent), "GPU-a1")["gpus"]
    absent = {
        "nvmlDeviceGetName": "model",
        "nvmlDeviceGetMemoryInfo": "memory_peak_bytes",
        "nvmlDeviceGetUtilizationRates": "utilisation_mean_percent",
        "nvmlDeviceGetPowerUsage": "power_mean_watts",
    }
    for function in silent:
        assert function not in absent or gpu[absent[function]] is None
    assert gpu["device"] == "GPU-a1" and (silent != FUNCTIONS or gpu["energy_joules"] is None)


def test_without_nvml_only_the_time_of_the_devices_is_told(here):
    row = measure(here, None, "0", "1")
    assert row["gpu_seconds"] == pytest.approx(2 * row["seconds"]) and row["energy_joules"] is None
    assert [gpu["device"] for gpu in row["gpus"]] == ["0", "1"]


def test_the_thread_reads_and_keeps_rows_by_itself_and_ends(here):
    here.setattr(telemetry, "SECONDS_BETWEEN_READINGS", 0.001)
    here.setattr(telemetry, "SECONDS_BETWEEN_ROWS", 0.0)
    here.setattr(devices, "_nvml", NVML)
    kept = threading.Event()
    here.setattr(telemetry.Meter, "keep", lambda meter, keep=telemetry.Meter.keep: (keep(meter), kept.set() if meter._gauges else None))
    with telemetry.Meter(Path("attempts.json"), devices.Lease(("0",), "cuda")) as meter:
        kept.clear()
        assert kept.wait(60), "the thread keeps no rows"
    assert not meter._thread.is_alive()


def test_a_row_that_cannot_be_written_is_no_error(here):
    Path("attempts.json").mkdir()
    with telemetry.Meter(Path("attempts.json"), devices.Lease((), "cpu")):
        pass
    telemetry.report([{"gpus": [{}]}], Path("attempts.json/logs/x.log"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"attempts": 3}', '{"attempts": [1]}'])
def test_damaged_rows_of_earlier_attempts_are_forgotten(here, text):
    Path("attempts.json").write_text(text)
    with telemetry.Meter(Path("attempts.json"), devices.Lease((), "cpu")) as meter:
        assert len(meter.attempts()) == 1


@pytest.mark.parametrize(
    ("log", "path"),
    [
        ("results/logs/train/demo-64px.v2-0.log", "results/benchmarks/train/demo-64px.v2-0.gpu.json"),
        ("results/logs/write_report.log", "results/benchmarks/write_report.gpu.json"),
        ("/logs/store/results/logs/train/logs.log", "/logs/store/results/benchmarks/train/logs.gpu.json"),
        ("results/logs/train/logs", "results/benchmarks/train/logs.gpu.json"),
        ("elsewhere/train.log", None),
        (None, None),
    ],
)
def test_telemetry_stands_beside_the_benchmark(log, path):
    assert telemetry.beside_benchmark(log and Path(log)) == (path and Path(path))


# Of jobs ------------------------------------------------------------------------------------------------------------------------


def given(**resources):
    return SimpleNamespace(
        **{"rule": "train", "wildcards": {}, "input": {}, "output": {"weights": "results/weights"}, "params": {"cfg": {}, "code": {}}},
        **{"threads": 1, "resources": SimpleNamespace(**resources), "log": "results/logs/train/x.log"},
    )


def write(task):
    task.output["weights"].write_text("1")


@pytest.fixture
def gpus(here, tmp_path):
    here.setattr(devices, "_nvml", NVML)
    here.setenv("SATSYNTH_LOCKS", str(tmp_path / "locks"))
    here.setenv(devices.VISIBLE, "0")
    here.delenv("SATSYNTH_STATE", raising=False)
    here.delitem(sys.modules, "torch", raising=False)
    return here


def provenance():
    (path,) = Path("results/state/train").glob("*/provenance.json")
    return files.read_json(path)


def test_a_job_on_a_gpu_leaves_its_telemetry_in_the_benchmarks_and_in_its_provenance(gpus):
    job.perform(given(gpu=1), write)
    beside = files.read_json("results/benchmarks/train/x.gpu.json")
    assert beside["attempts"] == provenance()["attempts"]
    assert beside["attempts"][0]["gpus"][0]["memory_peak_bytes"] == 3 << 30
    Path("results/weights").unlink()
    job.perform(given(gpu=1), write)  # restored: the first making is what it cost
    assert provenance()["how"] == "restored" and provenance()["attempts"] == beside["attempts"]


def test_a_job_without_a_gpu_leaves_processor_time_only(gpus):
    job.perform(given(), write)
    assert not Path("results/benchmarks").exists()
    (row,) = provenance()["attempts"]
    assert row["gpus"] == [] and row["gpu_seconds"] == 0 and row["energy_joules"] is None and row["cpu_seconds"] >= 0


def test_a_stopped_attempt_counts_too(gpus):
    def stop(task):
        (task.work / "checkpoint").write_text("step 7")
        raise SystemExit(143)

    for _ in range(2):
        with pytest.raises(SystemExit):
            job.perform(given(gpu=1), stop)
    job.perform(given(gpu=1), write)
    facts = provenance()
    assert facts["resumed"] and len(facts["attempts"]) == 3
    assert all(row["gpus"][0]["energy_from"] == "counter" for row in facts["attempts"])


def test_an_attempt_that_finished_is_not_one_that_was_broken_off(gpus):
    def stop(task):
        raise SystemExit(143)

    job.perform(given(gpu=1), write)
    (weights,) = Path("results/state").glob("*/*/outputs/results/*")
    weights.write_text("changed in its place")  # the entry is discarded and its work done again
    with pytest.raises(SystemExit):
        job.perform(given(gpu=1), stop)
    job.perform(given(gpu=1), write)
    assert len(provenance()["attempts"]) == 2  # one broken off, and the one that made what lies there


def test_telemetry_whose_reading_fails_ends_no_job(gpus):
    gpus.setattr(devices, "handles", lambda names: 1 / 0)
    job.perform(given(gpu=1), write)
    assert provenance()["attempts"][0]["devices"] == 1


KILLED = """
import os, signal, sys, types
from satsynth.runtime import telemetry
from satsynth.runtime.job import perform
telemetry.SECONDS_BETWEEN_READINGS, telemetry.SECONDS_BETWEEN_ROWS = 0.01, 0.0

def work(task):
    rows = task.work.parent / "attempts.json"
    while sys.argv[1] == "kill":
        if float(rows.read_text().split('"seconds": ')[-1].split("\\n")[0].strip(",}")) > 0.2:
            os.kill(os.getpid(), signal.SIGKILL)
    task.output["weights"].write_text("1")

perform(types.SimpleNamespace(
    rule="train", wildcards={}, input={}, output={"weights": "results/weights"}, params={"cfg": {}, "code": {}},
    threads=1, resources=types.SimpleNamespace(gpu=1), log="results/logs/train/x.log"), work)
"""


def test_a_killed_attempt_counts_as_far_as_it_was_seen(gpus):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    codes = [subprocess.run([sys.executable, "-c", KILLED, how], env=environment).returncode for how in ("kill", "work")]
    assert codes == [-signal.SIGKILL, 0]
    first, second = provenance()["attempts"]
    assert first["seconds"] > 0.2 and first["gpu_seconds"] == first["seconds"] and first["cpu_seconds"] > 0
    assert second["devices"] == 1
