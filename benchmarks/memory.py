"""Memory of processes, as the kernel counts it."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path


def peak() -> float:
    """The most memory that this process has held so far (resident), in MB of 2^20 bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's other figure, ru_maxrss, counts what the starting process held before this program was loaded
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def added(call: Callable[..., object], *arguments: object) -> float:
    """How far a call lifts the peak of a process of its own, in MB: what interpreter and imports hold is not counted.

    Args:
        call: a function of a module; what it imports should be imported there, at the top.
        arguments: of the call; pickled.

    Raises:
        RuntimeError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(there, call, *arguments))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError as error:
        raise RuntimeError(f"{call.__name__} ended without an answer; its traceback stands above.") from error
    finally:
        process.join()


def _measured(pipe: Connection, call: Callable[..., object], *arguments: object) -> None:
    before = peak()
    call(*arguments)
    pipe.send(peak() - before)
