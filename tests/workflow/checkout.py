"""A copy of the project in a temporary folder, run by the command line that users type."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config.yaml", "configs", "rules", "workflow_scripts", "satsynth", "profiles", "envs")
TINY = "configs/tiny.yaml"


def surroundings() -> dict[str, str]:
    """The environment without what would outrank the configs under test; a test that wants real data names it."""
    return {name: value for name, value in os.environ.items() if name != "SATSYNTH_DATA"}


class Checkout:
    """The project in `folder`; overlays are written beside it."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                shutil.copy2(source, folder / part)

    @classmethod
    def opened(cls, folder: Path) -> "Checkout":
        """One that is in `folder` already."""
        checkout = object.__new__(cls)
        checkout.folder = folder
        return checkout

    def copied(self, folder: Path) -> "Checkout":
        """A copy in `folder`, results and times with it."""
        shutil.copytree(self.folder, folder, copy_function=shutil.copy2, dirs_exist_ok=True)
        return Checkout.opened(folder)

    def overlay(self, name: str, value: dict) -> str:
        (self.folder / name).write_text(yaml.safe_dump(value))
        return name

    def command(self, *arguments: str, configs=(TINY,)) -> list[str]:
        # Targets first: --configfile and --resources take every word that follows them.
        options = ["--cores", "2", "--resources", "gpu=4", *(["--configfile", *configs] if configs else [])]
        return [sys.executable, "-m", "snakemake", *arguments, *options]

    def run(self, *arguments: str, configs=(TINY,), check: bool = True, **environment: str) -> str:
        done = subprocess.run(
            self.command(*arguments, configs=configs),
            cwd=self.folder,
            env=surroundings() | {"OMP_NUM_THREADS": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def start(self, *arguments: str, configs=(TINY,), output=subprocess.DEVNULL, **environment: str) -> subprocess.Popen:
        """A run in a process group of its own, so that all of it can be killed at once; `output` is a file for what it says."""
        return subprocess.Popen(
            self.command(*arguments, configs=configs),
            cwd=self.folder,
            env=surroundings() | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def planned(self, *arguments: str, configs=(TINY,)) -> dict[str, int]:
        """{rule: jobs} of a dry run, without `all`."""
        return count_jobs(self.run("-n", *arguments, configs=configs))


def count_jobs(text: str) -> dict[str, int]:
    """{rule: jobs} of what a dry run says, without `all`."""
    if "Nothing to be done" in text:
        return {}
    table = text.split("Job stats:", 1)[1].split("total", 1)[0]
    found = {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}
    found.pop("all", None)
    return found


def kill(process: subprocess.Popen) -> None:
    """SIGKILL for the run and everything that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
