"""Auto-R: which of some candidates to train on, judged on held-out pairs; "no synthetic data" is chosen unless one is shown to beat it.

The one-standard-error rule (Breiman et al. 1984, section 3.4.3) keeps the simpler model unless another is better by more than a standard
error. Here the simplest is D, the error is that of the paired difference to D, and it holds for all candidates together: the best of many
that change nothing beats D by one standard error nearly always.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A training set that was tried.

    Args:
        miou: mean over seeds on held, as a fraction.
        ratio: R.
        real_share: of the batches, in (0, 1).
        outcome: gain, loss or undecided: whether every interval of the difference to D, at the level of `corrected`, lies above zero,
            below it, or neither.
    """

    miou: float
    ratio: int
    real_share: float
    outcome: str


def corrected(level: float, candidates: int) -> float:
    """The level of each interval by which all candidates together are held to `level` (Bonferroni)."""
    return 1 - (1 - level) / max(1, candidates)


def choose(candidates: Sequence[Candidate]) -> int | None:
    """Number of the best candidate that is shown to beat D; None: D alone.

    Of equal scores the one with fewer synthetic pairs is taken, then that with the larger share of real ones, then the first.
    """
    shown = [number for number, each in enumerate(candidates) if each.outcome == "gain" and not math.isnan(each.miou)]
    return max(shown, key=lambda number: _preferred(candidates[number], number), default=None)


def best(candidates: Sequence[Candidate]) -> int | None:
    """Number of the candidate with the best score, shown or not, by the same order; None where none has a score."""
    scored = [number for number, each in enumerate(candidates) if not math.isnan(each.miou)]
    return max(scored, key=lambda number: _preferred(candidates[number], number), default=None)


def _preferred(candidate: Candidate, number: int) -> tuple[float, int, float, int]:
    return candidate.miou, -candidate.ratio, candidate.real_share, -number
