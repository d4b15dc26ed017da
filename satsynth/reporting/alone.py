"""A segmenter trained on D' alone and judged on real pairs: good only if label and image of synthetic pairs belong together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from satsynth.reporting import markup, notes, statistics
from satsynth.reporting.runs import Ground, Real, Row, Run
from satsynth.reporting.runs import load as load_runs

HEADER = "mIoU on D′ alone (%)"
COLUMNS = ("alone_miou_pct", "alone_miou_se_pct", "alone_n", "constant_miou_pct")
REAL = "real"


@dataclass(frozen=True)
class Alone:
    """Scores by dataset and source ("real" for D), and what the runs were judged on, by dataset."""

    rows: dict[tuple[str, str], Row]
    grounds: dict[str, Ground]

    def cells(self, dataset: str, source: str) -> dict[str, float]:
        """mIoU in percent with its standard error over seeds, n and the constant class's mIoU; nothing for a source without runs."""
        row = self.rows.get((dataset, source))
        if row is None:
            return {}
        miou = statistics.spread(list(row.score("miou").values()))
        values = (100 * miou.mean, 100 * miou.error, miou.n, 100 * self.grounds[dataset].constant["miou"])
        return dict(zip(COLUMNS, values, strict=True))

    def notes(self) -> list[str]:
        """What the column means; nothing where nothing was trained."""
        if not self.rows:
            return []
        floors = [
            f"{markup.number(100 * ground.constant['miou'])} % ({ground.space.names[ground.constant['class']]}, {dataset})"
            for dataset, ground in self.grounds.items()
            if not math.isnan(ground.constant["miou"])
        ]
        constant = (
            " A constant class (one answer everywhere, the most frequent class of the real training pixels, scored in closed form) has "
            f"{markup.listing(floors)}."
            if floors
            else ""
        )
        segmenter = next(iter(self.rows.values())).run.segmenter
        seeds = sorted({len(row.cards) for row in self.rows.values()})
        return [
            f"{HEADER.removesuffix(' (%)')}: {segmenter}, trained on the synthetic pairs of a row (one unit, R\u00a0=\u00a01) and nothing "
            "else, and scored on real validation patches; in the row of real patches, trained on the real training pairs (D). It is low "
            f"where label and image do not belong together. {notes.ERROR} n = {markup.listing(list(map(str, seeds)))}.{constant} Images "
            "without masks train nothing."
        ]


def load(runs: Sequence[Run], real: Sequence[Real]) -> Alone:
    """Read the runs of one segmenter on D and on sources alone, of one size; no runs make an empty result.

    Raises:
        ConfigError, StoreError: see `satsynth.reporting.runs.load`.
    """
    if not runs:
        return Alone({}, {})
    grounds, groups = load_runs(runs, real)
    rows = {(key[0], row.run.source or REAL): row for key, members in groups.items() for row in members}
    return Alone(rows, {dataset: ground for (dataset, _), ground in grounds.items()})
