"""What `check_data` prints: the report of a dataset (see `satsynth.datasets.inspection`) as lines for a terminal."""

import re
import textwrap
from collections.abc import Iterable, Sequence

from satsynth.datasets.wording import some
from satsynth.reporting.markup import count, listing

WIDE = 120
WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}
MOST_TOLD = 12  # errors, warnings or values that a terminal shows; the page has all
EXAMPLES = 3
# What differs between two errors of one kind: quoted names, what stands in brackets, paths, names of files and of what is numbered.
DETAILS = re.compile(r"""'[^']*'|"[^"]*"|\([^()]*\)|\S*/\S*|\S+\.[A-Za-z]{2,8}\b|\S*\d\S*""")


def headline(name: str, report: dict) -> str:
    """One sentence: how much there is of each split."""
    parts = []
    for split, tally in report["splits"].items():
        left_out = f" ({count(tally['left_out'])} left out for max_ignore)" if tally["left_out"] else ""
        parts.append(f"{split} {count(tally['scenes'])} scenes, {count(tally['patches'])} patches of {report['size']} px{left_out}")
    return f"{name}: {'; '.join(parts)}"


def shares(report: dict) -> list[tuple[str, ...]]:
    """A row a class, and one of what is unlabelled: name, then pixels, share and scenes of each split."""
    rows = []
    for place, name in enumerate([*report["classes"], "(unlabelled)"]):
        row = [name]
        for tally in report["splits"].values():
            pixels = [*tally["pixels"], tally["ignored"]]
            share = 100 * pixels[place] / max(1, sum(pixels))
            scenes = count(tally["in_scenes"][place]) if place < len(report["classes"]) else "–"
            row += [count(pixels[place]), f"{share:.2f} %", scenes]
        rows.append(tuple(row))
    return rows


def share_header(report: dict) -> tuple[str, ...]:
    """The header of `shares`."""
    return ("class", *(f"{split}: {what}" for split in report["splits"] for what in ("pixels", "share", "scenes")))


def file_lines(report: dict) -> list[str]:
    """What the files are: kinds, sizes, pairs and what is missing."""
    found = report["files"]
    lines = [f"images: {kind} ({count(number)})" for kind, number in found["images"].items()]
    lines += [f"masks: {kind} ({count(number)})" for kind, number in found["masks"].items()]
    if found["annotations"]:
        number = len(found["annotations"])
        lines.append(f"annotations: {f'{count(number)} files, such as ' if number > 1 else ''}{found['annotations'][0]}")
    if found["smallest"]:
        small, large = (f"{width} x {height}" for width, height in (found["smallest"], found["largest"]))
        lines.append(f"size: {small} px" if small == large else f"size: {small} to {large} px")
    for what, without in found["without_data"].items():
        if without["files"]:
            said = ", ".join(f"{how}: {count(number)}" for how, number in without["said"].items())
            share = 100 * without["pixels"] / max(1, found["pixels"])
            lines.append(f"{what} that say where they have no data: {said}; it is {share:.2f} % of all pixels, which are unlabelled")
    for what, key in (("images without a mask", "images_without_mask"), ("masks without an image", "masks_without_image")):
        number, names = found[f"{key}_count"], found[key]
        such = f", such as {', '.join(names[:EXAMPLES])}" if number else ""
        lines.append(f"{what}: {count(number)}{such}")
    return lines


def split_line(report: dict, split: str, most: int = EXAMPLES) -> str:
    """Which scenes a split has: the values of the wildcards that divided it, and the names of the first `most` scenes."""
    tally = report["splits"][split]
    parts = [f"{{{wildcard}}} {some(values, MOST_TOLD)}" for wildcard, values in tally["values"].items() if values]
    names = f": {some(tally['names'], most)}" if tally["names"] else ""
    parts.append(f"{count(tally['scenes'])} scene{'s' if tally['scenes'] != 1 else ''}{names}")
    return f"{split}: {'; '.join(parts)}"


def unknown_lines(report: dict) -> list[str]:
    """Values or categories that no class has, with counts and example files."""
    return [
        f"{entry['value'] or '(empty)'}: {count(entry['count'])} in {count(entry['files'])} file{'s' if entry['files'] > 1 else ''}, "
        f"such as {', '.join(entry['examples'])}"
        for entry in report["unknown"]
    ]


def leak_line(report: dict) -> str:
    """What the comparison of the splits came to."""
    train, val = (report["splits"][split] for split in ("train", "val"))
    compared = f"{count(val['windows'])} windows of val with {count(train['windows'])} of train, {report['window']} px each"
    plain = count(train["plain"] + val["plain"])
    number = count(report["near_duplicates_count"])
    return f"near duplicates between splits: {number} (compared: {compared}; {plain} without detail left out)"


def problems(report: dict) -> list[str]:
    """The errors, each as one text: subject, cause and remedy."""
    return [_problem(error) for error in report["errors"]]


def _problem(error: dict) -> str:
    return f"{error['subject']}: {error['cause']} {error['remedy']}"


def kinds(report: dict) -> list[list[dict]]:
    """The errors by kind, in the order of their first ones: those of a kind say the same of other files, names and numbers."""
    found: dict[tuple[str, str], list[dict]] = {}
    for error in report["errors"]:
        found.setdefault(tuple(DETAILS.sub("_", error[part]) for part in ("cause", "remedy")), []).append(error)
    return list(found.values())


def problems_by_kind(report: dict) -> list[str]:
    """A text for each kind of error: the first of it, how many more there are, and where some of these are."""
    texts = []
    for first, *others in kinds(report):
        where = [subject for subject in dict.fromkeys(error["subject"] for error in others) if subject != first["subject"]]
        such = f": {some(where, EXAMPLES)}" if where else ""
        texts.append(f"{_problem(first)} And {count(len(others))} more of this kind{such}." if others else _problem(first))
    return texts


def verdict(report: dict, where: str) -> str:
    """How many errors and warnings there are; `where` on the paper they stand."""
    errors, warnings = len(report["errors"]), len(report["warnings"])
    if errors:
        many = len(kinds(report))
        return f"{count(errors)} error{'s' if errors > 1 else ''}{f' of {many} kinds' if 1 < many < errors else ''} to mend before training"
    return f"no error; {count(warnings)} warning{'s' if warnings > 1 else ''} {where}" if warnings else "nothing to mend before training"


def summary(name: str, report: dict, page: str) -> str:
    """All of it as text, errors last; `page` is where the page lies."""
    lines = [headline(name, report), *(f"  {line}" for line in file_lines(report))]
    if any(tally["scenes"] for tally in report["splits"].values()):
        lines += textwrap.wrap(split_line(report, "val"), WIDE, initial_indent="  ", subsequent_indent="    ", **WHOLE_WORDS)
        lines += ["", *(f"  {line}" for line in _columns([share_header(report), *shares(report)])), "", f"  {leak_line(report)}"]
    lines += ["", *(f"  {line}" for line in report["stanza"].splitlines()), ""]
    lines += _listed("unknown values", unknown_lines(report))
    lines += _listed("hint", report["hints"])
    lines += _listed("warning", report["warnings"])
    lines += _listed("ERROR", problems_by_kind(report))
    return "\n".join([*lines, "", f"  {name}: {verdict(report, 'above')}. Page: {page}", ""])


def closing(reports: Sequence[dict]) -> str:
    """The last line, after the summaries of all datasets."""
    bad = [report["name"] for report in reports if report["errors"]]
    if not bad:
        return ""
    return f"check_data: mend {listing(bad)}; what is wrong is told above. Below, Snakemake says only that this job has failed.\n"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    wide = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join([row[0].ljust(wide[0]), *(cell.rjust(room) for cell, room in zip(row[1:], wide[1:]))]) for row in rows]


def _listed(what: str, texts: Iterable[str]) -> list[str]:
    texts = list(texts)
    lines = []
    for text in texts[:MOST_TOLD]:
        lines += textwrap.wrap(f"{what}: {text}", WIDE, initial_indent="  ", subsequent_indent="    ", **WHOLE_WORDS)
    more = len(texts) - MOST_TOLD
    return [*lines, *([f"  {what}: and {more} more, on the page"] if more > 0 else [])]
