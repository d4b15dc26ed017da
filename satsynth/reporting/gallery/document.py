"""The page of the gallery: one HTML file, whose data lie in the folder beside it."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from satsynth.reporting.policy import hashed, policy
from satsynth.runtime import files
from satsynth.runtime.task import Task

STATIC = Path(__file__).with_name("static")


def write_run(task: Task) -> None:
    """Write the page, from what the job was given.

    Of `task`: input cards (of the places, in order); cfg title; output page.
    """
    write(task.output["page"], task.cfg["title"], [files.read_json(path) for path in task.input["cards"]])


def write(path: str | Path, title: str, places: Sequence[Mapping]) -> None:
    """Write the page, atomically.

    Args:
        path: the file; the folder `gallery` beside it will hold a folder of each place.
        title: headline, plain text.
        places: the card of each (see `satsynth.reporting.gallery.packing.pack`).
    """
    options = [f'<option value="{escape(card["name"])}">{escape(_called(card))}</option>' for card in places]
    body = Template(_read("body.html")).substitute(
        title=escape(title), places="".join(options), alone=" hidden" if len(options) == 1 else ""
    )
    style = _read("gallery.css")
    script = '"use strict";\n{\n' + "\n".join(_read(name.name) for name in sorted(STATIC.glob("[0-9]*.js"))) + "}\n"
    files.write_text(
        path,
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{policy(hashed(script), hashed(style), beside=True)}"
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Gallery: {escape(title)}</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n{body}<script>{script}</script>\n</body>\n</html>\n",
    )


def _called(card: Mapping) -> str:
    return f"{card['source']} on {card['dataset']}, {card['size']} px"


def _read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")
