"""What a job leaves for its own next run: checkpoints while it works, hard links of its outputs when it has finished.

The entry of a job is the folder `results/state/{rule}/{key}`, its key a hash of everything that the outputs depend on, so an
entry can never be picked up for other work. In an entry:

    work/            checkpoints; gone once the job has finished
    outputs/         the outputs, under their declared paths; the job writes them here
    manifest.json    size and SHA-256 of every output, a file or a folder of files; its presence means that the job has finished
    provenance.json  how the outputs were made; nobody's input
    attempts.json    what every attempt at this work used of its machine, killed ones too (see `satsynth.runtime.telemetry`)
    lock             held by the process that works on the entry

As a command, `python -m satsynth.runtime.state prune results/state` frees what nothing needs any more.
"""

import argparse
import contextlib
import fcntl
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from satsynth.runtime import files
from satsynth.runtime.errors import SatsynthError

log = logging.getLogger(__name__)
DAYS = 30
CARDS = (".json", ".csv")
ENTRY = re.compile(r"[0-9a-f]{32}(\.pruned)?")


def relative(path: str | Path) -> Path:
    """A path as it stands seen from the working folder; one outside of it is put under `outside/`."""
    path = Path(os.path.normpath(path))
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if path.is_absolute() or ".." in path.parts:
        path = Path("outside", *(part for part in path.parts if part not in ("..", path.anchor)))
    return path


def key(rule: str, wildcards: dict, cfg: object, code: object, raw: object, inputs: Iterable[str | Path]) -> str:
    """32 hexadecimal digits that name the work: equal where rule, wildcards, cfg, code, raw and input cards are equal.

    Args:
        rule: name of the rule.
        wildcards: name -> value.
        cfg: what the result depends on (JSON types).
        code: file -> digest of the code that makes the result.
        raw: digest of the raw data, or None.
        inputs: all input files in order. Of those that end in .json or .csv the content counts; large files (arrays, weights)
            have a card beside them that carries their hashes, so they are not read.

    Raises:
        OSError: an input card is missing.
        TypeError: a value is not of a JSON type.
    """
    cards = [[relative(path).as_posix(), files.sha256(path)] for path in map(Path, inputs) if path.suffix in CARDS]
    return key_of(rule, wildcards, cfg, code, raw, cards)


def key_of(rule: str, wildcards: dict, cfg: object, code: object, raw: object, cards: list) -> str:
    """What `key` gives, of cards whose content is known: [path as `relative` has it, hexadecimal SHA-256] of each, in order."""
    parts = {"rule": rule, "wildcards": wildcards, "cfg": cfg, "code": code, "raw": raw, "cards": cards}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]


class State:
    """The entry of one job. Use it inside `locked`.

    Args:
        root: folder of all entries, such as results/state.
        rule: name of the rule.
        key: what `key` gave.
    """

    def __init__(self, root: str | Path, rule: str, key: str):
        self.folder = Path(root) / rule / key
        self.work = self.folder / "work"
        self.staging = self.folder / "outputs"
        self.manifest = self.folder / "manifest.json"
        self.provenance = self.folder / "provenance.json"
        self.attempts = self.folder / "attempts.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator["State"]:
        """Hold the entry; whoever comes second with the same key waits here, and then finds the work done."""
        descriptor = self._lock()
        try:
            yield self
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _lock(self) -> int:
        while True:
            with contextlib.suppress(FileNotFoundError):  # the entry was pruned meanwhile: make it anew
                self.folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        log.info("Another process does this very work; waiting for it (%s).", self.folder)
                        fcntl.flock(descriptor, fcntl.LOCK_EX)
                    # A lock on a file that was pruned while we waited for it keeps nobody out.
                    if os.path.samestat(os.fstat(descriptor), (self.folder / "lock").stat()):
                        return descriptor
                    os.close(descriptor)
                except BaseException:
                    os.close(descriptor)
                    raise

    def staged(self, declared: str | Path) -> Path:
        """Where the job writes what will be the declared output."""
        return self.staging / relative(declared)

    def begin(self) -> None:
        """Make the folders of a job that is to be computed. Checkpoints stay; what an earlier attempt left half-written goes."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir(parents=True)
        self.work.mkdir(parents=True, exist_ok=True)
        files.remove_partials(self.folder)
        files.remove_partials(self.work)

    def finished(self, outputs: Iterable[str | Path]) -> bool:
        """Whether the work is done: there is a manifest, it has all these outputs, and every file is what it says.

        An entry that is not whole is logged and discarded, so that it is computed again.
        """
        if not self.manifest.is_file():
            return False
        fault = self._fault(outputs)
        if fault:
            log.warning("%s: %s; the entry is discarded.", self.folder, fault)
            # The attempts came to an end: beside those of the new work they would look like ones that were broken off.
            self.attempts.unlink(missing_ok=True)
            self.manifest.unlink()
            shutil.rmtree(self.staging, ignore_errors=True)
        return not fault

    def _fault(self, outputs: Iterable[str | Path]) -> str | None:
        try:
            manifest = files.read_json(self.manifest)
            known, folders = manifest["files"], manifest.get("folders", {})
            for declared in outputs:
                if relative(declared).as_posix() not in (*known, *folders):
                    return f"{declared} is not in its manifest"
            for name, facts in folders.items():
                if not (self.staging / name).is_dir() or files.digest_folder(self.staging / name) != facts:
                    return f"the folder {name} was changed since it was written"
            for name, facts in known.items():
                path = self.staging / name
                if not path.is_file():
                    return f"{name} is missing"
                if path.stat().st_size != facts["size"] or files.sha256(path) != facts["sha256"]:
                    return f"{name} was changed since it was written"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"its manifest cannot be read ({error})"
        return None

    def publish(self, outputs: Iterable[str | Path]) -> None:
        """Mark the work as done and put every staged file in its declared place; then drop the checkpoints.

        Raises:
            SatsynthError: the job has not written one of its outputs.
            DiskError: the disk is full.
        """
        outputs = [Path(output) for output in outputs]
        known, folders = {}, {}
        for declared in outputs:
            staged = self.staged(declared)
            if staged.is_dir():
                folders[relative(declared).as_posix()] = files.digest_folder(staged)
                continue
            if not staged.is_file():
                raise SatsynthError(declared, "the job ended without writing this output.", "Report it with the job's log file.")
            with open(staged, "rb") as file:
                os.fsync(file.fileno())
            known[relative(declared).as_posix()] = {"size": staged.stat().st_size, "sha256": files.sha256(staged)}
        if folders:
            os.sync()  # ten thousand files, each brought to the disk by itself, would take half a minute
        files.write_json(self.manifest, {"files": known} | ({"folders": folders} if folders else {}))
        self.restore(outputs)
        shutil.rmtree(self.work, ignore_errors=True)

    def restore(self, outputs: Iterable[str | Path]) -> None:
        """Put the finished outputs in their declared places, as new: hard links, or copies on another file system.

        The modification time is set to now, since Snakemake wants outputs to be younger than inputs. A folder appears whole, in the place
        of one that stood there, or not at all.
        """
        for declared in map(Path, outputs):
            if self.staged(declared).is_dir():
                self._restore_folder(declared)
                continue
            # Left by an attempt that was killed here; another link would also make `prune` keep what nothing needs.
            files.remove_partials(declared.parent, glob.escape(declared.name))
            with files.replacing(declared) as partial:
                partial.unlink(missing_ok=True)
                _link(self.staged(declared), partial)
                os.utime(partial)

    def _restore_folder(self, declared: Path) -> None:
        declared.parent.mkdir(parents=True, exist_ok=True)
        for left in declared.parent.glob(f".{glob.escape(declared.name)}.[0-9]*.partial"):  # by an attempt that was killed here
            shutil.rmtree(left)
        partial, before = (declared.with_name(f".{declared.name}.{os.getpid()}{number}.partial") for number in (0, 1))
        try:
            partial.mkdir()
            for path in files.walk(self.staged(declared)):
                target = partial / path.relative_to(self.staged(declared))
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(path, target)
            if declared.exists():
                declared.rename(before)
            partial.rename(declared)
        finally:
            for folder in (partial, before):
                shutil.rmtree(folder, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links; a copy says what else may be wrong
        shutil.copyfile(source, target)


# Pruning ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pruned:
    """An entry that was removed: its folder, the bytes that it freed, and why nothing needs it."""

    folder: Path
    size: int
    reason: str


def prune(root: str | Path, *, days: float = DAYS, dry_run: bool = False) -> list[Pruned]:
    """Remove the entries that nothing needs: finished ones whose outputs are all gone, and unfinished ones that nobody touched.

    Run it in the folder that the declared outputs are relative to. Entries in use are left alone.

    Args:
        root: folder of all entries, such as results/state.
        days: how many days an unfinished entry is kept after its last change.
        dry_run: remove nothing, but tell what would go.
    """
    removed = []
    # Only what is named like an entry: pointed at a wrong folder, this removes nothing.
    entries = [folder for folder in sorted(Path(root).glob("*/*")) if ENTRY.fullmatch(folder.name) and folder.is_dir()]
    for folder in entries:
        if folder.suffix:
            if not dry_run:
                shutil.rmtree(folder)  # left by a prune that was killed
            continue
        with _unless_in_use(folder) as free:
            reason = _needless(folder, days) if free else None
            if reason is None:
                continue
            removed.append(Pruned(folder, _size(folder), reason))
            if not dry_run:
                # First out of the way in one step, so that a job that comes now never sees half an entry.
                aside = folder.with_name(f"{folder.name}.pruned")
                folder.rename(aside)
                shutil.rmtree(aside)
    return removed


@contextlib.contextmanager
def _unless_in_use(folder: Path) -> Iterator[bool]:
    with open(folder / "lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _needless(folder: Path, days: float) -> str | None:
    manifest = folder / "manifest.json"
    if manifest.is_file():
        try:
            known = files.read_json(manifest)
            names = [*known["files"], *(name for part in known.get("folders", ()) for name in _below(folder / "outputs", part))]
        except (ValueError, KeyError, TypeError):
            return "its manifest cannot be read"
        return None if any(_in_place(folder / "outputs" / name, Path(name)) for name in names) else "its outputs are gone"
    # The lock counts for nothing here: looking at an entry touches it.
    times = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    age = (time.time() - max(times, default=folder.stat().st_mtime)) / 86400
    return f"unfinished, and unchanged for {age:.0f} days" if age >= days else None


def _below(outputs: Path, folder: str) -> list[str]:
    """The files of an output that is a folder, by the paths that they are declared under."""
    return [path.relative_to(outputs).as_posix() for path in files.walk(outputs / folder)]


def _in_place(kept: Path, declared: Path) -> bool:
    """Whether an output still stands: as a hard link, or as a copy where the file systems differ."""
    if not kept.is_file():
        return False
    if kept.stat().st_nlink > 1:
        return True
    if not declared.is_file() or declared.stat().st_dev == kept.stat().st_dev:
        return False
    return declared.stat().st_size == kept.stat().st_size


def _size(folder: Path) -> int:
    """Bytes that removing the folder frees: a file that has another link frees nothing."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink == 1)


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m satsynth.runtime.state", description="Look after the state of finished and killed jobs."
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("prune", help="remove entries whose outputs are gone, and old unfinished ones")
    command.add_argument("root", type=Path, help="folder of all entries, such as results/state")
    command.add_argument("--days", type=float, default=DAYS, help="keep unfinished entries this long (default: %(default)s)")
    command.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    chosen = parser.parse_args(arguments)
    removed = prune(chosen.root, days=chosen.days, dry_run=chosen.dry_run)
    for entry in removed:
        print(f"{entry.folder}: {entry.reason}, {entry.size / 1e6:.1f} MB")
    total = sum(entry.size for entry in removed) / 1e6
    print(f"{'Would free' if chosen.dry_run else 'Freed'} {total:.1f} MB in {len(removed)} entries.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
