"""Who is at work: the jobs of one checkout, told by the locks of their state that their processes hold. Linux only."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SECONDS_TO_DIE = 300  # ends a broken test; it judges nothing
SECONDS_BETWEEN_LOOKS = 0.02


@dataclass(frozen=True)
class Worker:
    """A process that holds the entry of a job that has not finished."""

    process: psutil.Process
    rule: str
    key: str


def finished(folder: Path, rule: str, key: str) -> bool:
    """Whether the job's outputs are complete."""
    return (folder / "results/state" / rule / key / "manifest.json").is_file()


def of_checkout(folder: Path) -> list[psutil.Process]:
    """All processes that run a script of this checkout, at work or not."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(f"{folder}/.snakemake/scripts/" in word for word in process.cmdline()):
                found.append(process)
    return found


def workers(folder: Path) -> list[Worker]:
    """The jobs of a checkout that are at work: the process holds the lock of an entry without a manifest, and runs the rule's script."""
    found, root = [], folder / "results/state"
    for process in of_checkout(folder):
        with contextlib.suppress(psutil.Error, FileNotFoundError):
            locks = [file for file in process.open_files() if Path(file.path).is_relative_to(root) and file.path.endswith("/lock")]
            for file in locks:
                rule, key = Path(file.path).parts[-3:-1]
                # Who only waits for the lock has the file open, too; the kernel says who has it.
                held = "FLOCK" in Path(f"/proc/{process.pid}/fdinfo/{file.fd}").read_text()
                if held and not finished(folder, rule, key) and _runs_script_of(process, rule):
                    found.append(Worker(process, rule, key))
    return found


def _runs_script_of(process: psutil.Process, rule: str) -> bool:
    # .../tmpa1b2.tile_patches.py; rules made for one dataset have its name behind the script's.
    scripts = [word.rsplit(".", 2)[-2] for word in process.cmdline() if "/.snakemake/scripts/" in word]
    return any(rule.startswith(script) for script in scripts)


def wait_for_end(process: psutil.Process) -> None:
    """Wait until a process that was sent a signal has ended, whether or not its parent knows it yet."""
    end = time.monotonic() + SECONDS_TO_DIE
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > end:
                raise TimeoutError(f"process {process.pid} lives on after its signal")
            time.sleep(SECONDS_BETWEEN_LOOKS)
