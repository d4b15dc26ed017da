"""What a job says: plain lines, on standard error and in its log file, that read well in both."""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0
_ours: list[logging.Handler] = []


def setup(path: str | Path | None = None, level: int = logging.INFO) -> None:
    """Send the log to standard error (`level` and above) and, where a path is given, to that file (DEBUG and above of this project).

    The file is appended to, so that the lines of an attempt that was killed stay readable. Calling it again replaces what the
    first call set up.
    """
    root = logging.getLogger()
    while _ours:
        handler = _ours.pop()
        root.removeHandler(handler)
        handler.close()
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    console.setLevel(level)
    _ours.append(console)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        _ours.append(file)
    for handler in _ours:
        root.addHandler(handler)
    # Only our own loggers may be chatty: other libraries' DEBUG lines would drown the file.
    root.setLevel(logging.INFO)
    logging.getLogger("satsynth").setLevel(logging.DEBUG)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # tells every table of every font that it puts into a PDF
    logging.captureWarnings(True)


def duration(seconds: float) -> str:
    """Seconds as "0:07", "12:30" or "3:02:10"."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class Progress:
    """A line about a long loop at its start, at its end, and every ten seconds or so in between.

    Args:
        what: name of the loop, the first word of every line.
        total: units in the whole loop.
        unit: plural of the thing counted, such as "images".
        done: units that an earlier run did; they count as done, but not for the rate.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, what: str, total: int, unit: str, *, done: int = 0, clock: Callable[[], float] = time.monotonic):
        self.what, self.total, self.unit, self.first = what, total, unit, done
        self._clock = clock
        self._begun = self._said = clock()
        self._ended = False
        already = f", {done} of them done before" if done else ""
        log.info("%s: %d %s%s", what, total, unit, already)

    def update(self, done: int, **numbers: object) -> None:
        """Say how far the loop is, if a line is due.

        Args:
            done: units done so far, those of an earlier run included.
            numbers: shown at the end of the line; anything that `float` takes. They are read only when a line is due, so a
                tensor on a device costs no synchronisation in between.
        """
        now = self._clock()
        ends = done >= self.total and not self._ended
        if not ends and now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said, self._ended = now, self._ended or ends
        spent = max(now - self._begun, 1e-9)
        rate = (done - self.first) / spent
        percent = 100 * done // self.total if self.total else 100
        parts = [f"{done}/{self.total} {self.unit} ({percent} %)", f"{rate:.4g} {self.unit}/s"]
        if ends:
            parts.append(f"took {duration(spent)}")
        elif rate > 0:
            parts.append(f"{duration((self.total - done) / rate)} left")
        parts += [f"{name} {float(value):.4g}" for name, value in numbers.items()]
        log.info("%s: %s", self.what, ", ".join(parts))
