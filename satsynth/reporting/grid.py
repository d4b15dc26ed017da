"""An HTML table of the report."""

from collections.abc import Sequence
from html import escape

from satsynth.reporting.markup import numeric


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """An HTML table whose first column names the row; a column of numbers alone is set flush right."""
    right = [bool(rows) and place > 0 and all(numeric(row[place]) for row in rows) for place in range(len(header))]
    kind = [' class="number"' if flag else "" for flag in right]
    head = "".join(f'<th scope="col"{mark}>{escape(cell)}</th>' for cell, mark in zip(header, kind))
    lines = []
    for row in rows:
        cells = "".join(f"<td{mark}>{escape(cell)}</td>" for cell, mark in zip(row[1:], kind[1:]))
        lines.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    table = (
        f"<table>\n<caption><span>{escape(caption)}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody>\n</table>"
    )
    # A wide table scrolls inside its own box, which the keyboard can reach.
    return f'<div class="wide" role="region" aria-label="{escape(caption)}" tabindex="0">\n{table}\n</div>'
