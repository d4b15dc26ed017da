"""File locks of a host, and a queue made of them. The kernel frees the lock of a process that dies, however it dies."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from satsynth.runtime.errors import DeviceError


def unusable(path: Path, error: OSError) -> DeviceError:
    """The error that says that no lock can be taken at `path`."""
    return DeviceError(path, f"no lock can be taken there ({error.strerror}).", "Set SATSYNTH_LOCKS to a folder on a local disk.")


def acquire(path: Path, *, wait: bool = False) -> int | None:
    """The descriptor of a file that is now locked by us, or None if another process holds it and we do not `wait` for it.

    Raises:
        DeviceError: the file cannot be made, or its file system knows no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise unusable(path, error) from error
    except BaseException:  # a signal while waiting
        os.close(descriptor)
        raise
    return descriptor


def release(descriptor: int) -> None:
    """Free a lock."""
    # Unlocking, not only closing: a forked child has the same lock open.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


class Ticket:
    """A place in the queue. A ticket is a locked file, so that of a dead process is known by its free lock.

    Only a job without older waiters for any device of its own pool may try: jobs with other devices need not wait for it.
    """

    def __init__(self, folder: Path, locks: set[str]):
        self._queue, self._locks = folder / "queue", locks
        with self._alone():
            self._number = max(self._numbers(), default=0) + 1
            self._descriptor = acquire(self._path(self._number))
            os.pwrite(self._descriptor, json.dumps(sorted(locks)).encode(), 0)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        # Held for moments only, by one process at a time; so no ticket is half-written or half-removed for those who look.
        descriptor = acquire(self._queue / "lock", wait=True)
        try:
            yield
        finally:
            release(descriptor)

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._queue.glob("*.ticket"))

    def _path(self, number: int) -> Path:
        return self._queue / f"{number:012d}.ticket"

    def ahead(self) -> int:
        """How many living processes came earlier for any of the same devices; who has 0 ahead may try."""
        count = 0
        with self._alone():
            for number in self._numbers():
                if number == self._number:
                    break
                path = self._path(number)
                descriptor = acquire(path)
                if descriptor is not None:  # its process is dead
                    path.unlink()
                    release(descriptor)
                elif not self._locks.isdisjoint(json.loads(path.read_text())):
                    count += 1
        return count

    def leave(self) -> None:
        """Give the place up."""
        with self._alone():
            self._path(self._number).unlink(missing_ok=True)
        release(self._descriptor)
