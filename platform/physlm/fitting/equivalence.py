"""Whether accuracies are no more than chance: two one-sided tests (Schuirmann 1987), exact for counts.

That a difference isn't significant is no evidence that there is none. Here the burden is turned: accuracies are
equivalent to a reference within a margin if both "at least the margin above" and "at least the margin below" are
rejected. So Part 3.2's claim is tested that inverse search is impossible (arXiv 2309.14402).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from physlm.errors import LawDataError
from physlm.laws.law import Interval
from physlm.laws.scales import Array


@dataclass(frozen=True)
class Equivalence:
    """accuracy over all runs, with the interval that lies within the margin where they are equivalent.

    chance   the larger p-value of the two tests
    verdict  equivalent; different where the interval lies outside the margin; undecided otherwise
    spread   how much more runs scatter than their items alone would; counts are divided by it
    """

    accuracy: float
    interval: Interval
    reference: float
    margin: float
    chance: float
    spread: float
    verdict: Literal["equivalent", "different", "undecided"]

    def summary(self) -> str:
        """One line for people."""
        low, high = self.reference - self.margin, self.reference + self.margin
        return (
            f"{self.verdict}: accuracy {self.accuracy:.4g} [{self.interval.low:.4g}, {self.interval.high:.4g}], "
            f"equivalent to {self.reference:.4g} if within [{max(0.0, low):.4g}, {high:.4g}]; p = {self.chance:.2g}"
        )


def equivalence(
    accuracies: Array, items: Array, reference: float, margin: float = 0.02, level: float = 0.95
) -> Equivalence:
    """Test accuracies of runs [r], each a share of so many items [r], against a reference, at 1 - level.

    Raises LawDataError for what can't be tested.
    """
    if not len(accuracies):
        raise LawDataError("there is no accuracy to test")
    if not (np.isfinite(accuracies).all() and (accuracies >= 0).all() and (accuracies <= 1).all()):
        raise LawDataError("accuracies must be shares from 0 to 1; divide percentages by 100")
    if not (np.isfinite(items).all() and (items >= 1).all()):
        raise LawDataError("each accuracy must be of at least one item")
    if not (0 <= reference <= 1 and 0 < margin < 1):
        raise LawDataError(f"the reference must be a share and the margin above 0, got {reference:g} and {margin:g}")
    total = float(items.sum())
    share = float((accuracies * items).sum() / total)
    freedom = len(items) - 1
    expected = share * (1 - share)
    spread = 1.0
    if freedom and expected > 0:
        spread = max(1.0, float((items * (accuracies - share) ** 2).sum() / expected / freedom))
    count = max(1, round(total / spread))
    right = round(share * count)
    tail = 1 - level
    below, above = reference + margin, reference - margin
    not_above = float(stats.binom.cdf(right, count, min(1.0, below))) if below < 1 else 0.0
    not_below = float(stats.binom.sf(right - 1, count, above)) if above > 0 else 0.0
    low = float(stats.beta.ppf(tail, right, count - right + 1)) if right else 0.0
    high = float(stats.beta.ppf(1 - tail, right + 1, count - right)) if right < count else 1.0
    chance = max(not_above, not_below)
    verdict: Literal["equivalent", "different", "undecided"] = (
        "equivalent" if chance < tail else "different" if low > below or high < above else "undecided"
    )
    return Equivalence(share, Interval(low, high, 1 - 2 * tail), reference, margin, chance, spread, verdict)
