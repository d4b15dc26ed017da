"""What made a file, and why it would be made again, in words for a terminal."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from satsynth.reporting import lineage as lines
from satsynth.reporting.lineage import Lineage, Record, short
from satsynth.reporting.reasons import ABSENT, Change, Judged, Planned
from satsynth.runtime.logs import duration

SHOWN = 80  # letters of a value
ONE_BY_ONE = 3  # jobs of one rule with one reason, or files of one fate, that are listed by name


# What made this file? -----------------------------------------------------------------------------------------------------------


def made(path: str, lineage: Lineage, *, deep: bool = False) -> list[str]:
    """Who made a file, of what, when and with what; with `deep` every job back to the raw data, a line each."""
    there = Path(path).is_file()
    record = lineage.maker(path) if there else next(iter(lineage.all(path)), None)
    if record is None:
        known = f"no job whose state is in {lineage.root} made it" + (" as it is now" if lineage.all(path) else "")
        return [f"{'' if there else 'There is no such file, and '}{known}.".capitalize()]
    facts = record.facts
    if not facts:
        return [f"Job {record.folder}, whose provenance.json cannot be read."]
    told = [] if there else ["There is no such file any more; this made it last."]
    told.append(f"Rule {_name(record)}; its state is {record.folder}.")
    told.append(_when(facts))
    told.append(f"SHA-256 {lineage.sha256(path) if there else record.outputs[path]}")
    told += ["", f"Config slice {lines.digest(facts.get('cfg'))}:"] if facts.get("cfg") else ["", "It depends on no config value."]
    told += _yaml(facts.get("cfg") or {})
    told += ["", f"Code {lines.digest(facts.get('code'))}, statements of {len(facts.get('code') or {})} files:"]
    told += [f"  {digest}  {file}" for file, digest in (facts.get("code") or {}).items()]
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


def _name(record: Record) -> str:
    return " ".join([record.rule, *(f"{key}={value}" for key, value in record.wildcards.items())])


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
        told.append(f"  {short(sha256)}  {path}: {_name(maker) if maker else 'no job in state made it'}")
    return told


def _line(record: Record) -> str:
    facts = record.facts
    digests = f"config {lines.digest(facts.get('cfg'))}, code {lines.digest(facts.get('code'))}"
    raw = f", raw files {facts['raw']}" if facts.get("raw") else ""
    return f"{_name(record)}: {digests}{raw}, {duration(facts.get('seconds', 0))} on {lines.device(facts)}, {facts.get('ended')}"


# Why would this run again? ------------------------------------------------------------------------------------------------------


def again(judged: Judged) -> list[str]:
    """Why the job would run again, or that it would not."""
    job = judged.job
    if judged.fate == "stays":
        if not judged.changes:
            return ["It would not: nothing that it depends on has changed."]
        return ["Snakemake would leave it as it is, although this differs from what made it:", *_changes(judged)]
    if judged.fate == "restored":
        when = judged.record.facts.get("ended", "at an unknown time") if judged.record else ""
        told = [f"The work itself would not be done again: it was done before ({when}), and its outputs come back from state in seconds."]
        return [*told, "Why the job is started:", *(_changes(judged) or _snakemake(job))]
    if judged.fate == "computed":
        return [f"Yes: {job.name} would run, because", *_own(judged)]
    told = [f"Yes: {job.name} would run, because what it reads is made again."]
    if judged.changes:
        told += ["Of its own:", *_changes(judged)]
    told.append(f"{_count(len(_waiting(judged)), 'job')} before it would be started; where it begins:")
    return told + _grouped(_roots(judged))


def _own(judged: Judged) -> list[str]:
    return _changes(judged) or _snakemake(judged.job)


def _snakemake(job: Planned) -> list[str]:
    return [f"  nothing that its result depends on has changed, but Snakemake says: {job.words}"]


def _waiting(judged: Judged, seen: dict | None = None) -> dict:
    """Every job before this one that would be started."""
    seen = {} if seen is None else seen
    for other in judged.before:
        if other.fate != "stays" and id(other) not in seen:
            seen[id(other)] = other
            _waiting(other, seen)
    return seen


def _roots(judged: Judged) -> list[Judged]:
    """The jobs before this one whose work would be done for a reason of their own."""
    return [one for one in _waiting(judged).values() if one.fate == "computed" or (one.fate == "follows" and one.changes)]


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


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
