"""What was found out about source files, kept for the next process among Snakemake's own records."""

import atexit
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

PLACE = Path(".snakemake")  # of the folder that is worked in; never made here
NAME = "satsynth-code.json"


class Kept:
    """Facts about files, each true of one content of its file: {name: [digest of content, fact]}.

    They are made again where they are missing, broken, or of another Python or another reader, and are not written where Snakemake has no
    records or they may not be written: nothing but time depends on them.

    Args:
        reader: the source file whose code finds the facts.
    """

    def __init__(self, reader: Path):
        self._path = (PLACE / NAME).absolute()
        self._reader = _digest(reader.read_bytes() + sys.version.encode())
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
        if not self._changed or not self._path.parent.is_dir():
            return
        partial = self._path.with_name(f"{NAME}.{os.getpid()}")
        try:
            partial.write_text(json.dumps({"reader": self._reader, "facts": self._facts}), encoding="utf-8")
            os.replace(partial, self._path)  # half a file is never read
        except OSError:  # a full disk, or a folder of somebody else's
            with contextlib.suppress(OSError):
                partial.unlink()
        self._changed = False

    def _load(self) -> dict[str, list]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            facts = found["facts"] if found["reader"] == self._reader else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return facts if isinstance(facts, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
