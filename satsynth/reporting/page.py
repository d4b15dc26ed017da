"""The report: one HTML file that says in words what was run and what came out, and shows every table and figure.

It embeds its images, its style and the script that sorts and copies tables, so it can be opened from a disk without a network; without
scripts it is whole.
"""

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from satsynth import __version__
from satsynth.reporting import blocks
from satsynth.reporting.answers import answers
from satsynth.reporting.captions import CAPTIONS, methods
from satsynth.reporting.choices import findings as chosen
from satsynth.reporting.citations import references
from satsynth.reporting.facts import collect, words
from satsynth.reporting.facts import packages as versions
from satsynth.reporting.grid import grid
from satsynth.reporting.lineage import Chain, Lineage
from satsynth.reporting.markup import listing, read_markdown
from satsynth.reporting.methods import SAMPLERS, is_admitted
from satsynth.reporting.policy import hashed, policy
from satsynth.reporting.provenance import cost, origins
from satsynth.reporting.verdict import findings, is_gain
from satsynth.runtime import files
from satsynth.runtime.job import Task

STATIC = Path(__file__).with_name("static")
# More comparisons than this are listed one a line, with their sentences folded away.
UNFOLDED = 2
# What only the CSV of a view other than gain has.
MARKS = {
    "per_class": {"class_id", "iou_pct", "gain_points"},
    "summary": {"class_id", "median_gain_points"},
    "fidelity": {"fid", "is", "class_js", "copies_features"},
    "dataset": {"split", "patches", "foreground_pct"},
    "selection": {"real_share", "outcome", "chosen"},
}


def write(
    out_html: str | Path,
    cfg: dict,
    tables: Mapping[str, Mapping[str, str | Path]],
    figures: Mapping[str, Mapping[str, str | Path]],
    captions: Mapping[str, str],
    facts: Mapping,
    packages: Mapping[str, str],
    home: str | Path | None = None,
    chains: Mapping[str, Chain] | None = None,
    choices: Sequence[Mapping] = (),
    places: Sequence[Mapping] = (),
    exports: Sequence[str | Path] = (),
) -> None:
    """Write the page, atomically.

    Args:
        out_html: the file to write.
        cfg: title (str); views (name of a figure -> its view), by which figures are put into groups.
        tables: name -> {md, and any of csv, tex: path}; a CSV of the gain view gives the verdict.
        figures: name -> {png, and pdf where there is one: path}.
        captions: name of a table or figure -> caption; what has none stands under its name or title alone.
        facts: what `satsynth.reporting.facts.collect` returns.
        packages: package -> version.
        home: where the page will lie in the end, if not at `out_html`; tables and figures are linked relative to it.
        chains: name of a table -> the jobs behind it, as far as they are known; where they are told, the page says what they used.
        choices: what selections have chosen (see `satsynth.reporting.choices.describe`).
        places: what the gallery beside the page shows: the card of each place, and its strip of pairs (a path) under the key strip.
        exports: dataset cards (README.md) of the sets that were written for other training code, each in a folder of its own.
    """
    home, chains = Path(home or out_html).parent, chains or {}
    printed = {name: read_markdown(paths["md"]) for name, paths in tables.items()}
    frames = {name: pd.read_csv(paths["csv"]) for name, paths in tables.items() if "csv" in paths}
    views = {name: view_of(frame) for name, frame in frames.items()}
    titles = {name: table.title for name, table in printed.items()}
    gains = {name: (frame, printed[name].notes) for name, frame in frames.items() if views[name] == "gain"}
    measured = [frame for name, frame in frames.items() if views[name] == "fidelity"]
    sections = [
        ("verdict", "What came out", "\n".join(filter(None, [_verdict(gains, titles), _choices(choices, gains)]))),
        ("answers", "Three questions", answers(places, measured, gains, chains, titles, facts["datasets"]) if tables else ""),
        ("gallery", "Pairs, none chosen by hand", blocks.gallery(places)),
        ("run", "What was run", _paragraphs(words(facts))),
        ("tables", "Tables", blocks.tables(tables, printed, captions, home, chains)),
        ("figures", "Figures", blocks.figures(figures, cfg.get("views", {}), captions, home)),
        ("exports", "For other training code", blocks.exports(exports, home)),
        ("methods", "Methods", _methods(list(frames.values()), bool(measured), facts, packages)),
        ("provenance", "Provenance", "\n".join([origins(chains, titles), _provenance(facts["digests"], packages)]).strip()),
        ("cost", "Cost and times", cost(chains, titles)),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{key}">{heading}</a></li>' for key, heading, _ in sections)
    body = "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-h">\n<h2 id="{key}-h">{h}</h2>\n{text}\n</section>' for key, h, text in sections
    )
    title, style, script = escape(cfg["title"]), _static("page.css"), _script()
    files.write_text(
        out_html,
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{policy(hashed(script), hashed(style))}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n<style>{style}</style>\n</head>\n'
        f'<body>\n<a class="skip" href="#main">To the content</a>\n<header>\n<h1>{title}</h1>\n'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n</header>\n'
        f'<main id="main">\n{body}\n</main>\n<script>{script}</script>\n</body>\n</html>\n',
    )


def write_run(task: Task) -> None:
    """Write the page of a whole run, from the files that the job was given.

    Of `task`: input tables (CSV), printed (Markdown, in the same order), choices (JSON), figures (PNG), generators, runs, evaluators and
    real (see `satsynth.reporting.facts.collect`), gallery and strips (card and strip of each of its places), exports (their cards); cfg
    title, run (names in the order in which they are shown), views (figure -> view), licences (dataset -> licence of its raw data), splits
    (dataset -> how val is chosen, see `satsynth.plan.slices.division`); output page. The LaTeX and PDF forms are taken to lie beside the
    CSV and PNG.
    """
    place = {name: number for number, name in enumerate(task.cfg["run"])}

    def ordered(paths: Sequence[Path]) -> list[Path]:
        return sorted(paths, key=lambda path: place.get(path.stem, len(place)))

    printed = {path.stem: path for path in task.input["printed"]}
    tables = {path.stem: {"csv": path, "md": printed[path.stem], "tex": path.with_suffix(".tex")} for path in ordered(task.input["tables"])}
    figures = {path.stem: {"png": path, "pdf": path.with_suffix(".pdf")} for path in ordered(task.input["figures"])}
    captions = {name: CAPTIONS[view] for name, view in task.cfg["views"].items() if view in CAPTIONS}
    views = {name: view_of(pd.read_csv(paths["csv"], nrows=0)) for name, paths in tables.items()}
    captions |= {name: CAPTIONS[view] for name, view in views.items() if view in CAPTIONS}
    given = task.input
    facts = collect([*given["real"], *given["indices"]], given["generators"], given["runs"], given["evaluators"])
    facts |= {name: task.cfg[name] for name in ("licences", "splits")}
    # State is read as it is now and is no input: what it says of times and hosts may differ, what the page shows of results may not.
    chains = Lineage(os.environ.get("SATSYNTH_STATE", "results/state")).chains({name: paths["csv"] for name, paths in tables.items()})
    places = [
        files.read_json(card) | {"strip": strip} for card, strip in zip(given.get("gallery", ()), given.get("strips", ()), strict=True)
    ]
    choices = [files.read_json(path) for path in given.get("choices", ())]
    rest = {"home": task.declared["page"], "chains": chains, "choices": choices, "places": places, "exports": given.get("exports", ())}
    write(task.output["page"], task.cfg, tables, figures, captions, facts, versions(), **rest)


def view_of(frame: pd.DataFrame) -> str | None:
    """The view of a table, told from the columns of its CSV; None where it is none that is known."""
    if is_gain(frame.columns):
        return "gain"
    return next((view for view, marks in MARKS.items() if marks <= set(frame.columns)), None)


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _script() -> str:
    """The one script of the page, in a scope of its own."""
    return f'"use strict";\n{{\n{_static("page.js")}}}\n'


def _paragraphs(lines: Sequence[str]) -> str:
    return "\n".join(f"<p>{escape(line)}</p>" for line in lines)


def _verdict(frames: Mapping[str, tuple[pd.DataFrame, Sequence[str]]], titles: Mapping[str, str]) -> str:
    gains, before = {}, []
    for name, (frame, _) in frames.items():
        gains[name] = findings(frame, before)
        before.append(frame)
    folded = sum(map(len, gains.values())) > UNFOLDED
    told = []
    for name, found in gains.items():
        if len(gains) > 1:
            told.append(f'<h3><a href="#table-{escape(name)}">{escape(titles[name])}</a></h3>')
        entries = []
        for headline, lines in found:
            head, points = _told(headline, lines)
            if folded:
                entries.append(f"<details>\n<summary>{head}</summary>\n{points}</details>" if lines else f"<p>{head}</p>")
            else:
                entries.append(f'<div class="verdict">\n<p>{head}</p>\n{points}</div>')
        told += ['<div class="verdict">', *entries, "</div>"] if folded else entries
    return "\n".join(told)


def _told(headline: str, lines: Sequence[str]) -> tuple[str, str]:
    """A headline and its sentences as HTML."""
    points = f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>\n" if lines else ""
    return f"<strong>{escape(headline)}</strong>", points


def _choices(choices: Sequence[Mapping], gains: Mapping[str, tuple[pd.DataFrame, Sequence[str]]]) -> str:
    """What selections say to use, and what that scored on val where a gain table of the page has it."""
    frames = [frame for frame, _ in gains.values()]
    found = [_told(*entry) for choice in choices for entry in chosen(choice, frames)]
    return "\n".join(f'<div class="verdict">\n<p>{head}</p>\n{points}</div>' for head, points in found)


def _methods(frames: Sequence[pd.DataFrame], measured: bool, facts: Mapping, packages: Mapping[str, str]) -> str:
    shown = {word for frame in frames for key in ("network", "method") if key in frame for word in frame[key].dropna()}
    generators = facts["generators"]
    kinds = {entry["kind"] for entry in generators if "kind" in entry}
    used = {*shown, *kinds, *(entry[key] for entry in generators for key in ("codes", "prediction") if entry.get(key)), *_samplers(frames)}
    used |= {"admitted"} if any(map(is_admitted, shown)) else set()
    works = "".join(f"<li>{escape(work)}</li>" for work in references(used, measured))
    made = [f"satsynth {__version__}", *(f"{name} {packages[name]}" for name in ("torch", "numpy", "snakemake") if name in packages)]
    said = _paragraphs([*methods({*shown, *kinds}, measured), f"Made with {listing(made)}; all versions stand under Provenance."])
    return f'{said}\n<h3>References</h3>\n<ol class="references">{works}</ol>'


def _samplers(frames: Sequence[pd.DataFrame]) -> set[str]:
    """The samplers that fidelity tables name."""
    said = " ".join(str(cell) for frame in frames if "samplers" in frame for cell in frame["samplers"].dropna())
    return {word for word, name in SAMPLERS.items() if name in said}


def _provenance(digests: Mapping[str, str], packages: Mapping[str, str]) -> str:
    parts = []
    if digests:
        rows = [(name, digest[:12]) for name, digest in sorted(digests.items())]
        parts.append("<h3>Contents</h3>\n" + grid(("What", "SHA-256"), rows, "First 12 digits of the SHA-256 of what the runs used"))
    if packages:
        parts.append(
            "<h3>Packages</h3>\n" + grid(("Package", "Version"), sorted(packages.items()), "Packages installed where this was written")
        )
    return "\n".join(parts)
