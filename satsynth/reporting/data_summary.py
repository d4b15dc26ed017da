"""What `check_data` prints: the report of a dataset (see `satsynth.datasets.inspection`) as lines for a terminal."""

import textwrap
from collections.abc import Iterable, Sequence

from satsynth.reporting.markup import count, listing

WIDE = 120
WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}
MOST_TOLD = 12  # errors, warnings or values that a terminal shows; the page has all


def headline(name: str, report: dict) -> str:
    """One sentence: how much there is of each split."""
    parts = [
        f"{split} {count(tally['scenes'])} scenes, {count(tally['patches'])} patches of {report['size']} px"
        for split, tally in report["splits"].items()
    ]
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
        lines.append(f"annotations: {listing(found['annotations'][:MOST_TOLD])}")
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
        some = f": {', '.join(names[:3])}{', ...' if number > 3 else ''}" if number else ""
        lines.append(f"{what}: {count(number)}{some}")
    return lines


def split_line(report: dict, split: str, most: int = 3) -> str:
    """Which scenes a split has: the values of the wildcards that divided it, and the names of the first `most` scenes."""
    tally = report["splits"][split]
    parts = [
        f"{{{wildcard}}} {', '.join(values[:MOST_TOLD])}{', ...' if len(values) > MOST_TOLD else ''}"
        for wildcard, values in tally["values"].items()
    ]
    names = f"{', '.join(tally['names'][:most])}{', ...' if len(tally['names']) > most else ''}"
    parts.append(f"{count(tally['scenes'])} scene{'s' if tally['scenes'] != 1 else ''}: {names}")
    return f"{split}: {'; '.join(parts)}"


def unknown_lines(report: dict) -> list[str]:
    """Values or categories that no class has, with counts and example files."""
    return [
        f"{entry['value']}: {count(entry['count'])} in {count(entry['files'])} files, such as {', '.join(entry['examples'])}"
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
    return [f"{error['subject']}: {error['cause']} {error['remedy']}" for error in report["errors"]]


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
    lines += _listed("ERROR", problems(report))
    number = len(report["errors"])
    verdict = f"{number} error{'s' if number > 1 else ''} to mend before training" if number else "nothing to mend before training"
    return "\n".join([*lines, "", f"  {name}: {verdict}. Page: {page}", ""])


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
