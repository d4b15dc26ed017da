"""The rows of all benchmarks as a table and as a picture."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from benchmarks.interleaved import AT_LEAST, AT_MOST, Row

JUDGED = {True: "reached", False: "**missed**", None: "–"}
SENSES = {AT_LEAST: "at least", AT_MOST: "at most"}


def markdown(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """A table: what, aim, median with its spread, and whether the aim is reached; then what is behind each number."""
    facts = ", ".join(value if key == "processor" else f"{key} {value}" for key, value in machine.items())
    lines = [f"Measured on {facts}; median (least to most) over rounds taken in turns.", ""]
    lines += ["| what | aim | measured | |", "|---|---|---|---|"]
    for row in rows:
        aim = "" if row.aim is None else f"{SENSES[row.sense]} {number(row.aim)} {row.unit}".strip()
        spread = "" if row.least == row.most else f" ({number(row.least)} to {number(row.most)})"
        lines.append(f"| {row.what} | {aim} | {number(row.value)} {row.unit}{spread} | {JUDGED[row.reached]} |")
    behind = [
        f"- {row.what}: {'; '.join(f'{key}: {value if isinstance(value, str) else number(value)}' for key, value in row.detail.items())}"
        for row in rows
        if row.detail
    ]
    if behind:
        lines += ["", "Behind these numbers:", "", *behind]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three significant digits, without an exponent where that is short."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:.1e}"


def draw(rows: Sequence[Row]) -> Figure:
    """How many times its aim each row reaches, on a logarithmic axis: right of the line is reached; bars show the spread."""
    shown = [row for row in rows if row.aim and row.value > 0]
    figure = Figure(figsize=(9, 1 + 0.34 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(shown):
        ends = np.array([row.least, row.value, row.most])
        times = ends / row.aim if row.sense == AT_LEAST else row.aim / np.maximum(ends, 1e-12)
        colour = "#0757b0" if times[1] >= 1 else "#b3261e"
        axes.plot([times.min(), times.max()], [place, place], color=colour, linewidth=3, alpha=0.4, solid_capstyle="round")
        axes.plot(times[1], place, "o" if times[1] >= 1 else "X", color=colour)
        axes.annotate(
            f"{number(row.value)} {row.unit}", (times.max(), place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.axvline(1, color="0.4", linewidth=1)
    axes.set_yticks(range(len(shown)), [f"{row.what}\n(aim {SENSES[row.sense]} {number(row.aim)} {row.unit})" for row in shown], fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.18)
    axes.set_xlabel("times the aim (right of the line: reached)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
