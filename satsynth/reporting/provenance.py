"""What the report says of how its tables came about: what they were made of, and in a part of its own when, where and at what cost."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from satsynth.reporting import lineage as lines
from satsynth.reporting.grid import grid
from satsynth.reporting.lineage import Chain, Record
from satsynth.reporting.markup import NONE, count, listing

# Between these, the page says what differs from run to run; see `without_times`.
BEGIN, END = "<!-- times and hosts -->", "<!-- end of times and hosts -->"
HOUR = 3600.0


@dataclass(frozen=True)
class Used:
    """What jobs used.

    Args:
        gpu_seconds: seconds times leased GPUs.
        joules: energy of those GPUs; None where none was told.
        cpu_seconds: processor seconds.
        broken: attempts that were killed or failed.
        lacking: whether the energy of some GPUs is not told.
        bounded: whether some processor seconds are only known to be no more than that.
    """

    gpu_seconds: float = 0.0
    joules: float | None = None
    cpu_seconds: float = 0.0
    broken: int = 0
    lacking: bool = False
    bounded: bool = False

    def __add__(self, other: "Used") -> "Used":
        told = [joules for joules in (self.joules, other.joules) if joules is not None]
        return Used(
            self.gpu_seconds + other.gpu_seconds,
            sum(told) if told else None,
            self.cpu_seconds + other.cpu_seconds,
            self.broken + other.broken,
            self.lacking or other.lacking,
            self.bounded or other.bounded,
        )


def used(record: Record) -> Used:
    """What a job used when it was made, with all attempts that were broken off; that it was restored later costs nothing."""
    facts = record.facts
    rows = facts.get("attempts")
    if not rows:  # made before attempts were measured
        seconds, gpus = facts.get("seconds", 0.0), len(facts.get("devices", []))
        return Used(seconds * gpus, None, seconds * facts.get("threads", 1), lacking=gpus > 0, bounded=True)
    total = Used(broken=len(rows) - 1)
    for row in rows:
        lacking = row.get("devices", 0) > 0 and row.get("energy_joules") is None
        total += Used(row.get("gpu_seconds", 0.0), row.get("energy_joules"), row.get("cpu_seconds", 0.0), lacking=lacking)
    return total


def total(records: Iterable[Record]) -> Used:
    """What these jobs used together, each counted once."""
    return sum(map(used, dict.fromkeys(records)), Used())


def origins(chains: Mapping[str, Chain], titles: Mapping[str, str]) -> str:
    """What every table was made of: nothing that depends on when or on which host."""
    told = []
    for name, chain in chains.items():
        warnings = _warnings(chain)
        parts = _origin(chain) if chain.records else {}
        rows = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in parts.items())
        head = f"<strong>{escape(titles.get(name, name))}</strong> ({escape(name)})"
        body = "".join(f"<p><strong>{escape(line)}</strong></p>\n" for line in warnings) + (f"<dl>{rows}</dl>\n" if rows else "")
        shown = " open" if warnings else ""
        told.append(f'<details class="origin" id="made-{escape(name)}"{shown}>\n<summary>{head}</summary>\n{body}</details>')
    return "\n".join(["<h3>What each table was made of</h3>", *told]) if told else ""


def _warnings(chain: Chain) -> list[str]:
    """What is not as it should be; empty where every file is as a job wrote it."""
    if not chain.records:
        return ["State does not know which job made this table: its record was removed, or the table was made elsewhere."]
    told = []
    for edit in chain.edits:
        hashes = f"{edit.path}: SHA-256 {lines.short(edit.before)} then, {lines.short(edit.now)} now"
        if edit.path in chain.records[0].outputs:
            told.append(f"This table is not as the job wrote it: it was changed afterwards ({hashes}).")
        else:
            told.append(f"A file that this table rests on was changed after {edit.record.name} wrote it ({hashes}).")
    return told


def _origin(chain: Chain) -> dict[str, str]:
    records, real = chain.records, lines.real_data(chain.records)
    files = {file for one in records for file in one.facts.get("code") or {}}
    raw = sorted({one.facts["raw"] for one in records if one.facts.get("raw")})
    unknown = f"; {count(len(chain.unknown))} files come from jobs that state does not know" if chain.unknown else ""
    seeds = (f"{rule} {', '.join(map(str, numbers))}" for rule, numbers in lines.seeds(records).items())
    versions = (f"{package} {' and '.join(numbers)}" for package, numbers in lines.versions(records).items())
    return {
        "Jobs": f"{count(len(records))} back to the raw data{unknown}",
        "Config": f"{lines.config_digest(records)} (SHA-256 of the slices that these jobs read, 12 digits)",
        "Code": f"{lines.code_digest(records)} (SHA-256 of the statements of {count(len(files))} files)",
        "Data": f"{lines.digest(real)} (SHA-256 of {count(len(real))} stores of real pairs)" if real else "no store of real pairs",
        **({"Raw files": f"{', '.join(raw)} (digest of names, sizes and times)"} if raw else {}),
        "Seeds": "; ".join(seeds) or "none",
        "Packages": ", ".join(versions),
        "Devices": listing(lines.devices(records)),
    }


HEADER = ("Table", "Jobs", "Broken off", "GPU-hours", "GPU energy (Wh)", "CPU-hours", "From", "To", "Hosts")
NOTES = (
    "A job counts once in each table that rests on it, with all attempts at what lies there now: what comes back from state is free.",
    "GPU-hours are hours of leased devices; energy is that of whole GPUs as NVML tells it; CPU-hours are processor time, of all jobs.",
)


def cost(chains: Mapping[str, Chain], titles: Mapping[str, str]) -> str:
    """When, where and at what cost the tables were made: all that may differ between two runs of the same work."""
    unknown = sum(not chain.records for chain in chains.values())
    chains = {name: chain for name, chain in chains.items() if chain.records}
    if not chains:
        return ""
    rows = [_cost(titles.get(name, name), chain.records) for name, chain in chains.items()]
    if len(rows) > 1:
        rows.append(_cost("All tables, each job once", dict.fromkeys(one for chain in chains.values() for one in chain.records)))
    everything = total(one for chain in chains.values() for one in chain.records)
    notes = [*NOTES]
    if unknown:
        notes.append(f"Tables whose jobs state does not know, and which are not listed: {count(unknown)}.")
    if everything.lacking:
        notes.append("≥: of some GPUs NVML told no energy.")
    if everything.bounded:
        notes.append("≤: of some jobs only time and threads are known.")
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    table = grid(HEADER, rows, "What the jobs behind each table used, and when and where they ran (UTC)")
    return f'{BEGIN}\n{table}\n<ul class="notes">{listed}</ul>\n{END}'


def _cost(title: str, records: Iterable[Record]) -> tuple[str, ...]:
    records = list(records)
    sums = total(records)
    gpus = sums.gpu_seconds > 0
    energy = NONE if sums.joules is None else ("≥ " if sums.lacking else "") + _amount(sums.joules / HOUR)
    facts = [one.facts for one in records]
    begun = min((one["started"] for one in facts if one.get("started")), default=NONE)
    ended = max((one["ended"] for one in facts if one.get("ended")), default=NONE)
    return (
        title,
        count(len(records)),
        count(sums.broken),
        _amount(sums.gpu_seconds / HOUR) if gpus else NONE,
        energy,
        ("≤ " if sums.bounded else "") + _amount(sums.cpu_seconds / HOUR),
        begun.removesuffix("+00:00").replace("T", " "),
        ended.removesuffix("+00:00").replace("T", " "),
        ", ".join(sorted({one["host"] for one in facts if one.get("host")})) or NONE,
    )


def _amount(value: float) -> str:
    """A positive number with three digits that count, never in powers of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def without_times(page: str) -> str:
    """The page without what differs between two runs of the same work: times, hosts and what was used."""
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", f"{BEGIN}{END}", page, flags=re.DOTALL)
