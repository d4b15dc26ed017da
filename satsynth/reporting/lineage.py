"""What the state of finished jobs knows of a file: which job made it, of what, and of what that was made.

State is nobody's declared input: what is not there (pruned, or made elsewhere) is left out here, and never an error.
"""

import hashlib
import json
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from satsynth.runtime import files, state

DIGITS = 12  # of digests that people read
TEXTS = (*state.CARDS, ".md", ".tex")  # files that are small enough to be read on the way
REAL = re.compile(r"(^|/)real/[a-z]+/card\.json$")


@dataclass(frozen=True)
class Record:
    """One finished job.

    Args:
        folder: its entry in state.
        outputs: declared path -> hexadecimal SHA-256.
        folders: declared path -> what `satsynth.runtime.files.digest_folder` said, of outputs that are folders, as of an export.
    """

    folder: Path
    outputs: Mapping[str, str]
    folders: Mapping[str, Mapping] = field(default_factory=dict)

    @cached_property
    def facts(self) -> dict:
        """Its provenance.json; empty where that cannot be read."""
        try:
            found = files.read_json(self.folder / "provenance.json")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) and "rule" in found else {}

    @property
    def rule(self) -> str:
        """Name of the rule."""
        return self.folder.parent.name

    @property
    def wildcards(self) -> dict[str, str]:
        """Wildcards of the job."""
        return self.facts.get("wildcards") or {}

    @property
    def name(self) -> str:
        """The rule and its wildcards."""
        return " ".join([self.rule, *(f"{key}={value}" for key, value in self.wildcards.items())])

    @property
    def cards(self) -> dict[str, str]:
        """Input -> SHA-256, of the inputs whose content counts."""
        return {path: facts["sha256"] for path, facts in self.facts.get("inputs", {}).items() if "sha256" in facts}

    @property
    def when(self) -> str:
        """The last time that its outputs were put in their places, in UTC."""
        return max([*self.facts.get("restored", []), self.facts.get("ended", "")])

    def __hash__(self) -> int:
        return hash(self.folder)


@dataclass(frozen=True)
class Edit:
    """A file on disk that is not what any job wrote there.

    Args:
        path: the file.
        record: the job that wrote a file of this path.
        before, now: SHA-256 of what it wrote, and of what lies there.
    """

    path: str
    record: Record
    before: str
    now: str


@dataclass(frozen=True)
class Chain:
    """The job behind a file, and all before it.

    Args:
        records: the job itself first, each job once; none where state does not know it.
        unknown: inputs that no job in state made.
        edits: texts (cards, tables) that were changed after these jobs wrote them, or before these jobs read them.
    """

    records: list[Record] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)


class Lineage:
    """The finished jobs below `root`, such as results/state. Paths are relative to the working folder, as the rules declare them."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._by_path: dict[str, list[Record]] = {}
        self._beside: dict[str, str] = {}
        for record in _records(self.root):
            for path in record.outputs:
                self._by_path.setdefault(path, []).append(record)
            self._beside |= {folder: min(record.outputs) for folder in record.folders if record.outputs}
        self._hashes: dict[tuple[int, int], str] = {}

    def sha256(self, path: str | Path) -> str | None:
        """SHA-256 of a file as it is on disk, read once; None where there is none."""
        try:
            facts = Path(path).stat()
        except OSError:
            return None
        if not stat.S_ISREG(facts.st_mode):
            return None
        one = (facts.st_dev, facts.st_ino)  # of all its hard links
        if one not in self._hashes:
            self._hashes[one] = files.sha256(path)
        return self._hashes[one]

    def all(self, path: str | Path) -> list[Record]:
        """Every job that made a file of this path, the latest first."""
        return sorted(self._by_path.get(state.relative(path).as_posix(), []), key=lambda record: record.when, reverse=True)

    def spokesman(self, path: str | Path) -> str:
        """The file to ask about: the path itself or, where it lies in a folder that a job wrote whole, a file that the job wrote beside."""
        above = (parent.as_posix() for parent in state.relative(path).parents)
        return next((self._beside[folder] for folder in above if folder in self._beside), Path(path).as_posix())

    def maker(self, path: str | Path, sha256: str | None = None) -> Record | None:
        """The job that made a file: the one on disk or, where `sha256` is given, the one of that content."""
        name, found = state.relative(path).as_posix(), self.all(path)
        if found and sha256 is None:
            sha256 = self.sha256(path)
        return self._linked(path, [record for record in found if record.outputs[name] == sha256])

    def _linked(self, path: str | Path, found: list[Record]) -> Record | None:
        """Of these jobs the one whose kept copy is the very file on disk (state keeps hard links), else the first.

        The link says which job put the file there, never that it is still as the job wrote it: who writes into it writes into both.
        """
        name = state.relative(path).as_posix()
        linked = (record for record in found if _same(Path(path), record.folder / "outputs" / name))
        return next(linked, next(iter(found), None))

    def edit(self, path: str | Path) -> Edit | None:
        """How a file on disk differs from what a job wrote there; None where it does not, or where no job in state wrote it."""
        name, found = state.relative(path).as_posix(), self.all(path)
        now = self.sha256(path) if found else None
        if now is None or any(record.outputs[name] == now for record in found):
            return None
        record = self._linked(path, found)
        return Edit(Path(path).as_posix(), record, record.outputs[name], now)

    def origin(self, path: str | Path) -> Record | None:
        """The job that made a file or, where it was changed since, the one that had written it."""
        edit = self.edit(path)
        return edit.record if edit else self.maker(path)

    def whole(self, record: Record) -> bool:
        """Whether the copies in state are what the job wrote; where they are not, it is done again when its outputs are wanted."""
        kept = record.folder / "outputs"
        return all(self.sha256(kept / name) == sha256 for name, sha256 in record.outputs.items()) and all(
            (kept / name).is_dir() and files.digest_folder(kept / name) == facts for name, facts in record.folders.items()
        )

    def chain(self, *first: Record) -> Chain:
        """These jobs and all before them, told from the content of the cards that each had read."""
        records, unknown, waiting = dict.fromkeys(first), {}, list(first)
        while waiting:
            for path, sha256 in waiting.pop(0).cards.items():
                made = self.maker(path, sha256)
                if made is None:
                    unknown[path] = None
                elif made not in records:
                    records[made] = None
                    waiting.append(made)
        written = (path for record in records for path in record.outputs if Path(path).suffix in TEXTS)
        edits = map(self.edit, dict.fromkeys([*written, *unknown]))
        return Chain(list(records), list(unknown), [edit for edit in edits if edit])

    def chains(self, files: Mapping[str, str | Path]) -> dict[str, Chain]:
        """Name -> the jobs behind a file, or behind what it was before it was changed; an empty chain where state knows none."""
        origins = {name: self.origin(path) for name, path in files.items()}
        return {name: Chain() if record is None else self.chain(record) for name, record in origins.items()}


def _records(root: Path) -> Iterator[Record]:
    for manifest in sorted(root.glob("*/*/manifest.json")):
        if not state.ENTRY.fullmatch(manifest.parent.name):
            continue
        try:
            known = files.read_json(manifest)
            outputs, folders = {path: facts["sha256"] for path, facts in known["files"].items()}, dict(known.get("folders", {}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        yield Record(manifest.parent, outputs, folders)


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False


def short(digest: str) -> str:
    """As many digits of a digest as people compare."""
    return digest[:DIGITS]


def digest(value: object) -> str:
    """Short digest of JSON values."""
    return short(hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest())


def config_digest(records: Iterable[Record]) -> str:
    """One digest of the config slices of all these jobs."""
    return digest(sorted(json.dumps([one.rule, one.wildcards, one.facts.get("cfg")], sort_keys=True) for one in records))


def code_digest(records: Iterable[Record]) -> str:
    """One digest of the code of all these jobs."""
    return digest(sorted({json.dumps(one.facts.get("code"), sort_keys=True) for one in records}))


def real_data(records: Iterable[Record]) -> dict[str, str]:
    """Card -> SHA-256, of the stores of real pairs that these jobs read or made."""
    found = {path: sha256 for one in records for path, sha256 in {**one.outputs, **one.cards}.items() if REAL.search(path)}
    return dict(sorted(found.items()))


def seeds(records: Iterable[Record]) -> dict[str, list[int]]:
    """Rule -> every seed of its jobs, from their wildcards and config slices."""
    found: dict[str, set[int]] = {}
    for one in records:
        own = [value for key, value in leaves(one.facts.get("cfg")).items() if re.search(r"(^|[._])seed$", key)]
        own += [one.wildcards["seed"]] if "seed" in one.wildcards else []
        numbers = {int(value) for value in own if str(value).isdigit()}
        if numbers:
            found.setdefault(one.rule, set()).update(numbers)
    return {rule: sorted(numbers) for rule, numbers in sorted(found.items())}


def versions(records: Iterable[Record]) -> dict[str, list[str]]:
    """Package (python among them) -> the versions that these jobs ran with."""
    found: dict[str, set[str]] = {}
    for one in records:
        for package, version in {**one.facts.get("versions", {}), "python": one.facts.get("python")}.items():
            if version:
                found.setdefault(package, set()).add(version)
    return {package: sorted(numbers) for package, numbers in sorted(found.items())}


def devices(records: Iterable[Record]) -> list[str]:
    """What these jobs ran on: names of GPUs, "GPU" where the name was not told, "CPU"."""
    return sorted({device(one.facts) for one in records})


def device(facts: Mapping) -> str:
    """What a job ran on."""
    if facts.get("device") != "cuda":
        return "CPU"
    models = [gpu.get("model") for row in facts.get("attempts", []) for gpu in row.get("gpus", [])]
    return facts.get("device_name") or next(filter(None, models), "GPU")


def leaves(value: object, key: str = "") -> dict[str, object]:
    """Dotted key -> value, of nested maps and of lists of maps ("runs[2].seed"); other lists are values."""
    if isinstance(value, Mapping) and value:
        parts = {f"{key}.{name}" if key else str(name): inner for name, inner in value.items()}
    elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        parts = {f"{key}[{place}]": inner for place, inner in enumerate(value)}
    else:
        return {key: value} if key else {}
    return {name: leaf for part, inner in parts.items() for name, leaf in leaves(inner, part).items()}
