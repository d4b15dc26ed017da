"""What was found out about source files, kept for the next process among Snakemake's own records."""

import atexit
import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from satsynth.runtime import files
from satsynth.runtime.errors import DiskError

PLACE = Path(".snakemake")  # of the folder that is worked in; never made here
NAME = "satsynth-code.json"
OWN = Path(__file__).read_bytes()


class Kept:
    """Facts about files, each true of one content of its file: {name: [digest of content, fact]}.

    They are made again where they are missing, damaged, or of another Python or another reader, and are not written where Snakemake has no
    records or they may not be written: nothing but time depends on them.

    Args:
        reader: the source of the code that finds the facts, as it was loaded.
    """

    def __init__(self, reader: bytes):
        self._path = (PLACE / NAME).absolute()
        self._reader = _digest(OWN + reader + sys.version.encode())
        self._facts = self._load()
        self._changed = False
        atexit.register(self.save)

    def fact(self, name: str, content: bytes, find: Callable[[], object]) -> object:
        """What is kept for this content of the file `name`, else what `find` says: strings, numbers, and lists and maps of them."""
        digest = _digest(content)
        kept = self._facts.get(name)
        if kept is None or kept[0] != digest:
            kept = self._facts[name] = [digest, find()]
            self._changed = True
        return kept[1]

    def save(self) -> None:
        """Write what is new; of two processes that do, the last is kept."""
        if self._changed:
            text = json.dumps({"reader": self._reader, "sum": _sum(self._facts), "facts": self._facts})
            with contextlib.suppress(OSError, DiskError):  # a full disk, or a folder of somebody else's
                if self._path.parent.is_dir():
                    files.write_text(self._path, text)
            self._changed = False

    def _load(self) -> dict[str, list]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return found["facts"] if (found["reader"], found["sum"]) == (self._reader, _sum(found["facts"])) else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _sum(facts: object) -> str:
    return _digest(json.dumps(facts, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
