"""The frame of every workflow script: log, look for finished work, lease devices, work, publish.

A script names its work and hands over what Snakemake gave it:

    def work(task):
        from satsynth.segmentation.training import train  # imports torch, so only when there is something to do
        train(task.cfg, ...)

    perform(snakemake, work)
"""

import contextlib
import errno
import gc
import logging
import os
import platform
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from satsynth.runtime import devices, files, logs, ranks, state, telemetry
from satsynth.runtime.errors import DiskError, SatsynthError
from satsynth.runtime.parent import ending_with_parent
from satsynth.runtime.task import Paths
from satsynth.runtime.task import Task as Task

log = logging.getLogger(__name__)
# Imports make objects by the hundred thousand, all of which stay: by default the collector looks through them so often (at 700 new ones, in
# Python 3.11) that a tenth of a job's start goes into it.
COLLECTOR = 10_000, 20, 20
PACKAGES = (
    *("numpy", "pandas", "scipy", "pillow", "matplotlib", "safetensors", "torch", "torchvision", "timm"),
    *("segmentation-models-pytorch", "rasterio", "pyvips-binary", "nvidia-ml-py", "snakemake"),
)


def perform(job: Any, work: Callable[[Task], None]) -> None:
    """Do the work of a job, unless it was done before; then its outputs come back from state without importing torch.

    The environment may name: SATSYNTH_STATE, the folder of all state (default results/state); SATSYNTH_DEVICE_WAIT, seconds to
    wait for devices that other jobs hold (default 86400, a day).

    Args:
        job: has the attributes that Snakemake gives to scripts: rule, wildcards, input, output, params, threads, resources, log.
            All inputs and outputs must be named. Of the params, `cfg`, `code` and `raw` are read; of the resources, `gpu` and
            `runtime`. A rule without the resource `gpu` runs on the CPU and leases nothing.
        work: does it; called at most once.

    Raises:
        SystemExit: code 1 after an error of this project, which is said in one line; 143 after SIGTERM, or when the workflow is
            dead; 130 after Ctrl-C.
    """
    log_file = _log_file(job)
    logs.setup(log_file)
    try:
        with _ending_on_sigterm(), ending_with_parent(), _collecting_seldom(), _beside_results(job) as (inputs, declared, place):
            _perform(job, work, inputs, declared, place, log_file)
    except SatsynthError as error:
        _fail(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            _tell(job)
            raise
        _fail(DiskError(error.filename or job.rule, "the disk is full.", "Free some space and run again; finished work is kept."))
    except KeyboardInterrupt:  # Ctrl-C reaches workflow and jobs; a traceback would say no more
        log.warning("%s was stopped; what it saved is kept.", job.rule)
        raise SystemExit(128 + signal.SIGINT) from None
    except SystemExit:
        log.warning("%s was stopped; what it saved is kept.", job.rule)
        raise
    except Exception:
        _tell(job)
        raise


def _perform(job: Any, work: Callable[[Task], None], inputs: Paths, declared: Paths, place: Path, log_file: Path | None) -> None:
    begun, started = time.monotonic(), telemetry.now()
    wildcards, params = dict(job.wildcards.items()), dict(job.params.items())
    made_of = {name: params.get(name) for name in ("cfg", "code", "raw")}
    name = state.key(job.rule, wildcards, **made_of, inputs=_flat(inputs))
    entry = state.State(place, job.rule, name)
    outputs = _flat(declared)
    log.info("%s", " ".join([job.rule, *(f"{wildcard}={value}" for wildcard, value in wildcards.items())]))
    with entry.locked():
        if entry.finished(outputs):
            entry.restore(outputs)
            _note_restored(entry, started)
            log.info("Finished before, restored from %s.", entry.folder)
            return
        entry.begin()
        resumed = any(entry.work.iterdir())
        staged = {name: _each(value, entry.staged) for name, value in declared.items()}
        for path in _flat(staged):
            path.parent.mkdir(parents=True, exist_ok=True)
        with (
            _leased(job) as lease,
            _threads(max(1, job.threads // max(1, len(lease.devices)))),
            telemetry.Meter(entry.attempts, lease) as meter,
        ):
            task = Task(
                rule=job.rule,
                wildcards=wildcards,
                input=inputs,
                output=staged,
                declared=declared,
                **made_of,
                threads=job.threads,
                gpus=len(lease.devices),
                device=lease.kind,
                log=log_file,
                work=entry.work,
                deadline=_deadline(getattr(job.resources, "runtime", None), begun),
            )
            work(task)
            facts = _provenance(task, lease, started, time.monotonic() - begun)
            meter.read()
            facts |= {"resumed": resumed, "attempts": meter.attempts()}
        telemetry.report(facts["attempts"], task.log)
        files.write_json(entry.provenance, facts)
        entry.publish(outputs)
        log.info("%s is done in %s.", job.rule, logs.duration(time.monotonic() - begun))


@contextlib.contextmanager
def _collecting_seldom() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTOR)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _deadline(runtime: object, begun: float) -> float | None:
    """When a job that began at `begun` (monotonic seconds) should save and leave.

    Args:
        runtime: the resource `runtime` in minutes; anything but a number means no limit.
        begun: see above.

    Returns:
        The runtime less a margin for starting, saving and leaving (5 %, 30 s at least) after `begun`; or None.
    """
    if isinstance(runtime, bool) or not isinstance(runtime, int | float):
        return None
    seconds = runtime * 60
    return begun + seconds - max(30.0, 0.05 * seconds)


# What Snakemake gives ---------------------------------------------------------------------------------------------------------


def _each(value: Path | list[Path], function: Callable[[Path], Path]) -> Path | list[Path]:
    return [function(path) for path in value] if isinstance(value, list) else function(value)


@contextlib.contextmanager
def _beside_results(job: Any) -> Iterator[tuple[Paths, Paths, Path]]:
    """Inputs, outputs and the folder of state, seen from where the job works.

    Files of remote storage (`--default-storage-provider`) are copied by Snakemake to `.snakemake/storage/.../results/...`. A job with such
    files works in the folder above their `results`, so that all paths are as the plan has them, and its state has the same key.
    What lies elsewhere the environment tells the work: SATSYNTH_STATE, and the workflow's folder, for `files.as_given`.
    """
    inputs, declared = _named(job.input), _named(job.output)
    place = Path(os.environ.get("SATSYNTH_STATE", "results/state"))
    parts = [path.parts for path in (*_flat(inputs), *_flat(declared))]
    ends = [len(names) - 1 - names[::-1].index("results") if "results" in names else 0 for names in parts]
    roots = {Path(*names[:end]) for names, end in zip(parts, ends, strict=True)}
    if len(roots) != 1 or (root := roots.pop()) == Path():
        yield inputs, declared, place
        return
    place = place.absolute()
    inputs, declared = (
        {name: _each(value, lambda path: path.relative_to(root)) for name, value in group.items()} for group in (inputs, declared)
    )
    with _environment({"SATSYNTH_STATE": str(place), files.WORKFLOW: str(Path.cwd())}), contextlib.chdir(root):
        yield inputs, declared, place


def _named(group: Any) -> Paths:
    """The named files of an input or output, as plain paths. Snakemake's lists also iterate over files without a name."""
    named: Paths = {
        name: Path(value) if isinstance(value, str | os.PathLike) else [Path(path) for path in value] for name, value in group.items()
    }
    if not isinstance(group, Mapping) and len(list(group)) != len(_flat(named)):
        raise SatsynthError("rule", "an input or output has no name.", "Name every input and output of the rule.")
    return named


def _flat(named: Paths) -> list[Path]:
    return [path for value in named.values() for path in (value if isinstance(value, list) else [value])]


def _log_file(job: Any) -> Path | None:
    paths = [job.log] if isinstance(job.log, str | os.PathLike) else list(job.log or ())
    return Path(paths[0]).absolute() if paths else None  # absolute, for a job that works in another folder


# Surroundings -----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, the first thing that a scheduler sends, run the `finally` blocks."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _threads(count: int) -> contextlib.AbstractContextManager[None]:
    """Tell numeric libraries, before they are imported, how many threads the job was given."""
    return _environment(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(count)))


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time of the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _leased(job: Any) -> Iterator[devices.Lease]:
    count = getattr(job.resources, "gpu", None)
    if count is None:
        with devices.hidden() as lease:
            yield lease
        return
    if int(count) > 1:
        ranks.refuse_many_hosts(int(count))
    wait = float(os.environ.get("SATSYNTH_DEVICE_WAIT", "86400"))
    with devices.lease(int(count), wait_seconds=wait, log=log) as lease:
        yield lease


def _fail(error: SatsynthError) -> None:
    log.error("%s", error)
    log.debug("Where it was raised:", exc_info=error)  # the log file only
    raise SystemExit(1)


def _tell(job: Any) -> None:
    # Python writes the traceback to standard error; the log file gets it here.
    log.error("%s failed unexpectedly.", job.rule)
    log.debug("Where it was raised:", exc_info=True)


# Provenance -------------------------------------------------------------------------------------------------------------------


def _provenance(task: Task, lease: devices.Lease, started: str, seconds: float) -> dict:
    """How the outputs were made. Of large inputs only the size is told: their cards carry the hashes."""
    inputs = {}
    for path in _flat(task.input):
        facts: dict[str, object] = {"size": path.stat().st_size}
        if path.suffix in state.CARDS:
            facts["sha256"] = files.sha256(path)
        inputs[path.as_posix()] = facts
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        **{"rule": task.rule, "wildcards": task.wildcards, "cfg": task.cfg, "code": task.code, "raw": task.raw},
        **{"inputs": inputs, "versions": _versions(), "python": platform.python_version()},
        **{"host": platform.node(), "platform": platform.platform(), "cpus": os.cpu_count(), "threads": task.threads},
        **{"device": lease.kind, "devices": list(lease.devices), "device_name": _device_name()},
        **{"peak_memory_bytes": peak * (1 if sys.platform == "darwin" else 1024), "peak_device_bytes": _peak_device_bytes()},
        **{"started": started, "ended": telemetry.now(), "seconds": round(seconds, 3), "how": "computed", "restored": []},
    }


def _note_restored(entry: state.State, when: str) -> None:
    try:
        facts = files.read_json(entry.provenance)
    except (OSError, ValueError):
        log.warning("%s cannot be read, so this restoring is not noted.", entry.provenance)
        return
    facts.update(how="restored", restored=[*facts.get("restored", []), when])
    files.write_json(entry.provenance, facts)


def _versions() -> dict[str, str]:
    from importlib import metadata  # takes longer to import than a restored job to run

    found = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _device_name() -> str | None:
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_initialized() else None


def _peak_device_bytes() -> int | None:
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_initialized() else None
