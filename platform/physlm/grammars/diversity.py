"""How diverse a set of sentences is: distinct ways in which the symbols of one level are derived down to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm.errors import UserError
from physlm.grammars.derivation import Derivations
from physlm.grammars.entropy import Estimate


@dataclass(frozen=True)
class Diversity:
    """Sub-derivations met in a set of sentences: (symbol of one level, what it became at a lower one).

    occurrences  how many there were
    distinct     how many different ones
    collisions   pairs of occurrences that are alike
    alike        share of all pairs that are; the standard error is that of a U-statistic (Hoeffding 1948) of
                 independent occurrences. Not a number where there are no two.
    """

    occurrences: int
    distinct: int
    collisions: int
    alike: Estimate


@njit(cache=True)
def _mixed(h, x):  # type: ignore[no-untyped-def]
    """One step of a 64-bit hash (splitmix64's finaliser)."""
    h = (h ^ np.uint64(x)) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(cache=True)
def _hashes(offsets, upper_symbols, upper_indices, lower_symbols, lower_indices):  # type: ignore[no-untyped-def]
    out = np.empty(len(upper_symbols), np.uint64)
    made = 0
    for i in range(len(offsets) - 1):
        upper, lower = -1, -1
        for j in range(offsets[i], offsets[i + 1]):
            if upper_indices[j] < 0:
                continue
            if upper_indices[j] != upper:
                upper, lower = upper_indices[j], -1
                out[made] = _mixed(np.uint64(0), upper_symbols[j])
                made += 1
            if lower_indices[j] != lower:
                lower = lower_indices[j]
                out[made - 1] = _mixed(out[made - 1], lower_symbols[j] + 1)
    return out[:made]


def diversity(trees: Derivations, upper: int, lower: int) -> Diversity:
    """Count the sub-derivations from symbols of level `upper` (1 is the root) to strings of level `lower`, up to L.

    Sentences without a tree don't count. Strings are compared by 64-bit hashes.
    """
    levels = len(trees.symbols) + 1
    if not 1 <= upper < lower <= levels:
        raise UserError(f"diversity: levels must satisfy 1 <= upper < lower <= {levels}, got {upper} and {lower}")
    below = (trees.symbols[lower - 2], trees.indices[lower - 2])
    root = np.minimum(below[1], 0)  # symbol and index 0, -1 where there is no tree
    above = (trees.symbols[upper - 2], trees.indices[upper - 2]) if upper > 1 else (root, root)
    _, counts = np.unique(_hashes(trees.offsets, *above, *below), return_counts=True)
    n = int(counts.sum())
    return Diversity(n, len(counts), int((counts * (counts - 1) // 2).sum()), _alike(counts, n))


def _alike(counts: NDArray[np.int64], n: int) -> Estimate:
    if n < 2:
        return Estimate(float("nan"), float("nan"))
    others = (counts - 1) / (n - 1)  # of the other occurrences, how many are like this one
    value = float((counts * others).sum() / n)
    first = float((counts * others**2).sum() / n) - value**2
    return Estimate(value, float(np.sqrt(4 * max(first, 0.0) / n + 2 * value * (1 - value) / (n * (n - 1)))))
