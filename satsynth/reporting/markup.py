"""A table as CSV (numbers), Markdown and LaTeX (for people), and back from Markdown for the page."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from satsynth.runtime import files
from satsynth.runtime.errors import DataError

NONE = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "³": r"$^3$",
    "−": r"$-$",
    "∪": r"$\cup$",
    "′": r"$'$",
    "√": r"$\surd$",
    "×": r"$\times$",
    "∩": r"$\cap$",
    "–": "--",
    "\u00a0": "~",
    "\u202f": r"\,",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
}


@dataclass(frozen=True)
class Table:
    """One table: `frame` holds every number in full precision; `header` and `rows` are what a reader sees; `notes` stand under it."""

    title: str
    frame: pd.DataFrame
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Printed:
    """What a Markdown table of this project says: the readable half of a `Table`."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def number(value: float, *, digits: int = 2, sign: bool = False) -> str:
    """A number with `digits` decimals, a true minus sign, a dash for NaN; with `sign`, a plus where it is positive."""
    if math.isnan(value):
        return NONE
    text = f"{abs(value):.{digits}f}"
    zero = float(text) == 0
    mark = "−" if value < 0 and not zero else "+" if sign and not zero else ""
    return mark + text


def plus_minus(mean: float, error: float) -> str:
    """`mean ± error`, whole where the error is 100 or more; the mean alone where the error is NaN, a dash where the mean is."""
    if math.isnan(error) or math.isnan(mean):
        return number(mean)
    digits = 0 if error >= 100 else 2
    return f"{number(mean, digits=digits)} ± {number(error, digits=digits)}"


def interval(low: float, high: float) -> str:
    """`[low, high]` with signs, a dash where there is none."""
    return NONE if math.isnan(low) or math.isnan(high) else f"[{number(low, sign=True)}, {number(high, sign=True)}]"


def count(value: float) -> str:
    """A whole number with a thin space between thousands, a dash for NaN."""
    return NONE if math.isnan(value) else f"{round(value):,}".replace(",", "\u202f")


def listing(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def to_csv(table: Table) -> str:
    """The frame as CSV: full precision (17 digits where needed), empty cells for NaN, `\\n` line ends."""
    text = io.StringIO()
    table.frame.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def to_markdown(table: Table) -> str:
    """A pipe table under a heading, with its notes as a list."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    lines = [f"# {table.title}", "", line(table.header), "|" + "|".join(" --- " for _ in table.header) + "|"]
    lines += [line(row) for row in table.rows]
    lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def latex(text: str) -> str:
    """Plain text with the characters escaped that LaTeX would take for commands; the project's own signs become mathematics."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def to_latex(table: Table) -> str:
    """A `table` float in booktabs style; needs `\\usepackage{booktabs}` and nothing else."""

    def line(cells: Sequence[str]) -> str:
        return "    " + " & ".join(latex(cell) for cell in cells) + r" \\"

    columns = "".join("r" if all(numeric(row[place]) for row in table.rows) else "l" for place in range(len(table.header)))
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering\footnotesize\setlength{\tabcolsep}{3pt}",
        f"  \\caption{{{latex(table.title)}}}",
        f"  \\begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        line(table.header),
        r"    \midrule",
        *(line(row) for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        *(f"  \\par\\smallskip\\raggedright {latex(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def numeric(cell: str) -> bool:
    """Whether a cell shows a number, an interval or a dash, so that it is set flush right."""
    return cell == NONE or (cell != "" and cell[0] in "0123456789+−[")


def write(table: Table, out: dict[str, str | Path]) -> None:
    """Write the table to the paths of `out`: any of the keys csv, md, tex."""
    makers = {"csv": to_csv, "md": to_markdown, "tex": to_latex}
    for kind, path in out.items():
        files.write_text(path, makers[kind](table))


def read_markdown(path: str | Path) -> Printed:
    """Read what `to_markdown` wrote.

    Raises:
        DataError: the file holds no such table.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    piped = [_cells(line) for line in lines if line.startswith("|")]
    if len(piped) < 2 or not lines[0].startswith("# "):
        raise DataError(path, "it holds no table.", "Run the table's rule again.")
    notes = tuple(line[2:] for line in lines if line.startswith("- "))
    return Printed(lines[0][2:], piped[0], tuple(piped[2:]), notes)


def _cells(line: str) -> tuple[str, ...]:
    cells, current, letters = [], "", iter(line.strip()[1:])
    for letter in letters:
        if letter == "\\":
            current += next(letters, "")
        elif letter == "|":
            cells.append(current.strip())
            current = ""
        else:
            current += letter
    return tuple(cells)
