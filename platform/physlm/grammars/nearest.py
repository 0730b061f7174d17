"""The sentence nearest to a string: fewest substitutions, or fewest substitutions, insertions and deletions.

cost(ℓ, A, i, n) is the fewest changes that turn the n tokens from i into something that A derives. A terminal that
stands for n tokens keeps one of them that it can be spelt as (else changes one) and drops the others, or is inserted
where n = 0; with substitutions alone n must be 1. Up the levels it is a shortest path along each rule. Here every span
must be looked at, not only those that fit, and the time grows as the cube of the length: 250 tokens of cfg3f take
0.01 s, with insertions and deletions 0.2 s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm.errors import UserError
from physlm.grammars.grammar import Grammar

_FAR = 16_000  # no way; twice as much fits in int16
_LARGEST = 2**31  # bytes of the table of costs


@dataclass(frozen=True)
class Nearest:
    """A sentence at the least distance from a string: `changes` substitutions (or edits), `sentence` int32 [m]."""

    changes: int
    sentence: NDArray[np.int32]


@njit(cache=True)
def _reads(t, terminal, token):  # type: ignore[no-untyped-def]
    if 0 <= token < len(t.reading_start) - 1:
        for r in range(t.reading_start[token], t.reading_start[token + 1]):
            if t.reading[r] == terminal:
                return True
    return False


@njit(cache=True)
def _along(before, lo, hi, costs, child_lo, child_hi, start, out):  # type: ignore[no-untyped-def]
    """out[m + n] = min(before[m] + cost of the next symbol over n tokens from start + m)."""
    rest = len(costs) - 1 - start
    for m in range(lo, min(hi, rest) + 1):
        base = before[m]
        if base >= _FAR:
            continue
        row = costs[start + m]
        last = min(child_hi, rest - m)
        for n in range(child_lo, last + 1):
            out[m + n] = min(out[m + n], base + row[n])


@njit(cache=True)
def _costs(t, tokens, edits, shortest, longest, costs):  # type: ignore[no-untyped-def]
    """Fill costs[symbol counted through all levels, start, number of tokens], int16."""
    n, depths = len(tokens), len(t.sizes) - 1
    terminals = t.symbol_start[depths]
    costs[:] = _FAR
    for terminal in range(t.sizes[depths]):
        for i in range(n + 1):
            if edits:
                costs[terminals + terminal, i, 0] = 1
                met = False
                for k in range(1, n - i + 1):
                    met |= _reads(t, terminal, tokens[i + k - 1])
                    costs[terminals + terminal, i, k] = k - 1 if met else k
            elif i < n:
                costs[terminals + terminal, i, 1] = 0 if _reads(t, terminal, tokens[i]) else 1
    nodes = len(t.child)
    reach = np.empty((nodes, n + 1), np.int16)
    lo, hi = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    for depth in range(depths - 1, -1, -1):
        below = t.symbol_start[depth + 1]
        root = t.node_start[depth]
        for start in range(n + 1 if depth else 1):
            reach[root : t.node_start[depth + 1]] = _FAR
            reach[root, 0] = 0
            for node in range(root, t.node_start[depth + 1]):
                for s in range(t.sizes[depth + 1]):
                    child = t.child[node, s]
                    if child >= 0:
                        lo[child] = lo[node] + shortest[below + s]
                        hi[child] = min(n, hi[node] + longest[below + s])
                        _along(
                            reach[node], lo[node], hi[node], costs[below + s], shortest[below + s],
                            longest[below + s], start, reach[child],
                        )  # fmt: skip
                for k in range(t.complete_start[node], t.complete_start[node + 1]):
                    best = costs[t.symbol_start[depth] + t.complete[k], start]
                    for m in range(n - start + 1):
                        best[m] = min(best[m], reach[node, m])


@njit(cache=True)
def _spell(t, terminal, tokens):  # type: ignore[no-untyped-def]
    """The token to stand for the terminal in place of these: one of them if it can be."""
    for k in range(len(tokens)):
        if _reads(t, terminal, tokens[k]):
            return tokens[k]
    return t.spelling[t.spelling_start[terminal]]


@njit(cache=True)
def _trace(t, tokens, shortest, longest, costs, sentence):  # type: ignore[no-untyped-def]
    """Write a sentence of the least cost; returns its length."""
    n, depths = len(tokens), len(t.sizes) - 1
    widest_rule = np.diff(t.right_start).max()
    reach = np.empty((widest_rule + 1, n + 1), np.int16)
    symbol, start, length = np.zeros(1, np.int64), np.zeros(1, np.int64), np.full(1, n, np.int64)
    for depth in range(depths):
        below = t.symbol_start[depth + 1]
        made = 0
        room = len(symbol) * widest_rule
        symbols, starts, lengths = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
        for j in range(len(symbol)):
            number = t.symbol_start[depth] + symbol[j]
            for rule in range(t.rule_start[number], t.rule_start[number + 1]):
                first, size = t.right_start[rule], t.right_start[rule + 1] - t.right_start[rule]
                reach[: size + 1] = _FAR
                reach[0, 0] = 0
                for k in range(size):
                    s = below + t.right[first + k]
                    _along(
                        reach[k], 0, length[j], costs[s], shortest[s], min(longest[s], length[j]), start[j],
                        reach[k + 1],
                    )  # fmt: skip
                if reach[size, length[j]] == costs[number, start[j], length[j]]:
                    break
            end = length[j]
            for k in range(size - 1, -1, -1):
                s = below + t.right[first + k]
                m = end
                while reach[k, m] + costs[s, start[j] + m, end - m] != reach[k + 1, end]:
                    m -= 1
                symbols[made + k], starts[made + k], lengths[made + k] = t.right[first + k], start[j] + m, end - m
                end = m
            made += size
        symbol, start, length = symbols[:made], starts[:made], lengths[:made]
    for j in range(len(symbol)):
        sentence[j] = _spell(t, symbol[j], tokens[start[j] : start[j] + length[j]])
    return len(symbol)


def nearest(grammar: Grammar, tokens: NDArray[np.int32], *, edits: bool = False) -> Nearest | None:
    """The sentence that differs from the string in the fewest tokens; with `edits` also insertions and deletions count.

    Returns None where no sentence has that many tokens (never with `edits`). Raises UserError where the table of costs,
    2 bytes · symbols · (n + 1)², would exceed 2 GiB.
    """
    tokens = np.ascontiguousarray(tokens, np.int32)
    n = len(tokens)
    if not edits and n > grammar.max_length:
        return None
    symbols = sum(grammar.sizes)
    if 2 * symbols * (n + 1) ** 2 > _LARGEST or n + grammar.max_length >= _FAR:
        raise UserError(f"nearest: {n} tokens are too many for a grammar of {symbols} symbols")
    t = grammar.tables
    if edits:
        shortest, longest = np.zeros(symbols, np.int64), np.full(symbols, n, np.int64)
    else:
        bounds = [bound for level in grammar.length_bounds for bound in level]
        shortest, longest = np.array(bounds, np.int64).T.copy()
    costs = np.empty((symbols, n + 1, n + 1), np.int16)
    _costs(t, tokens, edits, shortest, longest, costs)
    if costs[0, 0, n] >= _FAR:
        return None
    sentence = np.empty(grammar.max_length, np.int32)
    length = _trace(t, tokens, shortest, longest, costs, sentence)
    return Nearest(int(costs[0, 0, n]), sentence[:length].copy())
