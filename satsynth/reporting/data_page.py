"""The page of `check_data`: what a dataset is, what is wrong with it, and what it looks like, before anything is trained on it.

It embeds its picture and styles and runs no script, so it can be opened from a disk without a network.
"""

import base64
import re
from html import escape
from importlib import import_module
from pathlib import Path

import yaml

from satsynth.datasets.inspection import inspect
from satsynth.pairs import HATCH, LabelSpace
from satsynth.reporting import data_summary, preview
from satsynth.reporting.grid import grid
from satsynth.runtime import files

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --tint: #f6f8fa; --bad: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9da7b3; --line: #3d444d; --paper: #0d1117; --tint: #161b22; --bad: #ff9a8f; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
li { margin: .3rem 0; }
.errors li { border-left: .3rem solid var(--bad); background: var(--tint); padding: .5rem .8rem; list-style: none; }
.errors, .warnings { padding-left: 0; }
.warnings li { border-left: .3rem solid var(--soft); background: var(--tint); padding: .4rem .8rem; list-style: none; }
.remedy { color: var(--soft); }
.swatch { display: inline-block; width: 1em; height: 1em; border: 1px solid var(--line); vertical-align: -.12em; margin-right: .4em; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; list-style: none; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; color: var(--soft); padding: .4rem .6rem; }
th, td { padding: .35rem .6rem; text-align: left; border-top: 1px solid var(--line); }
td.number, th.number { text-align: right; white-space: nowrap; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); border-radius: .4rem; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: .4rem; padding: .8rem; overflow-x: auto; font-size: .88rem; }
:focus-visible { outline: .15rem solid var(--ink); outline-offset: .15rem; }
"""


def check(name: str, root: Path, cfg: dict, trouble: list[str] | None, out: dict[str, Path]) -> None:
    """Look at a dataset and write what was found; broken data are told there, never raised.

    Args:
        name: of the dataset.
        root: where its raw data are.
        cfg: `reader` (as `inspection.inspect` takes it, with `format`), `labels` (what the format's `label_space` reads) and `stanza`.
        trouble: subject, cause and remedy of why the root cannot be listed, or None.
        out: the files to write: `report` (JSON), `preview` (PNG) and `page` (HTML).
    """
    space = import_module(f"satsynth.datasets.{cfg['reader']['format']}").label_space(cfg["labels"])
    report, shown, strange = inspect(cfg["reader"]["format"], root, cfg["reader"], space, trouble)
    report |= {"name": name, "size": cfg["reader"]["size"], "stanza": stanza_text(name, cfg["stanza"])}
    files.write_json(out["report"], report)
    preview.draw(name, shown, space, strange, out["preview"])
    files.write_text(out["page"], page(report, space, out["preview"].read_bytes()))


def stanza_text(name: str, stanza: dict) -> str:
    """A resolved stanza as YAML, the keys that a user writes first."""
    first = (
        "format",
        "root",
        "images",
        "labels",
        "label_field",
        "label_class",
        "label_layer",
        "classes",
        "label_map",
        "ignore",
        "unknown",
        "background",
        "bands",
        "scale",
    )
    order = {key: stanza[key] for key in [*(key for key in first if key in stanza), *sorted(set(stanza) - set(first))]}
    if order.get("label_map"):
        order["label_map"] = {int(key) if re.fullmatch("0|[1-9][0-9]*", key) else key: name for key, name in order["label_map"].items()}
    return yaml.safe_dump({"datasets": {name: order}}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def page(report: dict, space: LabelSpace, picture: bytes) -> str:
    """The page as HTML.

    Args:
        report: what `check` wrote as JSON.
        space: names and colours of the classes.
        picture: the PNG.
    """
    verdict = data_summary.verdict(report, "below")
    verdict = f"{verdict[0].upper()}{verdict[1:]}."
    parts = [f"<h1>Data of {escape(report['name'])}</h1>", f"<p>{escape(data_summary.headline(report['name'], report))}. {verdict}</p>"]
    if report["errors"]:
        parts += ["<h2>Errors</h2>", f'<ul class="errors">{"".join(map(_kind, data_summary.kinds(report)))}</ul>']
    if report["warnings"]:
        items = [f"<li>{escape(text)}</li>" for text in report["warnings"]]
        parts += ["<h2>Warnings</h2>", f'<ul class="warnings">{"".join(items)}</ul>']
    if report["hints"]:
        parts += ["<h2>Hints</h2>", _items(report["hints"])]
    parts += ["<h2>What it looks like</h2>", _legend(space)]
    if any(entry["colour"] for entry in report["unknown"]):
        parts.append("<p>Values and colours that no class has are shown, too, in the colours that are listed below.</p>")
    coded = base64.b64encode(picture).decode()
    parts.append(f'<img alt="Patches of {escape(report["name"])}, each image above its mask" src="data:image/png;base64,{coded}">')
    parts.append(_folded("Where these pictures lie, line by line", _places(report["shown"])))
    parts += ["<h2>Train and val</h2>", *(_scenes(report, split) for split in report["splits"])]
    caption = "Pixels and scenes of each class; each pixel of a scene counts once, also where no patch is"
    parts += ["<h2>Classes</h2>", grid(data_summary.share_header(report), data_summary.shares(report), caption)]
    parts += ["<h2>Files</h2>", _items(data_summary.file_lines(report)), *_lone(report["files"])]
    parts += ["<h2>Values that no class has</h2>", _unknown(report)]
    parts += ["<h2>Near duplicates</h2>", f"<p>{escape(data_summary.leak_line(report))}.</p>", _pairs(report["near_duplicates"])]
    parts += ["<h2>The stanza, with everything that was left out</h2>", f'<pre tabindex="0">{escape(report["stanza"])}</pre>']
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, '
        f'initial-scale=1">\n<title>Data of {escape(report["name"])}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n'
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _kind(errors: list[dict]) -> str:
    """Errors of one kind: the first in full, the others folded away."""
    first, *others = errors
    more = [f"{error['subject']}: {error['cause']}" for error in others]
    return (
        f'<li><strong>{escape(first["subject"])}</strong>: {escape(first["cause"])} <span class="remedy">{escape(first["remedy"])}</span>'
        f"{_folded(f'{data_summary.count(len(more))} more of this kind', more) if more else ''}</li>"
    )


def _items(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _unknown(report: dict) -> str:
    """Values that no class has, each behind the colour in which the preview shows it."""
    swatches = [_swatch(entry["colour"]) if entry["colour"] else "" for entry in report["unknown"]]
    items = [f"<li>{swatch}{escape(line)}</li>" for swatch, line in zip(swatches, data_summary.unknown_lines(report), strict=True)]
    return f"<ul>{''.join(items) or '<li>none</li>'}</ul>"


def _swatch(background: str) -> str:
    return f'<span class="swatch" style="background:{escape(background)}"></span>'


def _rgb(colour: tuple[int, int, int]) -> str:
    return f"rgb({','.join(map(str, colour))})"


_HATCHED = f"repeating-linear-gradient(135deg,{_rgb(HATCH[1])} 0 2px,{_rgb(HATCH[0])} 2px 5px)"


def _legend(space: LabelSpace) -> str:
    named = [*((name, _rgb(colour)) for name, colour in zip(space.names, space.colours)), ("unlabelled", _HATCHED)]
    items = [f"<li>{_swatch(background)}{escape(name)}</li>" for name, background in named]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _lone(found: dict) -> list[str]:
    """All names of what has no partner, folded away."""
    parts = []
    for what, key in (("Images without a mask", "images_without_mask"), ("Masks without an image", "masks_without_image")):
        if found[key]:
            more = found[f"{key}_count"] - len(found[key])
            lines = [*found[key], *([f"and {more} more"] if more else [])]
            parts.append(_folded(what, lines))
    return parts


def _folded(title: str, lines: list[str]) -> str:
    return f"<details><summary>{escape(title)}</summary>{_items(lines)}</details>"


def _scenes(report: dict, split: str) -> str:
    """The names of all scenes of a split, folded away."""
    return _folded(data_summary.split_line(report, split), report["splits"][split]["names"])


def _places(shown: dict[str, list[dict]]) -> list[str]:
    """Scene, row and column of every picture of the preview."""
    return [
        f"{patch.get('class') or preview.HEADINGS[part]}: {patch['scene']}, row {patch['row']}, column {patch['column']}"
        for part, patches in shown.items()
        for patch in patches
    ]


def _pairs(pairs: list[dict]) -> str:
    if not pairs:
        return ""
    rows = [
        tuple(
            [
                f"{pair['alike']:.3f}",
                *(f"{pair[split]['file']} ({pair[split]['row']}, {pair[split]['column']})" for split in ("val", "train")),
            ]
        )
        for pair in pairs
    ]
    return grid(("correlation", "val: file (row, column)", "train: file (row, column)"), rows, "Windows that are in both splits")
