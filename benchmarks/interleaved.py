"""Ratios measured in turns within one process, so that a noisy machine hits every side alike.

bench = Bench(__doc__, rounds=5)
bench.ratio("what is compared", {"peer": call, "satsynth": call}, units={"peer": 8, "satsynth": 8}, unit="images", aim=2.0)
bench.close()
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

AT_LEAST, AT_MOST = ">=", "<="


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, and what was aimed at.

    Args:
        what: in a few words.
        value: median.
        least, most: over the rounds.
        aim: bound to reach, or None.
        sense: whether the aim is a least (">=") or a greatest ("<=") value.
        unit: of value and aim: "x" for ratios.
        detail: figures behind it, by name.
        quick: whether it was measured in quick mode, whose figures judge nothing.
    """

    what: str
    value: float
    least: float
    most: float
    aim: float | None = None
    sense: str = AT_LEAST
    unit: str = "x"
    detail: Mapping[str, float | str] | None = None
    quick: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the aim; None where there is none, or nothing to judge."""
        if self.aim is None or self.quick:
            return None
        return self.value >= self.aim if self.sense == AT_LEAST else self.value <= self.aim


class Bench:
    """The command line of a benchmark, its measurements, and the rows that come of them.

    Args:
        text: the script's docstring; its first line is the help text.
        rounds: how often each side is measured where nothing is said; a quick run measures once.
    """

    def __init__(self, text: str, rounds: int):
        self.parser = argparse.ArgumentParser(description=text.splitlines()[0])
        self.parser.add_argument("--rounds", type=int, default=rounds, help=f"measurements of each side, in turns (default {rounds})")
        self.parser.add_argument("--quick", action="store_true", help="one small measurement: shows that it works, judges nothing")
        self.parser.add_argument("--json", type=Path, help="file to write the rows to")
        self.rows: list[Row] = []
        self._chosen: argparse.Namespace | None = None

    @property
    def chosen(self) -> argparse.Namespace:
        """The command line, read once; arguments of a script's own are added to `parser` before."""
        if self._chosen is None:
            self._chosen = self.parser.parse_args()
            if self._chosen.quick:
                self._chosen.rounds = 1
        return self._chosen

    @property
    def quick(self) -> bool:
        """Whether a small measurement is enough."""
        return self.chosen.quick

    def ratio(
        self,
        what: str,
        sides: Mapping[str, Callable[[], object]],
        *,
        units: Mapping[str, float],
        unit: str,
        aim: float | None = None,
        clock: Callable[[], float] = time.process_time,
    ) -> float:
        """Measure sides in turns; the row is how many times the units per second of the first side the last one does (also returned)."""
        return self.compare(what, measure(sides, self.chosen.rounds, clock), units=units, unit=unit, aim=aim)

    def compare(
        self, what: str, seconds: Mapping[str, np.ndarray], *, units: Mapping[str, float], unit: str, aim: float | None = None
    ) -> float:
        """As `ratio`, of seconds measured before."""
        print(what)
        for name, values in seconds.items():
            speed = units[name] / values
            print(f"  {name:<48} {np.median(speed):11.4g} {unit} a second  ({speed.min():.4g} to {speed.max():.4g})")
        first, *_, last = seconds
        ratios = (seconds[first] / units[first]) / (seconds[last] / units[last])
        speeds = {name: float(np.median(units[name] / values)) for name, values in seconds.items()}
        self.record(what, ratios, aim=aim, detail={f"{name}, {unit} a second": speed for name, speed in speeds.items()})
        return float(np.median(ratios))

    def record(
        self,
        what: str,
        values: Sequence[float] | np.ndarray,
        *,
        aim: float | None = None,
        sense: str = AT_LEAST,
        unit: str = "x",
        detail: Mapping[str, float | str] | None = None,
    ) -> None:
        """Add and print the row of these values, one a round."""
        values = np.asarray(values, float)
        row = Row(what, float(np.median(values)), float(values.min()), float(values.max()), aim, sense, unit, detail, self.quick)
        said = {True: "reached", False: "missed", None: "not judged"}[row.reached]
        aimed = "" if aim is None else f"; aim {sense} {aim:g}: {said}"
        print(f"  {what}: {row.value:.4g} {unit} ({row.least:.4g} to {row.most:.4g} in {len(values)}){aimed}")
        self.rows.append(row)

    def close(self) -> None:
        """Write the rows where the command line asks for them."""
        if self.chosen.json:
            self.chosen.json.write_text(json.dumps([asdict(row) for row in self.rows], indent=1, ensure_ascii=False) + "\n")


def measure(
    sides: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[str, np.ndarray]:
    """Seconds of every call, `repeats` of each side, taken in turns after one call each to warm up; the clock counts CPU time."""
    for call in sides.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            begun = clock()
            call()
            seconds[name].append(clock() - begun)
    return {name: np.array(values) for name, values in seconds.items()}
