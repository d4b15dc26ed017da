"""What made a file, and why it would be made again, in words for a terminal."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from satsynth.reporting import lineage as lines
from satsynth.reporting.lineage import Edit, Lineage, Record, short
from satsynth.reporting.reasons import ABSENT, Change, Judged, Planned
from satsynth.runtime import state
from satsynth.runtime.logs import duration

SHOWN = 80  # letters of a value
ONE_BY_ONE = 3  # jobs of one rule with one reason, or files of one fate, that are listed by name
GONE = ("output", "outputs", "record")  # what every job has whose work was never done


# What made this file? -----------------------------------------------------------------------------------------------------------


def made(path: str, lineage: Lineage, *, deep: bool = False) -> list[str]:
    """Who made a file, of what, when and with what; with `deep` every job back to the raw data, a line each."""
    there, edit = Path(path).is_file(), lineage.edit(path)
    record = lineage.origin(path) if there else next(iter(lineage.all(path)), None)
    if record is None:
        return [f"{'No' if there else 'There is no such file, and no'} job whose state is in {lineage.root} made it."]
    facts = record.facts
    if not facts:
        return [f"Job {record.folder}, whose provenance.json cannot be read."]
    told = [] if there else ["There is no such file any more; this made it last."]
    told += [f"{_edited(edit)} What follows is of the file that it wrote.", ""] if edit else []
    told.append(f"Rule {record.name}; its state is {record.folder}.")
    told.append(_when(facts))
    told.append(f"SHA-256 {record.outputs[state.relative(path).as_posix()]}")
    cfg, code = facts.get("cfg") or {}, facts.get("code") or {}
    more = ":" if deep else " (DEEP=1 lists them)"
    told += [""] if deep else []
    told.append(f"Config slice {lines.digest(facts.get('cfg'))}{more}" if cfg else "It depends on no config value.")
    told += [*_yaml(cfg), ""] if deep else []
    told.append(f"Code {lines.digest(facts.get('code'))}, statements of {_count(len(code), 'file')}{more}")
    told += [f"  {digest}  {file}" for file, digest in code.items()] if deep else []
    chain = lineage.chain(record)
    told += ["", *_data(record, chain.records)]
    seeds = lines.seeds([record])
    told.append(f"Seeds: {', '.join(map(str, seeds[record.rule])) if seeds else 'none of its own'}")
    told.append("Packages: " + ", ".join(f"{package} {'/'.join(found)}" for package, found in lines.versions([record]).items()))
    told += ["", *_inputs(record, lineage)]
    if deep:
        in_time = sorted(reversed(chain.records), key=lambda one: one.facts.get("ended", ""))
        told += ["", f"All {len(chain.records)} jobs behind it:", *(f"  {_line(one)}" for one in in_time)]
        told += [f"  {path}: no job in state made it" for path in chain.unknown]
    return told


def _edited(edit: Edit) -> str:
    hashes = f"SHA-256 {short(edit.before)} then, {short(edit.now)} now"
    return f"{edit.path} was changed after {edit.record.name} wrote it ({hashes})."


def _when(facts: Mapping) -> str:
    attempts = facts.get("attempts", [])
    broken = f", after {_count(len(attempts) - 1, 'attempt')} broken off" if len(attempts) > 1 else ""
    resumed = " from what an earlier attempt had saved" if facts.get("resumed") else ""
    restored = facts.get("restored", [])
    back = f"; brought back from state {_count(len(restored), 'time')} since, last at {restored[-1]}" if restored else ""
    where = f"{lines.device(facts)} of {facts.get('host')} ({facts.get('platform')}, {_count(facts.get('threads', 0), 'thread')})"
    return f"Ended {facts.get('ended')} after {duration(facts.get('seconds', 0))} on {where}{resumed}{broken}{back}."


def _yaml(value: object, indent: int = 2) -> list[str]:
    """JSON values the way YAML is laid out; lists of plain values on one line."""
    told, space = [], " " * indent
    items = value.items() if isinstance(value, Mapping) else [(None, entry) for entry in value]
    for key, entry in items:
        head = "-" if key is None else f"{key}:"
        if _nested(entry):
            told += [f"{space}{head}", *_yaml(entry, indent + 2)]
        else:
            told.append(f"{space}{head} {entry if isinstance(entry, str) and entry else json.dumps(entry, ensure_ascii=False)}")
    return told


def _nested(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(entry, Mapping | list) for entry in value)
    return isinstance(value, Mapping) and bool(value)


def _data(record: Record, records: Iterable[Record]) -> list[str]:
    raw = record.facts.get("raw")
    told = [f"Raw files {raw} (a digest of their names, sizes and times)"] if raw else []
    real = lines.real_data(records)
    if real:
        told.append(f"Real pairs {lines.digest(real)}:")
        told += [f"  {short(sha256)}  {path}" for path, sha256 in real.items()]
    return told


def _inputs(record: Record, lineage: Lineage) -> list[str]:
    inputs = record.facts.get("inputs", {})
    if not inputs:
        return ["It reads no file that a rule makes."]
    told = [f"It read {len(inputs)} files; of those whose content counts, who made them:"]
    for path, sha256 in record.cards.items():
        maker = lineage.maker(path, sha256)
        told.append(f"  {short(sha256)}  {path}: {maker.name if maker else 'no job in state made it'}")
    return told


def _line(record: Record) -> str:
    facts = record.facts
    digests = f"config {lines.digest(facts.get('cfg'))}, code {lines.digest(facts.get('code'))}"
    raw = f", raw files {facts['raw']}" if facts.get("raw") else ""
    return f"{record.name}: {digests}{raw}, {duration(facts.get('seconds', 0))} on {lines.device(facts)}, {facts.get('ended')}"


# Why would this run again? ------------------------------------------------------------------------------------------------------


def again(judged: Judged, *, deep: bool = False) -> list[str]:
    """Why the job would run again, or that it would not: the answer first, then what it begins with; with `deep` what else changed."""
    waiting = _waiting(judged)
    verdict, *reasons = _verdict(judged, waiting, deep)
    keys = {change.what for one in (*waiting, judged) for change in one.changes if change.kind == "config"}
    # One who forgot the overlays of a run sees every key that they set.
    others = ["Made with other overlays? Name them: CONFIG=..."] if len(keys) > ONE_BY_ONE else []
    edits = [(one, edit) for one in _all_before(judged) for edit in one.edits]
    told = [line for one, edit in edits[:ONE_BY_ONE] for line in _keeping(edit, one.whole)]
    told += [f"Likewise {_count(len(edits) - ONE_BY_ONE, 'file')} more."] if len(edits) > ONE_BY_ONE else []
    return [verdict, *others, *reasons, *told]


def _verdict(judged: Judged, waiting: list[Judged], deep: bool) -> list[str]:
    job = judged.job
    if judged.fate == "stays":
        if judged.changes:
            return ["Snakemake would leave it as it is, although this differs from what made it:", *_changes(judged)]
        if judged.edits:
            return ["It would not, although what it made was changed afterwards."]
        return ["It would not: nothing that it depends on has changed."]
    if judged.fate == "restored":
        when = judged.record.facts.get("ended", "at an unknown time") if judged.record else ""
        told = [f"The work itself would not be done again: it was done before ({when}), and its outputs come back from state in seconds."]
        return [*told, "Why the job is started:", *(_changes(judged) or _snakemake(job))]
    if judged.fate == "computed":
        return [f"Yes: {job.name} would run, because", *_own(judged)]
    told = [f"Yes: {job.name} would run, because what it reads is made again."]
    if own := [change for change in judged.changes if change.kind not in GONE]:
        told += ["Of its own:", *_changes(replace(judged, changes=own))]
    told.append(f"{_count(len(waiting), 'job')} before it would be started; where it begins:")
    told += _grouped([one for one in waiting if one.fate == "computed"])
    later = [one for one in waiting if one.fate == "follows" and any(change.kind not in GONE for change in one.changes)]
    if later and deep:
        told += ["What else changed, in jobs after these:", *_grouped(later)]
    elif later:
        told.append(f"Of the jobs after these {_count(len(later), 'has', 'have')} changes of their own too (DEEP=1 lists them).")
    return told


def _keeping(edit: Edit, whole: bool) -> list[str]:
    back = "it comes back from state in seconds" if whole else "it is computed again, since state has no whole copy of it"
    return [_edited(edit), f"  Snakemake keeps it, and what reads it is made of it as it is. Delete it and run again: {back}."]


def _own(judged: Judged) -> list[str]:
    return _changes(judged) or _snakemake(judged.job)


def _snakemake(job: Planned) -> list[str]:
    return [f"  nothing that its result depends on has changed, but Snakemake says: {job.words}"]


def _waiting(judged: Judged) -> list[Judged]:
    """Every job before this one that would be started, from the raw data on."""
    return [one for one in _all_before(judged) if one.fate != "stays" and one is not judged]


def _all_before(judged: Judged, seen: dict[int, Judged] | None = None) -> list[Judged]:
    """This job behind all before it, from the raw data on."""
    seen = {} if seen is None else seen
    for other in judged.before:
        if id(other) not in seen:
            _all_before(other, seen)
    seen[id(judged)] = judged
    return list(seen.values())


def _grouped(roots: list[Judged]) -> list[str]:
    """The jobs by rule and reason, so that hundreds of seeds are one paragraph."""
    groups: dict[tuple, list[Judged]] = {}
    for one in roots:
        groups.setdefault((one.job.rule, tuple(_own(one))), []).append(one)
    told = []
    for (_, reasons), members in groups.items():
        names = [one.job.name for one in members]
        told += [f"  {name}" for name in names[:ONE_BY_ONE]]
        told += [f"  and {len(names) - ONE_BY_ONE} more of them"] if len(names) > ONE_BY_ONE else []
        told += [f"  {reason}" for reason in reasons]
    return told


def _changes(judged: Judged) -> list[str]:
    """A line a change; of many files with one fate the first few and how many more."""
    alike: dict[tuple[str, bool, bool], list[Change]] = {}
    for place, change in enumerate(judged.changes):
        kind = change.kind if change.kind in ("input", "code", "output") else f"{change.kind} {place}"
        alike.setdefault((kind, change.before is ABSENT, change.now is ABSENT), []).append(change)
    told = []
    for members in alike.values():
        told += [f"  {_change(change, judged.record)}" for change in members[:ONE_BY_ONE]]
        told += [f"  likewise {_count(len(members) - ONE_BY_ONE, 'file')} more"] if len(members) > ONE_BY_ONE else []
    return told


def _change(change: Change, record: Record | None) -> str:
    sides = f"{_shown(change.before)} -> {_shown(change.now)}"
    if change.kind == "config":
        return f"config {change.what}: {sides}"
    if change.kind == "code":
        verb = (
            "is new among its code"
            if change.before is ABSENT
            else "is no longer its code"
            if change.now is ABSENT
            else "has other statements"
        )
        return f"code {change.what} {verb}"
    if change.kind == "raw":
        return f"raw files that {change.what} reads were added, removed or changed (names, sizes or times): {sides}"
    if change.kind == "input":
        return f"input {change.what} {_verb(change, 'is a new input', 'is no longer an input', 'has another content')}"
    if change.kind == "output":
        return f"output {change.what} is not there"
    if change.kind == "outputs":
        return "nothing of what it makes is there"
    if change.kind == "rule":
        return f"the file on disk was made by {record.rule if record else change.before}, for other wildcards or by another rule"
    if change.kind == "state":
        return "its entry in state was changed since, so it is computed again"
    return "state has no record of it: it never finished here, or its state was pruned"


def _verb(change: Change, came: str, went: str, changed: str) -> str:
    return came if change.before is ABSENT else went if change.now is ABSENT else changed


def _shown(value: object) -> str:
    if value is ABSENT:
        return "(nothing)"
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        return f"{len(value)} entries"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number} {word if number == 1 else words or f'{word}s'}"
