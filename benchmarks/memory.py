"""Memory of processes, as the kernel counts it, in MB of 2^20 bytes."""

import multiprocessing
import os
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak() -> float:
    """The most memory that this process has held so far."""
    if STATUS.exists():  # Linux's other figure, ru_maxrss, counts what the starting process held before this program was loaded
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    """The memory that this process holds now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def added(call: Callable[..., object], *arguments: object) -> float:
    """How far a call lifts the peak of a process of its own: what interpreter and imports hold is not counted.

    Args, Raises: see `in_process`.
    """
    return in_process(_lifted, call, *arguments)


def in_process(call: Callable[..., object], *arguments: object) -> object:
    """The value of a call in a new process.

    Args:
        call: a function of a module; what it imports should be imported there, at the top.
        arguments: of the call; pickled, as the value is.

    Raises:
        RuntimeError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(there, call, *arguments))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError as error:
        raise RuntimeError(f"{call.__name__} ended without an answer; its traceback stands above.") from error
    finally:
        process.join()


def _lifted(call: Callable[..., object], *arguments: object) -> float:
    before = peak()
    call(*arguments)
    return peak() - before


def _answer(pipe: Connection, call: Callable[..., object], *arguments: object) -> None:
    pipe.send(call(*arguments))
