"""A job does not outlive its workflow: without it nobody asks for the outputs, and a device would stay taken."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LOOKS = 1.0


@contextlib.contextmanager
def ending_with_parent() -> Iterator[None]:
    """During the block, send this process SIGTERM once its parent has died, as a scheduler would.

    `kill -9` of Snakemake alone tells its jobs nothing: they would go on for hours, and could put outputs of an old config in the place of
    new ones. Who is an orphan when the block begins goes on: its parent may have meant that.
    """
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            if os.getppid() != parent:
                log.warning("The workflow that started this job is dead: the job ends.")
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=watch, name="parent", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
