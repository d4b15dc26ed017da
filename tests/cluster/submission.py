"""A checkout whose jobs run under the SLURM of the tests, and what disturbs them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from checkout import TINY, Checkout, surroundings

PRETEND = Path(__file__).resolve().parent / "pretend"
# One thread a job everywhere, so that sums are added in the same order here and there; trainings long enough to be met in the middle.
GRID = {"segmenters": ["fpn"], "sources": ["cascade"]}
OVERLAY = {
    "devices": {"threads": 1, "cpu_threads": 1},
    "run": ["one", "two", "class_distribution"],
    "segmenters": {"fpn": {"training": {"steps": 24}}},
    "experiments": {
        "one": {"view": "gain", "size": 64, "grid": [{**GRID, "ratios": [0]}]},
        "two": {"view": "gain", "size": 64, "grid": [{**GRID, "ratios": [0, 1]}]},
    },
}
CONFIGS = (TINY, "cluster.yaml")
ONE = ("results/tables/one.csv",)
TWO = ("results/tables/two.csv",)


class Submission(Checkout):
    """The project in `folder`, run under the SLURM profile."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.overlay(CONFIGS[1], OVERLAY)
        self.log, self.leases = folder / "snakemake.txt", folder / "leases.txt"

    def command(self, *arguments: str, configs=CONFIGS) -> list[str]:
        soon = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
        profile = ["--workflow-profile", "profiles/slurm"]
        return [sys.executable, "-m", "snakemake", *arguments, *profile, *soon, "--configfile", *configs]

    def surroundings(self) -> dict[str, str]:
        """Jobs inherit it: a checkpoint after every step, and pretend GPUs."""
        path = os.pathsep.join(map(str, (self.folder, PRETEND)))
        return surroundings() | {"PYTHONPATH": path, "PRETEND_LEASES": str(self.leases), "SATSYNTH_CHECKPOINT_SECONDS": "0"}

    def run(self, *arguments: str, configs=CONFIGS, check: bool = True, **environment: str) -> str:
        return super().run(*arguments, configs=configs, check=check, **self.surroundings(), **environment)

    def start(self, *arguments: str, configs=CONFIGS, **environment: str) -> subprocess.Popen:
        """A run that is to be disturbed; what it says stands in `log`."""
        with open(self.log, "w") as log:
            return subprocess.Popen(
                self.command(*arguments, configs=configs),
                cwd=self.folder,
                env=self.surroundings() | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self, process: subprocess.Popen) -> str:
        """Wait for a run that shall end well; what it said."""
        assert process.wait() == 0, self.log.read_text()[-6000:]
        return self.log.read_text()

    # What happens in jobs ------------------------------------------------------------------------------------------------------

    def checkpoints(self) -> list[Path]:
        return list(self.folder.glob("results/state/train_segmenter/*/work/checkpoint.safetensors"))

    def saved(self) -> list[psutil.Process]:
        """The processes of this checkout that train a segmenter and have saved a checkpoint: they hold the lock of its entry."""
        locks = {str(path.parents[1] / "lock") for path in self.checkpoints()}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                script = any(word.endswith(".train_segmenter.py") for word in process.cmdline()[1:2])
                if script and locks.intersection(file.path for file in process.open_files()):
                    found.append(process)
        return found

    def hold(self, count: int, run: subprocess.Popen) -> list[psutil.Process]:
        """Stop each of `count` trainings as soon as it has a checkpoint; `release` lets them go on."""
        held: set[psutil.Process] = set()

        def all_are_held() -> bool:
            for process in set(self.saved()) - held:
                process.send_signal(signal.SIGSTOP)
                held.add(process)
            return len(held) == count

        until(all_are_held, run)
        return list(held)

    def texts(self, rule: str) -> str:
        """The logs of all jobs of a rule."""
        return "\n".join(path.read_text() for path in sorted((self.folder / "results/logs" / rule).glob("*.log")))


def release(held: list[psutil.Process]) -> None:
    for process in held:
        process.send_signal(signal.SIGCONT)


def until(condition, run: subprocess.Popen | None = None, seconds: float = 300) -> None:
    """Wait for something to be seen; the bound ends a broken test, it judges nothing."""
    end = time.monotonic() + seconds
    while not condition():
        assert run is None or run.poll() is None, "the run ended before it was disturbed"
        assert time.monotonic() < end, "nothing to see after a long wait"
        time.sleep(0.05)


def tables(checkout: Checkout, *names: str) -> dict[str, bytes]:
    """Name -> content of these tables in all their forms."""
    return {path.name: path.read_bytes() for path in sorted((checkout.folder / "results/tables").iterdir()) if path.stem in names}
