"""What an admission decided of every pair of a source: the columns that the gallery filters by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from satsynth.runtime.errors import DataError

WORDS = ("admitted", "masked", "rejected")
COLUMNS = ("index", "decision", "reasons", "masked", "distance")


@dataclass(frozen=True)
class Decisions:
    """A row a pair of `table` (decision, reasons, masked, distance), or none where nothing was decided."""

    table: pd.DataFrame | None

    @classmethod
    def read(cls, paths: Sequence[Path], indices: pd.Series) -> "Decisions":
        """Read the decisions of the pairs of these absolute indices.

        Args:
            paths: decisions.csv of an admission's shards (see `satsynth.selection.admission.decide`): index (absolute), decision (one of
                `WORDS`), reasons (text), masked (share of the labelled pixels that are in doubt), distance (by the judge, to the pairs
                that the generators learned).
            indices: of the pairs that are shown; all of them must have been decided.

        Raises:
            DataError: a column is missing, a decision is none, or a pair was not decided.
        """
        if not paths:
            return cls(None)
        parts = []
        for path in paths:
            part = pd.read_csv(
                path, keep_default_na=False, na_values={"masked": [""], "distance": [""]}, dtype={"decision": str, "reasons": str}
            )
            missing = [name for name in COLUMNS if name not in part]
            if missing:
                raise DataError(path, f"it is no table of decisions: it lacks {', '.join(missing)}.", "Admit the pairs again.")
            strange = sorted(set(part["decision"]) - set(WORDS))
            if strange:
                raise DataError(path, f"'{strange[0]:.40}' is no decision.", "Admit the pairs again.")
            parts.append(part[list(COLUMNS)])
        table = pd.concat(parts).drop_duplicates("index").set_index("index").reindex(indices)
        if table["decision"].isna().any():
            lacking = table.index[table["decision"].isna()][0]
            raise DataError(paths[0], f"pair {lacking} was not decided.", "Admit the pairs again.")
        return cls(table)

    def columns(self) -> dict[str, list]:
        """The columns of the table by their names in the gallery; decisions as places in `WORDS`."""
        if self.table is None:
            return {}
        places = self.table["decision"].map(WORDS.index)
        told = {name: self.table[name].tolist() for name in ("reasons", "masked")}
        return {"decision": places.tolist(), **told, "judgedDistance": self.table["distance"].tolist()}

    def counts(self) -> dict[str, int]:
        """How many pairs each decision has; {} where nothing was decided."""
        return {} if self.table is None else {word: int((self.table["decision"] == word).sum()) for word in WORDS}
