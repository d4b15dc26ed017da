"""Accelerators on lease: every job takes its own with file locks, so that no two jobs of a host meet on one.

Snakemake counts accelerators but does not hand them out, so each job finds its own before torch is imported. A device is a file
named by its UUID in a folder of the host, and who holds the file's lock holds the device; the kernel frees the lock of a process
that dies, however it dies. Waiting jobs stand in a queue of numbered tickets, so that a job that needs two devices is not passed
for ever by jobs that need one.
"""

import contextlib
import functools
import logging
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Literal

from satsynth.runtime import locks
from satsynth.runtime.errors import DeviceError
from satsynth.runtime.logs import duration

VISIBLE = "CUDA_VISIBLE_DEVICES"
SECONDS_BEFORE_FIRST_LINE = 2.0  # two jobs that begin at once are in each other's way for a moment: not worth a line
SECONDS_BETWEEN_LINES = 60.0
# A process that just ended may be listed by the driver for some seconds more; only who stays longer is a stranger.
SECONDS_TO_SETTLE = 10.0
# One of them is set in every job of SLURM, PBS, LSF, Grid Engine, Flux, OAR and HTCondor.
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "FLUX_JOB_ID", "OAR_JOB_ID", "_CONDOR_JOB_AD")
_kept: list[int] = []  # locks that are to be held until the process ends


@dataclass(frozen=True)
class Lease:
    """What a job may use: `devices` as they stand in CUDA_VISIBLE_DEVICES, and the kind of device that torch shall use."""

    devices: tuple[str, ...]
    kind: Literal["cuda", "cpu"]


def has_accelerator() -> bool:
    """Whether a job started here would find an accelerator; cheap, and without importing torch."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return bool(_names(visible))
    return any(Path("/dev").glob("nvidia[0-9]*")) or bool(_units())


@contextlib.contextmanager
def lease(count: int, *, folder: str | Path | None = None, wait_seconds: float, log: logging.Logger) -> Iterator[Lease]:
    """Take `count` accelerators, all or none, and make them the only ones that this process sees.

    Enter it before torch is imported. The pool is CUDA_VISIBLE_DEVICES where it is set ("" means none), else what NVML lists
    less the GPUs that foreign processes compute on. Without any accelerator the lease is of the CPU. A count of 0 means the CPU
    too, unless a scheduler (see `SCHEDULERS`) set CUDA_VISIBLE_DEVICES for this job: then all of those are taken.

    The locks are freed when the block ends, or, if torch holds a device by then, when the process does.

    Args:
        count: number of devices, 0 or more.
        folder: where the locks lie; by default SATSYNTH_LOCKS, else a folder of this user and host in the temporary folder.
        wait_seconds: how long to wait for devices that other jobs hold.
        log: told once that there is no accelerator, and once a minute that the job waits.

    Raises:
        DeviceError: more devices than the pool holds (at once), or none free in time.
    """
    visible = os.environ.get(VISIBLE)
    pool = _pool()
    if count == 0 and visible and any(name in os.environ for name in SCHEDULERS):
        count = len(pool)
    if count == 0 or not pool:
        if count:
            log.info("No accelerator here: this job runs on the CPU.")
        with hidden() as none:
            yield none
        return
    if count > len(pool):
        where = f"{VISIBLE}={visible}" if visible is not None else "this host"
        raise DeviceError(
            f"resources gpu={count}",
            f"the job asks for {count} devices and {where} has {len(pool)}.",
            f"Ask for {len(pool)} at most: lower gpu, or start Snakemake with --resources gpu={len(pool)}.",
        )
    taken = _wait(_folder(folder), pool, count, check=visible is None, wait_seconds=wait_seconds, log=log)
    try:
        with _seeing(",".join(taken)):
            log.debug("Leased %s.", ", ".join(taken))
            yield Lease(tuple(taken), "cuda")
    finally:
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            _kept.extend(taken.values())  # the next job shall not meet this process's memory
        else:
            _free(taken)


@contextlib.contextmanager
def hidden() -> Iterator[Lease]:
    """A lease of the CPU alone: whatever accelerators there are, this process does not see them during the block."""
    with _seeing(""):
        yield Lease((), "cpu")


def nvml() -> ModuleType | None:
    """NVML, ready for use, or None where there is no driver."""
    return _nvml()


def handles(names: Sequence[str]) -> dict[str, object | None]:
    """UUID (or, where NVML knows none, the name itself) -> NVML handle or None, of devices as CUDA_VISIBLE_DEVICES names them."""
    if _nvml() is None:
        return dict.fromkeys(names)
    uuids, units = [uuid for uuid, _ in _gpus()], _units()
    found = {name: _uuid(name, [*uuids, *units] if not name.isdigit() else uuids) or name for name in names}
    return {uuid: units.get(uuid) for uuid in found.values()}


# The pool ---------------------------------------------------------------------------------------------------------------------


def _names(visible: str) -> list[str]:
    """The devices of a CUDA_VISIBLE_DEVICES value; like CUDA, stop at the first that is none."""
    names: list[str] = []
    for name in visible.split(","):
        name = name.strip()
        if not re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", name):
            break
        if name not in names:
            names.append(name)
    return names


@functools.cache
def _nvml() -> ModuleType | None:
    """NVML, ready for use, or None where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None
    return pynvml


def _gpus() -> list[tuple[str | None, object]]:
    """UUID and NVML handle of every GPU in PCI order; a GPU that has fallen off the bus keeps its place without a UUID."""
    nvml = _nvml()
    found: list[tuple[str | None, object]] = []
    for index in range(nvml.nvmlDeviceGetCount() if nvml else 0):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            found.append((nvml.nvmlDeviceGetUUID(handle), handle))
        except nvml.NVMLError:
            found.append((None, None))
    return found


def _units() -> dict[str, object]:
    """UUID -> NVML handle of everything that CUDA can use: GPUs, and the slices of those that are cut (MIG)."""
    nvml, units = _nvml(), {}
    for uuid, handle in _gpus():
        if uuid is None:
            continue
        slices: dict[str, object] = {}
        try:
            cut = nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE
        except nvml.NVMLError:
            cut = False  # a GPU that cannot be cut answers with an error
        for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if cut else 0):
            with contextlib.suppress(nvml.NVMLError):  # a place without a slice
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
                slices[nvml.nvmlDeviceGetUUID(part)] = part
        units.update(slices if cut else {uuid: handle})
    return units


def _pool() -> dict[str, str]:
    """Name for CUDA_VISIBLE_DEVICES -> name of its lock: the UUID where NVML knows it, else the name itself."""
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return {uuid: uuid for uuid in _units()}
    uuids = [uuid for uuid, _ in _gpus()]
    return {name: _uuid(name, uuids) or name for name in _names(visible)}


def _uuid(name: str, uuids: list[str | None]) -> str | None:
    if name.isdigit():
        return uuids[int(name)] if int(name) < len(uuids) else None
    return next((uuid for uuid in uuids if uuid and uuid.startswith(name)), None)  # CUDA takes shortened UUIDs too


def _strangers(uuid: str) -> list[int]:
    """Processes other than this one that compute on a device."""
    nvml, handle = _nvml(), _units().get(uuid)
    if nvml is None or handle is None:
        return []
    try:
        return [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle) if process.pid != os.getpid()]
    except nvml.NVMLError:
        return []  # a driver that does not tell cannot be asked


@contextlib.contextmanager
def _seeing(visible: str) -> Iterator[None]:
    """Set CUDA_VISIBLE_DEVICES for the block. Numbers mean the order of the PCI bus, as in NVML and in nvidia-smi."""
    before = {name: os.environ.get(name) for name in (VISIBLE, "CUDA_DEVICE_ORDER")}
    os.environ[VISIBLE] = visible
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# Locks ------------------------------------------------------------------------------------------------------------------------


def _folder(folder: str | Path | None) -> Path:
    if folder is None:
        folder = os.environ.get("SATSYNTH_LOCKS")
    if folder is None:
        # Not TMPDIR if it can be helped: two jobs with a TMPDIR each would not see each other's locks.
        place = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())
        folder = place / f"satsynth-locks-{os.getuid()}-{os.uname().nodename}"
    folder = Path(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "queue").mkdir(exist_ok=True)
    except OSError as error:
        raise locks.unusable(folder, error) from error
    return folder


def _free(taken: dict[str, int]) -> None:
    for descriptor in taken.values():
        locks.release(descriptor)
    taken.clear()


@dataclass
class _Attempt:
    """One look at the pool: descriptors of what was taken, and why the rest was not."""

    taken: dict[str, int] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "; ".join(self.held + self.foreign) or "nothing stands in the way"


def _attempt(folder: Path, pool: dict[str, str], count: int, check: bool) -> _Attempt:
    """Take `count` devices of the pool or none."""
    attempt = _Attempt()
    try:
        for name, lock in pool.items():
            path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', lock)}.lock"
            descriptor = locks.acquire(path)
            if descriptor is None:
                attempt.held.append(f"{name} is held by process {path.read_text().strip() or '?'}")
                continue
            if check and (strangers := _strangers(lock)):
                locks.release(descriptor)
                attempt.foreign.append(f"{name} is used by foreign process {strangers[0]}")
                continue
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)  # for the messages of those who wait
            attempt.taken[name] = descriptor
            if len(attempt.taken) == count:
                return attempt
    except BaseException:
        _free(attempt.taken)
        raise
    _free(attempt.taken)
    return attempt


def _wait(folder: Path, pool: dict[str, str], count: int, *, check: bool, wait_seconds: float, log: logging.Logger) -> dict[str, int]:
    """Name -> lock's descriptor of `count` devices, as soon as it is our turn and they are free."""
    begun = time.monotonic()
    say_at, crowded = begun + SECONDS_BEFORE_FIRST_LINE, None
    place, pause, jitter, sleeper = -1, 0.0, random.Random(), threading.Event()
    attempt = _Attempt(held=["other jobs wait for it longer"])
    ticket = locks.Ticket(folder, set(pool.values()))
    try:
        while True:
            ahead = ticket.ahead()
            if ahead == 0:
                attempt = _attempt(folder, pool, count, check)
                if attempt.taken:
                    return attempt.taken
            now = time.monotonic()
            left = len(pool) - len(attempt.foreign)
            crowded = (crowded or now) if left < count else None
            if crowded is not None and now - crowded > SECONDS_TO_SETTLE:
                raise DeviceError(
                    f"resources gpu={count}",
                    f"the job asks for {count} devices and foreign processes leave {left} of {len(pool)}: {attempt}.",
                    f"Stop those processes, or name the devices to share with them in {VISIBLE}.",
                )
            if now - begun > wait_seconds:
                raise DeviceError(
                    f"resources gpu={count}",
                    f"the job waited {duration(wait_seconds)} for {count} of {len(pool)} devices: {attempt}.",
                    "Start Snakemake with --resources gpu=N, N the number of devices, or raise devices.wait_seconds in the config.",
                )
            if now >= say_at:
                log.info("Waiting for %d of %d devices (%s so far): %s.", count, len(pool), duration(now - begun), attempt)
                say_at = now + SECONDS_BETWEEN_LINES
            # A queue that moves is looked at often, one that stands still once a second. Without a random part, jobs that
            # began together would look together for ever.
            pause = min(1.0, pause * 1.5) if ahead == place else 0.01
            place = ahead
            sleeper.wait(min(pause, wait_seconds) * jitter.uniform(0.5, 1.5))
    finally:
        ticket.leave()
