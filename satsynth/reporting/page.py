"""The report: one HTML file that says in words what was run and what came out, and shows every table and figure.

It embeds its images and styles and runs no script, so it can be opened from a disk without a network.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from PIL import Image

from satsynth.reporting.captions import CAPTIONS, methods
from satsynth.reporting.choices import findings as chosen
from satsynth.reporting.facts import collect, words
from satsynth.reporting.facts import packages as versions
from satsynth.reporting.grid import grid
from satsynth.reporting.lineage import Chain, Lineage
from satsynth.reporting.markup import read_markdown
from satsynth.reporting.provenance import cost, origins
from satsynth.reporting.verdict import findings, is_gain
from satsynth.runtime import files
from satsynth.runtime.job import Task

# More comparisons than this are listed one a line, with their sentences folded away.
UNFOLDED = 2
# What only the CSV of a view other than gain has.
MARKS = {
    "per_class": {"class_id", "iou_pct", "gain_points"},
    "summary": {"class_id", "median_gain_points"},
    "fidelity": {"fid", "is", "class_js"},
    "dataset": {"split", "patches", "foreground_pct"},
    "selection": {"real_share", "outcome", "chosen"},
}
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --tint: #f6f8fa; --link: #0757b0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9da7b3; --line: #3d444d; --paper: #0d1117; --tint: #161b22; --link: #6cb1ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
p, li { max-width: 60rem; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; margin: .8rem 0 0; padding: 0; }
.verdict { border-left: .3rem solid var(--link); background: var(--tint); padding: .7rem 1rem; margin: .8rem 0; }
.verdict p { margin: .2rem 0 .4rem; }
.verdict ul { margin: 0; padding-left: 1.2rem; }
.verdict summary { cursor: pointer; margin: .3rem 0; }
.verdict details ul { margin-bottom: .6rem; }
.origin { border: 1px solid var(--line); border-radius: .4rem; margin: .6rem 0; padding: .5rem .8rem; }
.origin summary { cursor: pointer; }
.origin dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: .7rem 0 .3rem; font-size: .88rem; }
.origin dt { color: var(--soft); }
.origin dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: .5rem 0; }
caption span { display: block; width: fit-content; position: sticky; left: 0; padding: 0 .6rem; max-width: min(100vw - 2.2rem, 60rem); }
th, td { padding: .4rem .5rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { background: var(--tint); vertical-align: bottom; }
tbody th { font-weight: 600; min-width: 9rem; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
td:not(.number) { min-width: 7rem; }
.notes, .links, figcaption { font-size: .88rem; color: var(--soft); }
.notes { padding-left: 1.2rem; }
figure { margin: 1.2rem 0 2rem; }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); border-radius: .4rem; }
figcaption { margin-top: .5rem; max-width: 60rem; }
code { font-size: .92em; overflow-wrap: anywhere; }
:focus-visible { outline: .15rem solid var(--link); outline-offset: .15rem; }
@media (max-width: 40rem) { body { padding: 1rem; } h1 { font-size: 1.45rem; } tbody th { min-width: 7rem; } }
@media print { body { max-width: none; } .wide { overflow: visible; border: 0; } figure, tr { break-inside: avoid; } }
"""


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
) -> None:
    """Write the page, atomically.

    Args:
        out_html: the file to write.
        cfg: title (str).
        tables: name -> {md, and any of csv, tex: path}; a CSV of the gain view gives the verdict.
        figures: name -> {png, and pdf where there is one: path}.
        captions: name of a table or figure -> caption; what has none stands under its name or title alone.
        facts: what `satsynth.reporting.facts.collect` returns.
        packages: package -> version.
        home: where the page will lie in the end, if not at `out_html`; tables and figures are linked relative to it.
        chains: name of a table -> the jobs behind it, as far as they are known; where they are told, the page says what they used.
        choices: what selections have chosen (see `satsynth.reporting.choices.describe`).
    """
    home = Path(home or out_html).parent
    titles = {name: read_markdown(paths["md"]).title for name, paths in tables.items()}
    sections = [
        ("verdict", "What came out", "\n".join(filter(None, [_verdict(tables), _choices(choices, tables)]))),
        ("run", "What was run", _paragraphs(words(facts))),
        ("tables", "Tables", "\n".join(_table(name, paths, captions, home) for name, paths in tables.items())),
        ("figures", "Figures", "\n".join(_figure(name, paths, captions, home) for name, paths in figures.items())),
        ("methods", "Methods", _paragraphs(_methods(tables, facts["generators"]))),
        ("provenance", "Provenance", "\n".join([origins(chains or {}, titles), _provenance(facts["digests"], packages)]).strip()),
        ("cost", "Cost and times", cost(chains or {}, titles)),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{key}">{heading}</a></li>' for key, heading, _ in sections)
    body = "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-h">\n<h2 id="{key}-h">{h}</h2>\n{text}\n</section>' for key, h, text in sections
    )
    title = escape(cfg["title"])
    files.write_text(
        out_html,
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n'
        f'<body>\n<header>\n<h1>{title}</h1>\n<nav aria-label="Sections"><ul>{links}</ul></nav>\n</header>\n'
        f"<main>\n{body}\n</main>\n</body>\n</html>\n",
    )


def write_run(task: Task) -> None:
    """Write the page of a whole run, from the files that the job was given.

    Of `task`: input tables (CSV), printed (Markdown, in the same order), choices (JSON), figures (PNG), generators, runs, evaluators and
    real (see `satsynth.reporting.facts.collect`); cfg title, run (names in the order in which they are shown), views (figure -> view),
    licences (dataset -> licence of its raw data); output page. The LaTeX and PDF forms are taken to lie beside the CSV and PNG.
    """
    place = {name: number for number, name in enumerate(task.cfg["run"])}

    def ordered(paths: Sequence[Path]) -> list[Path]:
        return sorted(paths, key=lambda path: place.get(path.stem, len(place)))

    printed = {path.stem: path for path in task.input["printed"]}
    tables = {path.stem: {"csv": path, "md": printed[path.stem], "tex": path.with_suffix(".tex")} for path in ordered(task.input["tables"])}
    figures = {path.stem: {"png": path, "pdf": path.with_suffix(".pdf")} for path in ordered(task.input["figures"])}
    captions = {name: CAPTIONS[view] for name, view in task.cfg["views"].items() if view in CAPTIONS}
    views = {name: _view(paths) for name, paths in tables.items()}
    captions |= {name: CAPTIONS[view] for name, view in views.items() if view in CAPTIONS}
    given = task.input
    facts = collect([*given["real"], *given["indices"]], given["generators"], given["runs"], given["evaluators"])
    facts["licences"] = task.cfg["licences"]
    # State is read as it is now and is no input: what it says of times and hosts may differ, what the page shows of results may not.
    chains = Lineage(os.environ.get("SATSYNTH_STATE", "results/state")).chains({name: paths["csv"] for name, paths in tables.items()})
    told = {"home": task.declared["page"], "chains": chains, "choices": [files.read_json(path) for path in given.get("choices", ())]}
    write(task.output["page"], task.cfg, tables, figures, captions, facts, versions(), **told)


def _view(paths: Mapping[str, str | Path]) -> str | None:
    """The view of a table, told from the columns of its CSV; None where there is no CSV, or none that is known."""
    columns = set(pd.read_csv(paths["csv"], nrows=0)) if "csv" in paths else set()
    if is_gain(columns):
        return "gain"
    return next((view for view, marks in MARKS.items() if marks <= columns), None)


def _paragraphs(lines: Sequence[str]) -> str:
    return "\n".join(f"<p>{escape(line)}</p>" for line in lines)


def _verdict(tables: Mapping[str, Mapping[str, str | Path]]) -> str:
    frames = {name: pd.read_csv(paths["csv"]) for name, paths in tables.items() if _view(paths) == "gain"}
    gains, before = {}, []
    for name, frame in frames.items():
        gains[name] = findings(frame, before)
        before.append(frame)
    folded = sum(map(len, gains.values())) > UNFOLDED
    told = []
    for name, found in gains.items():
        if len(gains) > 1:
            told.append(f'<h3><a href="#table-{escape(name)}">{escape(read_markdown(tables[name]["md"]).title)}</a></h3>')
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


def _choices(choices: Sequence[Mapping], tables: Mapping[str, Mapping[str, str | Path]]) -> str:
    """What selections say to use, and what that scored on val where a gain table of the page has it."""
    gains = [pd.read_csv(paths["csv"]) for paths in tables.values() if _view(paths) == "gain"]
    found = [_told(*entry) for choice in choices for entry in chosen(choice, gains)]
    return "\n".join(f'<div class="verdict">\n<p>{head}</p>\n{points}</div>' for head, points in found)


def _methods(tables: Mapping[str, Mapping[str, str | Path]], generators: Sequence[Mapping]) -> list[str]:
    frames = [pd.read_csv(paths["csv"]) for paths in tables.values() if "csv" in paths]
    shown = {word for frame in frames for key in ("network", "method") if key in frame for word in frame[key].dropna()}
    measured = any(_view(paths) == "fidelity" for paths in tables.values())
    return methods({*shown, *(entry["kind"] for entry in generators if "kind" in entry)}, measured)


def _link(path: str | Path, home: Path) -> str:
    target = os.path.relpath(path, home).replace(os.sep, "/")
    return f'<a href="{escape(target)}">{escape(Path(path).suffix[1:])}</a>'


def _links(paths: Mapping[str, str | Path], home: Path) -> str:
    return " · ".join(_link(path, home) for path in paths.values())


def _table(name: str, paths: Mapping[str, str | Path], captions: Mapping[str, str], home: Path) -> str:
    printed = read_markdown(paths["md"])
    notes = "".join(f"<li>{escape(note)}</li>" for note in printed.notes)
    return (
        f'<article id="table-{escape(name)}">\n<h3>{escape(printed.title)}</h3>\n'
        f"{grid(printed.header, printed.rows, captions.get(name, printed.title))}\n"
        f'<ul class="notes">{notes}</ul>\n<p class="links">This table as {_links(paths, home)}</p>\n</article>'
    )


def _figure(name: str, paths: Mapping[str, str | Path], captions: Mapping[str, str], home: Path) -> str:
    # Figures of one view have one caption: only the name tells them apart.
    label, caption = name.replace("_", " "), captions.get(name, "")
    told = f"{label}. {caption}".strip()
    with Image.open(paths["png"]) as image:
        wide, high = image.size
    data = base64.b64encode(Path(paths["png"]).read_bytes()).decode("ascii")
    return (
        f'<figure id="figure-{escape(name)}">\n<img alt="{escape(told)}" width="{wide}" height="{high}" '
        f'src="data:image/png;base64,{data}">\n'
        f"<figcaption><strong>{escape(label)}.</strong> {escape(caption)} ({_links(paths, home)})</figcaption>\n</figure>"
    )


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
