"""Leasing devices, with real processes over pretend devices (a CUDA_VISIBLE_DEVICES that names them is a pool)."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from satsynth.runtime import devices
from satsynth.runtime.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]
log = logging.getLogger("satsynth.test")

# Leases over and over; a marker file for every device in use, made exclusively, shows a device that is used twice.
LEASING = """
import logging, os, sys
from pathlib import Path
from satsynth.runtime import devices
count, times, marks = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
for _ in range(times):
    with devices.lease(count, wait_seconds=120, log=logging.getLogger()) as lease:
        assert len(lease.devices) == count and lease.kind == "cuda"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(lease.devices)
        for name in lease.devices:
            os.close(os.open(marks / name, os.O_CREAT | os.O_EXCL))
        for name in lease.devices:
            (marks / name).unlink()
    print("lease", flush=True)
"""

# Says that it waits, says what it got, and holds it until a line comes in.
HOLDING = """
import logging, sys
from satsynth.runtime import devices
devices.SECONDS_BEFORE_FIRST_LINE = 0
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
with devices.lease(int(sys.argv[1]), wait_seconds=120, log=logging.getLogger()) as lease:
    print("got", ",".join(lease.devices), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that runs a script over the given pool; all are killed when the test ends."""
    with contextlib.ExitStack() as stack:

        def run(script: str, *arguments: object, pool: str) -> subprocess.Popen:
            environment = {name: value for name, value in os.environ.items() if name not in devices.SCHEDULERS}
            environment |= {"CUDA_VISIBLE_DEVICES": pool, "SATSYNTH_LOCKS": str(tmp_path / "locks"), "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(
                [sys.executable, "-c", script, *map(str, arguments)],
                **{"env": environment, "text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield run


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Lease in this very process, without a scheduler and without NVML."""
    for name in (*devices.SCHEDULERS, devices.VISIBLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SATSYNTH_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(devices, "_nvml", lambda: None)
    monkeypatch.setattr(devices, "_kept", [])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return monkeypatch


def line(process: subprocess.Popen, start: str) -> str:
    """The rest of the next line that begins with `start`; a job that has to wait may say so first."""
    for text in process.stdout:
        if text.startswith(start):
            return text.removeprefix(start).strip()
        assert text.startswith("Waiting"), text
    raise AssertionError(f"the process ended without saying '{start}'")


def go(process: subprocess.Popen) -> None:
    process.communicate("\n")


@pytest.mark.parametrize("pool", ["0,1,2,3", "0,1"])
def test_200_leases_by_8_jobs_never_share_a_device_and_all_end(start, tmp_path, pool):
    marks = tmp_path / "marks"
    marks.mkdir()
    jobs = [start(LEASING, count, 25, marks, pool=pool) for count in (1, 1, 2, 1, 1, 2, 1, 1)]
    said = [job.communicate()[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 8, said
    assert sum(text.count("lease") for text in said) == 200
    assert not list((tmp_path / "locks" / "queue").glob("*.ticket"))


@pytest.mark.parametrize("pool", ["0,1,2,3", "0,1"])
def test_a_two_device_job_is_not_passed_by_one_device_jobs(start, pool):
    holders = [start(HOLDING, 1, pool=pool) for _ in pool.split(",")]
    held = [line(holder, "got") for holder in holders]
    assert sorted(held) == pool.split(",")
    two = start(HOLDING, 2, pool=pool)
    line(two, "Waiting for 2")
    ones = [start(HOLDING, 1, pool=pool) for _ in range(2)]
    for one in ones:
        line(one, "Waiting for 1")
    # With strict turns, whatever is freed goes to the job that came first: two devices, though single ones were free before.
    go(holders[0])
    go(holders[1])
    assert sorted(line(two, "got").split(",")) == sorted(held[:2])
    go(two)
    assert {line(one, "got") for one in ones} == set(held[:2])


def test_jobs_with_other_devices_do_not_wait_for_each_other(start):
    holder = start(HOLDING, 1, pool="0")
    line(holder, "got")
    waiter = start(HOLDING, 1, pool="0")
    line(waiter, "Waiting")
    assert line(start(HOLDING, 1, pool="1"), "got") == "1"


def test_a_killed_holder_frees_its_devices_and_a_killed_waiter_its_place(start, tmp_path):
    holder = start(HOLDING, 2, pool="0,1")
    line(holder, "got")
    dead = start(HOLDING, 2, pool="0,1")
    line(dead, "Waiting")
    waiter = start(HOLDING, 1, pool="0,1")
    line(waiter, "Waiting")
    for process in (dead, holder):
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert line(waiter, "got") == "0"
    assert not list((tmp_path / "locks" / "queue").glob("*.ticket"))


def test_who_waits_in_vain_is_told_who_holds_what(start, here):
    holder = start(HOLDING, 1, pool="0")
    line(holder, "got")
    here.setenv(devices.VISIBLE, "0")
    with (
        pytest.raises(DeviceError, match=f"0 is held by process {holder.pid}.*devices.wait_seconds"),
        devices.lease(1, wait_seconds=0.1, log=log),
    ):
        pass


def test_waiting_is_said_once_a_minute(here, caplog, tmp_path):
    clock = iter(range(0, 10_000, 25))
    here.setattr(devices, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    here.setattr(devices.threading, "Event", lambda: SimpleNamespace(wait=lambda seconds: None))
    here.setenv(devices.VISIBLE, "0")
    with caplog.at_level(logging.INFO), devices.lease(1, wait_seconds=10, log=log):
        caplog.clear()
        with pytest.raises(DeviceError), devices.lease(1, wait_seconds=300, log=log):
            pass
    assert [record.message.split(":")[0] for record in caplog.records] == ["Waiting for 1 of 1 devices (0"] + [
        f"Waiting for 1 of 1 devices ({minutes}" for minutes in (1, 2, 4)
    ]


def test_more_than_the_pool_holds_fails_at_once(here):
    here.setenv(devices.VISIBLE, "0,1")
    here.setattr(devices, "_wait", lambda *_, **__: pytest.fail("waited"))
    with (
        pytest.raises(DeviceError, match=r"asks for 3 devices and CUDA_VISIBLE_DEVICES=0,1 has 2\. .*--resources gpu=2"),
        devices.lease(3, wait_seconds=1, log=log),
    ):
        pass


@pytest.mark.parametrize("visible", [None, "", "-1", "NoDevFiles"])
def test_without_any_device_the_job_runs_on_the_cpu_and_says_so_once(here, caplog, visible):
    if visible is not None:
        here.setenv(devices.VISIBLE, visible)
    with caplog.at_level(logging.INFO), devices.lease(2, wait_seconds=1, log=log) as lease:
        assert lease == devices.Lease((), "cpu")
        assert os.environ[devices.VISIBLE] == ""
    assert len(caplog.records) == 1
    assert os.environ.get(devices.VISIBLE) == visible


def test_no_device_asked_for_means_the_cpu_unless_a_scheduler_gave_some(here):
    here.setenv(devices.VISIBLE, "4,7")
    with devices.lease(0, wait_seconds=1, log=log) as lease:
        assert lease == devices.Lease((), "cpu") and os.environ[devices.VISIBLE] == ""
    here.setenv("SLURM_JOB_ID", "12")
    with devices.lease(0, wait_seconds=1, log=log) as lease:
        assert lease == devices.Lease(("4", "7"), "cuda") and os.environ[devices.VISIBLE] == "4,7"
    assert os.environ[devices.VISIBLE] == "4,7"


def test_devices_that_torch_holds_stay_locked_until_the_process_ends(here):
    here.setenv(devices.VISIBLE, "0")
    here.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True)))
    with devices.lease(1, wait_seconds=1, log=log):
        pass
    assert len(devices._kept) == 1
    with pytest.raises(DeviceError), devices.lease(1, wait_seconds=0, log=log):
        pass
    os.close(devices._kept.pop())


def test_locks_that_cannot_be_made_name_the_folder(here, tmp_path):
    (tmp_path / "file").write_text("")
    here.setenv(devices.VISIBLE, "0")
    with pytest.raises(DeviceError, match="SATSYNTH_LOCKS"), devices.lease(1, folder=tmp_path / "file", wait_seconds=1, log=log):
        pass


class NVML:
    """As much of pynvml as is used, over GPUs given as {uuid: pids}; a cut GPU is {uuid: {slice's uuid: pids}}."""

    NVML_DEVICE_MIG_ENABLE = 1

    class NVMLError(Exception):
        pass

    def __init__(self, gpus: dict):
        self.gpus, self.all = gpus, dict(gpus)
        for inner in gpus.values():
            self.all.update(inner if isinstance(inner, dict) else {})

    def nvmlDeviceGetCount(self):
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        return list(self.gpus)[index]

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetMigMode(self, handle):
        return (1, 1) if isinstance(self.gpus[handle], dict) else (0, 0)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index):
        if index >= len(self.gpus[handle]):
            raise self.NVMLError
        return list(self.gpus[handle])[index]

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [SimpleNamespace(pid=pid) for pid in self.all[handle]]


def test_what_nvml_lists_is_the_pool_less_what_strangers_use(here):
    here.setattr(devices, "_nvml", lambda: NVML({"GPU-a": [4321], "GPU-b": [], "GPU-c": {"MIG-d": [], "MIG-e": [4321]}}))
    assert devices.has_accelerator()
    with devices.lease(2, wait_seconds=1, log=log) as lease:
        assert lease.devices == ("GPU-b", "MIG-d")
    here.setattr(devices, "SECONDS_TO_SETTLE", 0.05)
    with (
        pytest.raises(DeviceError, match=r"foreign processes leave 2 of 4: GPU-a is used by foreign process 4321"),
        devices.lease(3, wait_seconds=60, log=log),
    ):
        pass


def test_devices_that_siblings_hold_are_no_strangers(start, here):
    holder = start(HOLDING, 1, pool="GPU-a")
    line(holder, "got")
    here.setattr(devices, "_nvml", lambda: NVML({"GPU-a": [holder.pid]}))
    here.setattr(devices, "SECONDS_TO_SETTLE", 0.0)
    with pytest.raises(DeviceError, match=r"waited .* held by process"), devices.lease(1, wait_seconds=0.2, log=log):
        pass


def test_numbers_and_short_uuids_lock_the_same_device(here):
    here.setattr(devices, "_nvml", lambda: NVML({"GPU-a1b2": [], "GPU-c3d4": []}))
    for visible, pool in (("1", {"1": "GPU-c3d4"}), ("GPU-c3", {"GPU-c3": "GPU-c3d4"}), ("1,1,9", {"1": "GPU-c3d4", "9": "9"})):
        here.setenv(devices.VISIBLE, visible)
        assert devices._pool() == pool


def test_has_accelerator_believes_what_is_visible(here):
    for visible, answer in (("", False), ("0", True), ("NoDevFiles", False)):
        here.setenv(devices.VISIBLE, visible)
        assert devices.has_accelerator() is answer


def test_the_runtime_imports_nothing_heavy():
    code = "import sys, satsynth.runtime.job, satsynth.runtime.state; print(*({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "\n"
