"""Blocks of the report: tables and figures with captions and downloads, and the way into the gallery."""

import base64
import os
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from satsynth.reporting.captions import GROUPS, OTHER, group_of
from satsynth.reporting.grid import grid
from satsynth.reporting.markup import Printed, count

Paths = Mapping[str, str | Path]


def _link(path: str | Path, home: Path) -> str:
    target = os.path.relpath(path, home).replace(os.sep, "/")
    return f'<a href="{escape(target)}">{escape(Path(path).suffix[1:])}</a>'


def _links(paths: Paths, home: Path) -> str:
    return " · ".join(_link(path, home) for path in paths.values())


def _contents(entries: Sequence[tuple[str, str]]) -> str:
    """A list of links to the parts of a section; none where there is little to choose from."""
    if len(entries) < 3:
        return ""
    listed = "".join(f'<li><a href="#{escape(key)}">{escape(name)}</a></li>' for key, name in entries)
    return f'<ul class="list">{listed}</ul>\n'


def tables(
    paths: Mapping[str, Paths], printed: Mapping[str, Printed], captions: Mapping[str, str], home: Path, traced: Collection[str]
) -> str:
    """Every table, after a list of them; those of `traced` link to what made them."""
    listed = _contents([(f"table-{name}", printed[name].title) for name in paths])
    return listed + "\n".join(_table(name, each, printed[name], captions, home, name in traced) for name, each in paths.items())


def _table(name: str, paths: Paths, printed: Printed, captions: Mapping[str, str], home: Path, traced: bool) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in printed.notes)
    origin = f' · <a href="#made-{escape(name)}">what made it</a>' if traced else ""
    return (
        f'<article id="table-{escape(name)}">\n<h3>{escape(printed.title)}</h3>\n'
        f"{grid(printed.header, printed.rows, captions.get(name, printed.title))}\n"
        f'<ul class="notes">{notes}</ul>\n<p class="links">This table as {_links(paths, home)}{origin}</p>\n</article>'
    )


def figures(paths: Mapping[str, Paths], views: Mapping[str, str], captions: Mapping[str, str], home: Path) -> str:
    """Every figure under the heading of its group, in the order of `paths` within one."""
    grouped: dict[str, list[str]] = {heading: [] for heading in (*GROUPS, OTHER)}
    for name in paths:
        grouped[group_of(views.get(name))].append(name)
    grouped = {heading: names for heading, names in grouped.items() if names}
    told = [_contents([(f"figure-{name}", name.replace("_", " ")) for names in grouped.values() for name in names])]
    for heading, names in grouped.items():
        told += [f"<h3>{heading}</h3>", *(_figure(name, paths[name], captions, home) for name in names)]
    return "\n".join(told).strip()


def _figure(name: str, paths: Paths, captions: Mapping[str, str], home: Path) -> str:
    # Figures of one view have one caption: only the name tells them apart.
    label, caption = name.replace("_", " "), captions.get(name, "")
    told = f"{label}. {caption}".strip()
    return (
        f'<figure id="figure-{escape(name)}">\n{_embedded(paths["png"], told)}\n'
        f"<figcaption><strong>{escape(label)}.</strong> {escape(caption)} ({_links(paths, home)})</figcaption>\n</figure>"
    )


def _embedded(path: str | Path, told: str) -> str:
    with Image.open(path) as image:
        (wide, high), kind = image.size, image.format.lower()
    data = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    return f'<img alt="{escape(told)}" width="{wide}" height="{high}" src="data:image/{kind};base64,{data}">'


def gallery(places: Sequence[Mapping]) -> str:
    """A strip of the first pairs of every place of the gallery, each a link into it; "" where there is none.

    Args:
        places: what `satsynth.reporting.gallery.packing.pack` returns, with `strip`, the path of the picture of its first pairs.
    """
    told = []
    for card in places:
        label = f"{card['source']} on {card['dataset']}, {card['size']} px"
        shown = (
            f"{count(card['shown'])} pairs" if card["shown"] == card["total"] else f"{count(card['shown'])} of {count(card['total'])} pairs"
        )
        link = f'href="gallery.html#place={escape(card["name"])}"'
        told.append(
            f'<figure>\n<a class="strip" {link}>{_embedded(card["strip"], f"The first pairs of {label}, images above masks")}</a>\n'
            f"<figcaption><strong>{escape(label)}.</strong> The first pairs by index, each image above its mask. "
            f"<a {link}>The gallery</a> shows {shown}, by class, quality and distance, each beside its nearest real patch where that was "
            "searched.</figcaption>\n</figure>"
        )
    return "\n".join(told)


def exports(cards: Sequence[str | Path], home: Path) -> str:
    """Links to the dataset cards of exports, each named as its folder; "" where there is none."""
    links = []
    for card in map(Path, cards):
        target = os.path.relpath(card, home).replace(os.sep, "/")
        links.append(
            f'<li><a href="{escape(target)}">{escape(card.parent.name)}</a>: images, masks and a table of what is known of each pair</li>'
        )
    return f"<ul>{''.join(links)}</ul>" if links else ""
