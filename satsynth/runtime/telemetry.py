"""What a job uses of its machine: processor time, and of leased GPUs the utilisation, memory, power and energy that NVML tells.

A thread looks every two seconds and keeps a row of the attempt in `attempts.json` of the job's state, so that attempts that were killed
count too. What NVML does not tell is None; none of it is ever an error, and none of it changes a result.
"""

import contextlib
import logging
import platform
import resource
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from satsynth.runtime import devices, files
from satsynth.runtime.errors import SatsynthError

log = logging.getLogger(__name__)
SECONDS_BETWEEN_READINGS = 2.0
SECONDS_BETWEEN_ROWS = 30.0  # what a killed attempt's row may lack


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cpu_seconds() -> float:
    """Processor seconds of this process and of its children that have ended, user and system."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _told(reading: Callable[[], Any]) -> Any | None:
    try:
        return reading()
    except Exception:  # whatever a driver raises: telemetry must not end a training
        return None


class _Gauge:
    """The readings of one device.

    Of a slice of a GPU (MIG) only the memory is read: NVML tells no utilisation of a slice, and power and energy of the whole GPU only.
    """

    def __init__(self, name: str, handle: object | None, clock: Callable[[], float]):
        self.name, self._nvml, self._handle, self._clock = name, _told(devices.nvml), handle, clock
        self._slice = name.startswith("MIG-")
        self._model = self._ask("nvmlDeviceGetName")
        self._utilisation: list[float] = []
        self._memory: list[float] = []
        self._power: list[tuple[float, float]] = []
        self._first = self._last = self._joules()

    def _ask(self, function: str, part: str | None = None) -> Any | None:
        def reading() -> Any:
            value = getattr(self._nvml, function)(self._handle)
            return value if part is None else getattr(value, part)

        return None if self._handle is None else _told(reading)

    def _joules(self) -> float | None:
        millijoules = None if self._slice else self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def read(self) -> None:
        """Take one reading."""
        if (used := self._ask("nvmlDeviceGetMemoryInfo", "used")) is not None:
            self._memory.append(used)
        if self._slice:
            return
        if (percent := self._ask("nvmlDeviceGetUtilizationRates", "gpu")) is not None:
            self._utilisation.append(percent)
        if (milliwatts := self._ask("nvmlDeviceGetPowerUsage")) is not None:
            self._power.append((self._clock(), milliwatts / 1000))
        self._last = self._joules()

    def row(self) -> dict:
        """What the readings come to."""
        energy, source = self._energy()
        return {
            **{"device": self.name, "model": self._model.decode() if isinstance(self._model, bytes) else self._model},
            **{"readings": max(map(len, (self._utilisation, self._memory, self._power)))},
            **{"utilisation_mean_percent": _mean(self._utilisation), "utilisation_max_percent": max(self._utilisation, default=None)},
            **{"memory_peak_bytes": max(self._memory, default=None), "power_mean_watts": self._mean_power()},
            **{"energy_joules": energy, "energy_from": source},
        }

    def _integral(self) -> float | None:
        """Joules by the trapezoidal rule, or None of fewer than two readings."""
        pairs = zip(self._power, self._power[1:])
        parts = [(second[0] - first[0]) * (first[1] + second[1]) / 2 for first, second in pairs]
        return round(sum(parts), 3) if parts else None

    def _energy(self) -> tuple[float | None, str | None]:
        # A driver that is loaded anew begins to count anew.
        if self._first is not None and self._last is not None and self._last >= self._first:
            return round(self._last - self._first, 3), "counter"
        energy = self._integral()
        return energy, None if energy is None else "power"

    def _mean_power(self) -> float | None:
        return _mean([watts for _, watts in self._power])


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


class Meter:
    """Measures an attempt at a job from entering the block until leaving it.

    Args:
        path: where the rows of all attempts at this job are kept; those of earlier attempts are read from there.
        lease: the devices that the attempt holds. Enter the block inside of `devices.lease`.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, path: Path, lease: devices.Lease, *, clock: Callable[[], float] = time.monotonic):
        self._path, self._lease, self._clock = path, lease, clock
        self._before = _earlier(path)
        self._alone, self._left = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)

    def __enter__(self) -> "Meter":
        self._started, self._begun, self._cpu = now(), self._clock(), cpu_seconds()
        handles = _told(lambda: devices.handles(self._lease.devices)) or dict.fromkeys(self._lease.devices)
        self._gauges = [_Gauge(name, handle, self._clock) for name, handle in handles.items()]
        self.read()
        self.keep()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        self._thread.join()
        self.read()
        self.keep()

    def read(self) -> None:
        """Take a reading of every device."""
        with self._alone:
            for gauge in self._gauges:
                gauge.read()

    def keep(self) -> None:
        """Write the rows of all attempts."""
        with self._alone, contextlib.suppress(OSError, SatsynthError):
            files.write_json(self._path, {"attempts": [*self._before, self._row()]})

    def attempts(self) -> list[dict]:
        """A row of every attempt so far, this one last.

        A row holds started (UTC), host, seconds, cpu_seconds, devices (number), gpu_seconds (seconds times devices), energy_joules (of
        all devices; None where one does not tell) and gpus, one dict a device: device (UUID, or as CUDA_VISIBLE_DEVICES has it),
        model, readings, utilisation_mean_percent, utilisation_max_percent, memory_peak_bytes (in use by all processes),
        power_mean_watts, energy_joules and energy_from ("counter", or "power": the integral of the readings).
        """
        with self._alone:
            return [*self._before, self._row()]

    def _row(self) -> dict:
        seconds, gpus = self._clock() - self._begun, [gauge.row() for gauge in self._gauges]
        energies = [gpu["energy_joules"] for gpu in gpus]
        return {
            **{"started": self._started, "host": platform.node(), "seconds": round(seconds, 3)},
            **{"cpu_seconds": round(cpu_seconds() - self._cpu, 3), "devices": len(gpus), "gpu_seconds": round(seconds * len(gpus), 3)},
            **{"energy_joules": round(sum(energies), 3) if energies and None not in energies else None, "gpus": gpus},
        }

    def _watch(self) -> None:
        due = self._clock() + SECONDS_BETWEEN_ROWS
        while not self._left.wait(SECONDS_BETWEEN_READINGS):
            self.read()
            if self._clock() >= due:
                due = self._clock() + SECONDS_BETWEEN_ROWS
                self.keep()


def _earlier(path: Path) -> list[dict]:
    try:
        found = files.read_json(path)["attempts"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) and all(isinstance(row, dict) for row in found) else []


def beside_benchmark(log_file: Path | None) -> Path | None:
    """`results/benchmarks/{rule}/{wildcards}.gpu.json` of the job that logs to `results/logs/{rule}/{wildcards}.log`; else None.

    Snakemake does not tell a script where its benchmark goes; logs and benchmarks of this project have the same names.
    """
    if log_file is None or "logs" not in log_file.parts[:-1]:
        return None
    parts = list(log_file.parts)
    place = len(parts) - 1 - parts[::-1].index("logs", 1)
    return Path(*parts[:place], "benchmarks", *parts[place + 1 : -1], f"{log_file.name.removesuffix('.log')}.gpu.json")


def report(attempts: list[dict], log_file: Path | None) -> None:
    """Write what the attempts used of GPUs beside the job's benchmark; nothing where there was no GPU."""
    path = beside_benchmark(log_file)
    if path is None or not any(row.get("gpus") for row in attempts):
        return
    try:
        files.write_json(path, {"attempts": attempts})
    except (OSError, SatsynthError) as error:
        log.debug("%s was not written: %s", path, error)
