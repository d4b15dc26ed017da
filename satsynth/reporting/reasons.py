"""Why a job would run again: what state recorded of its last run, beside what the rules and files are now."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from satsynth.reporting.lineage import TEXTS, Edit, Lineage, Record, leaves
from satsynth.runtime import state

ABSENT = object()  # of a key that one side lacks
# Keys of a slice that stand under another name in the config.
ALIASES = {"samplers[0]": "sampler", "samplers[1]": "then_sampler"}
SECTIONS = {
    **{"segmenter": "segmenters", "generator": "generators", "source": "sources", "figure": "figures", "experiment": "experiments"},
    **{"dataset": "datasets", "export": "exports"},
}
PLAIN = ("measures", "report")


@dataclass(frozen=True)
class Planned:
    """A job as the rules have it now.

    Args:
        rule, wildcards, cfg, code, raw: see `satsynth.runtime.state.key`.
        inputs, outputs: declared paths in order.
        runs: whether Snakemake would start it.
        words: why, as Snakemake says it.
    """

    rule: str
    wildcards: Mapping[str, str]
    cfg: object
    code: object
    raw: object
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    runs: bool
    words: str = ""

    @property
    def name(self) -> str:
        """The rule and its wildcards."""
        return " ".join([self.rule, *(f"{key}={value}" for key, value in self.wildcards.items())])


@dataclass(frozen=True)
class Change:
    """One thing that differs: `what` of a kind, and how.

    Kinds: "config", "code", "raw", "input", "output", "outputs" (none of them is there), "rule", "record" (state has none), "state" (its
    copies were changed).
    """

    kind: str
    what: str
    before: object = ABSENT
    now: object = ABSENT


@dataclass
class Judged:
    """What would become of a job.

    Args:
        job: the job.
        fate: "stays" (it is not started), "restored" (started, and its outputs come back from state), "computed" (the work is done),
            or "follows" (its inputs are made anew; only then is it known which of the two).
        changes: what differs from the last run, where there is one.
        record: the last run, or the one that the outputs come back from.
        before: the jobs that it waits for.
        edits: of a job that stays, texts (and files that were asked for) that were changed after it wrote them.
        whole: whether its outputs would come back from state now, were they deleted.
    """

    job: Planned
    fate: str
    changes: list[Change] = field(default_factory=list)
    record: Record | None = None
    before: list["Judged"] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    whole: bool = False


def judge(
    jobs: Sequence[Planned], lineage: Lineage, resolved: Mapping, *, config: Mapping | None = None, asked: Iterable[str] = ()
) -> dict[str, Judged]:
    """What would become of every job.

    Args:
        jobs: every job behind the files in question.
        lineage: the state of finished jobs.
        resolved: the config, every stanza whole; keys of a slice are told as they stand there.
        config: the config as it was written, where stanzas extend each other.
        asked: files that are compared with what was recorded of them, however large they are.

    Returns:
        Output -> what would become of the job that makes it.
    """
    makers = {path: job for job in jobs for path in job.outputs}
    judged: dict[str, Judged] = {}
    asked = set(asked)
    contents: dict[str, str | None] = {}  # of outputs that will be written: SHA-256, None where only the work will tell

    def content(path: str) -> str | None:
        return contents[path] if path in contents else lineage.sha256(path)

    def visit(job: Planned) -> Judged:
        if job.outputs[0] in judged:
            return judged[job.outputs[0]]
        earlier = {makers[path].outputs[0]: makers[path] for path in job.inputs if path in makers}
        before = [visit(other) for other in earlier.values()]
        cards = {path: content(path) for path in job.inputs if Path(path).suffix in state.CARDS}
        kept = _kept(job, cards, lineage)
        edits = [lineage.edit(path) for path in job.outputs if path in asked or Path(path).suffix in TEXTS] if not job.runs else []
        edits = [edit for edit in edits if edit]
        # Copies are read only where they may be needed: they can be large.
        whole = kept is not None and (job.runs or bool(edits)) and lineage.whole(kept)
        if not job.runs:
            fate = "stays"
        elif None in cards.values():
            fate = "follows"
        else:
            fate = "restored" if whole else "computed"
        last = _last(job, lineage)
        changes = _changes(job, cards, last, resolved, config or {})
        if fate == "computed" and kept:
            changes.append(Change("state", kept.folder.as_posix()))
        found = Judged(job, fate, changes, kept if fate == "restored" else last, before, edits, whole)
        if job.runs:
            # Of a folder there is no one hash; nothing is made of what is in it.
            contents.update({path: kept.outputs.get(state.relative(path).as_posix()) if whole else None for path in job.outputs})
        judged.update(dict.fromkeys(job.outputs, found))
        return found

    for job in jobs:
        visit(job)
    return judged


def _kept(job: Planned, cards: Mapping[str, str | None], lineage: Lineage) -> Record | None:
    """The finished work of the very key that the job has now."""
    if None in cards.values():
        return None
    # In order, and as often as a path is an input: so the key has it.
    named = [[state.relative(path).as_posix(), cards[path]] for path in job.inputs if path in cards]
    key = state.key_of(job.rule, dict(job.wildcards), job.cfg, job.code, job.raw, named)
    found = [record for record in lineage.all(job.outputs[0]) if record.folder.name == key]
    names = {state.relative(path).as_posix() for path in job.outputs}
    return next((record for record in found if names <= {*record.outputs, *record.folders}), None)


def _last(job: Planned, lineage: Lineage) -> Record | None:
    """The job that made the outputs that are on disk, else the latest that made files of these paths."""
    there = [path for path in job.outputs if Path(path).is_file()]
    if there:  # one tells it, and a small one soonest
        return lineage.origin(min(there, key=lambda path: (Path(path).suffix not in state.CARDS, Path(path).stat().st_size)))
    return next(iter(lineage.all(job.outputs[0])), None)


def _changes(job: Planned, cards: Mapping[str, str | None], last: Record | None, resolved: Mapping, config: Mapping) -> list[Change]:
    missing = [Change("output", path) for path in job.outputs if not Path(path).exists()]  # some are folders
    if len(missing) == len(job.outputs):
        missing = [Change("outputs", job.rule)]
    if last is None or not last.facts:
        return [*missing, Change("record", job.outputs[0])]
    facts, changes = last.facts, list(missing)
    if (last.rule, last.wildcards) != (job.rule, dict(job.wildcards)):
        changes.append(Change("rule", job.outputs[0], last.rule, job.rule))
    # Some rules are one a dataset, or an export, and bear its name.
    named = [{"dataset": name} for name in resolved.get("datasets", {}) if job.rule in (f"generate_scenes_{name}", f"tile_patches_{name}")]
    named += [{"export": name} for name in resolved.get("exports", {}) if job.rule == f"export_pairs_{name}"]
    wildcards = next(iter(named), {}) | dict(job.wildcards)
    for key, before, now in _differing(facts.get("cfg"), job.cfg):
        changes.append(Change("config", config_key(key, now, wildcards, resolved, config), before, now))
    changes += [Change("code", file, before, now) for file, before, now in _differing(facts.get("code") or {}, job.code or {})]
    if facts.get("raw") != job.raw:
        changes.append(Change("raw", job.rule, facts.get("raw"), job.raw))
    known = {path: sha256 for path, sha256 in cards.items() if sha256 is not None}
    return changes + [
        Change("input", path, before, now)
        for path, before, now in _differing(last.cards, {**{path: last.cards.get(path) for path in cards}, **known})
    ]


def _differing(before: object, now: object) -> list[tuple[str, object, object]]:
    """Dotted key, value before and value now, of everything that differs."""
    # What state holds has been JSON: tuples have become lists, and keys text.
    return list(_walk("", *(json.loads(json.dumps(value)) for value in (before, now))))


def _walk(key: str, before: object, now: object) -> Iterator[tuple[str, object, object]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            yield from _walk(f"{key}.{name}" if key else name, before.get(name, ABSENT), now.get(name, ABSENT))
    elif before != now and _maps(before) and _maps(now) and len(before) == len(now):
        for place, sides in enumerate(zip(before, now)):
            yield from _walk(f"{key}[{place}]", *sides)
    elif before != now:
        yield key, before, now


def _maps(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def config_key(key: str, now: object, wildcards: Mapping[str, str], resolved: Mapping, config: Mapping | None = None) -> str:
    """The key of a slice as the user would write it in the config, where that is known beyond doubt; else as it stands in the slice.

    Args:
        key: dotted key in the slice of a job.
        now: its value there.
        wildcards: of the job; they say which stanzas it can come from.
        resolved: the config, every stanza whole.
        config: the config as it was written: a key that a stanza has from one that it extends is told as the key of that one.
    """
    for alias, name in ALIASES.items():
        if key.startswith(f"{alias}."):
            key = name + key.removeprefix(alias)
    places = {section: resolved.get(section) for section in PLAIN}
    for wildcard, section in SECTIONS.items():
        if wildcard in wildcards:
            places[f"{section}.{wildcards[wildcard]}"] = resolved.get(section, {}).get(wildcards[wildcard])
    for place, stanza in places.items():
        fitting = [name for name, value in leaves(stanza).items() if f".{name}".endswith(f".{key}") and value == now]
        if key in fitting or len(fitting) == 1:
            found = key if key in fitting else fitting[0]
            return f"{_written(place, found, config or {})}.{found}"
    return key


def _written(place: str, key: str, config: Mapping) -> str:
    """The stanza that a key of the stanza `place` was written in, or `place` where it is a preset's."""
    section, _, name = place.partition(".")
    stanzas, seen = config.get(section) or {}, []
    while name and name in stanzas and name not in seen:
        seen.append(name)
        stanza = stanzas[name] or {}
        if key in leaves(stanza):
            return f"{section}.{name}"
        name = stanza.get("extends")
    return place
