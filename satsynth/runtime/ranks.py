"""One job in several processes: the job itself is rank 0 and starts the others, each of which does the same work of the same script.

A rank is told what to do by a line of JSON on its standard input. The end of that stream tells it that rank 0 is gone, however it
went, and it goes too. What the ranks agree on while they work is the business of `satsynth.distributed`.

    python -m satsynth.runtime.ranks workflow_scripts/train_generator.py < task.json
"""

import contextlib
import json
import logging
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from satsynth.runtime import logs
from satsynth.runtime.errors import DeviceError, SatsynthError
from satsynth.runtime.task import Task

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
RANK, MEETING = "SATSYNTH_RANK", "SATSYNTH_MEETING"
SECONDS_TO_SAY_WHY = 20.0  # an error on all ranks at once is told by rank 0 itself, if it is given the time
SECONDS_TO_LEAVE = 30.0


@dataclass(frozen=True)
class Rank:
    """Which process this is: number `number` of `count`, which meet at the file `meeting`."""

    number: int
    count: int
    meeting: Path


def this() -> Rank | None:
    """The rank of this process; None for a job of one process."""
    if RANK not in os.environ:
        return None
    number, count = map(int, os.environ[RANK].split("/"))
    return Rank(number, count, Path(os.environ[MEETING]))


@contextlib.contextmanager
def started(task: Task) -> Iterator[Rank]:
    """The ranks of a job, one a leased device, for the time of the block; in a process that is one of them already, nothing is started.

    Args:
        task: the job's; its rule names the script that the other ranks run.

    Raises:
        DeviceError: the devices are slices of GPUs.
    """
    rank = this()
    if rank is not None:
        yield rank
        return
    refuse_slices(task.gpus)
    # Ranks of one host talk over its loopback device, whatever the host's name stands for.
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo")
    with tempfile.TemporaryDirectory(prefix="satsynth-ranks-") as folder:
        meeting = Path(folder) / "meeting"
        others = [_start(task, number, meeting) for number in range(1, task.gpus)]
        ended = threading.Event()
        threading.Thread(target=_watch, args=(others, ended, meeting.parent), daemon=True).start()
        try:
            yield Rank(0, task.gpus, meeting)
            ended.set()
            _wait(others, SECONDS_TO_LEAVE)
        except BaseException:
            for number, process in enumerate(others, 1):
                if process.poll() not in (None, 0):
                    log.error("Rank %d of %d had ended with status %d before.", number, task.gpus, process.returncode)
            raise
        finally:
            ended.set()
            _stop(others)


def refuse_many_hosts(count: int) -> None:
    """Refuse a job that a scheduler spread over several hosts.

    Raises:
        DeviceError: see above.
    """
    told = (os.environ.get(name, "1") for name in ("SLURM_JOB_NUM_NODES", "SLURM_NNODES", "SLURM_STEP_NUM_NODES"))
    hosts = max((int(number) for number in told if number.isdigit()), default=1)
    if hosts > 1:
        cause = f"the job was given {hosts} hosts, and all devices of a training must be on one."
        raise DeviceError(f"resources gpu={count}", cause, "Set nodes: 1 in the profile, and gpu to what one host has.")


def refuse_slices(count: int) -> None:
    """Refuse several slices of GPUs (MIG): CUDA shows a process one of them.

    Raises:
        DeviceError: see above.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "").count("MIG-") > 1:
        cause = "the devices are slices of GPUs (MIG), of which one job can use only one."
        raise DeviceError(f"resources gpu={count}", cause, "Set gpu: 1, or use whole GPUs.")


def _start(task: Task, number: int, meeting: Path) -> subprocess.Popen:
    environment = {
        **os.environ,
        **{RANK: f"{number}/{task.gpus}", MEETING: str(meeting)},
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    script = ROOT / "workflow_scripts" / f"{task.rule}.py"
    process = subprocess.Popen([sys.executable, "-m", __name__, str(script)], stdin=subprocess.PIPE, env=environment, text=True)
    process.stdin.write(json.dumps(asdict(task), default=str) + "\n")
    process.stdin.flush()
    return process


def _watch(others: list[subprocess.Popen], ended: threading.Event, folder: Path) -> None:
    """End this process when another rank has failed: rank 0 may wait for it in a call that no signal reaches."""
    while not ended.wait(0.2):
        failed = [number for number, process in enumerate(others, 1) if process.poll() not in (None, 0)]
        if not failed or ended.wait(SECONDS_TO_SAY_WHY):
            continue
        log.error("Rank %d of %d ended with status %d; so does this job.", failed[0], len(others) + 1, others[failed[0] - 1].returncode)
        _stop(others)
        shutil.rmtree(folder, ignore_errors=True)
        logging.shutdown()
        os._exit(1)


def _wait(others: list[subprocess.Popen], seconds: float) -> None:
    end = time.monotonic() + seconds
    for number, process in enumerate(others, 1):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
        if process.returncode != 0:
            log.warning("Rank %d had nothing left to do and ended with status %s.", number, process.returncode)


def _stop(others: list[subprocess.Popen]) -> None:
    for process in others:
        with contextlib.suppress(OSError):
            process.stdin.close()  # tells it to go
    end = time.monotonic() + 2.0
    for process in others:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# Another rank -----------------------------------------------------------------------------------------------------------------


def _follow() -> None:
    """Leave when the stream from rank 0 ends."""
    while sys.stdin.read(1):
        pass
    shutil.rmtree(Path(os.environ[MEETING]).parent, ignore_errors=True)  # rank 0 does it, unless it was killed
    os._exit(1)


def main(script: str) -> int:
    """Do the work of `script` as the rank that the environment names; the task is read from standard input."""
    task = Task.from_json(json.loads(sys.stdin.readline()))
    threading.Thread(target=_follow, daemon=True).start()
    logs.setup(None, level=logging.ERROR)  # what all ranks would say is said by rank 0
    work = runpy.run_path(script, run_name="rank")["work"]
    try:
        work(task)
    except SatsynthError as error:
        log.error("rank %s: %s", os.environ[RANK], error)
        return 1
    except BaseException:
        log.exception("rank %s failed unexpectedly", os.environ[RANK])
        return 1
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1])
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)  # neither collectives under way nor the thread that reads standard input may hold it
