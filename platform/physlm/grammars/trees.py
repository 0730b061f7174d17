"""The tree of a given sentence, and the exact number of its trees however large."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm.grammars.chart import ITEM, inside, parse, scratch, strings
from physlm.grammars.derivation import Derivations
from physlm.grammars.grammar import Grammar

EXACT = 2.0**53  # a float64 count up to here is exact


@njit(cache=True)
def _split(t, depth, number, start, end, work, chart, met, cuts):  # type: ignore[no-untyped-def]
    """Find a rule of the symbol and cuts of start..end that its right-hand side fits. Returns the rule.

    The first rule that fits is taken, and its last constituents as long as can be.
    """
    for rule in range(t.rule_start[number], t.rule_start[number + 1]):
        first = t.right_start[rule]
        length = t.right_start[rule + 1] - first
        met[0, start : end + 1] = False
        met[0, start] = True
        for k in range(length):
            met[k + 1, start : end + 1] = False
            for at in range(start, end):
                if met[k, at]:
                    for j in range(work.begin[depth + 1, at], work.begin[depth + 1, at + 1]):
                        if chart[j].symbol == t.right[first + k] and chart[j].end <= end:
                            met[k + 1, chart[j].end] = True
        if not met[length, end]:
            continue
        cuts[length] = end
        for k in range(length - 1, -1, -1):
            for at in range(start, cuts[k + 1]):
                if met[k, at]:
                    fits = False
                    for j in range(work.begin[depth + 1, at], work.begin[depth + 1, at + 1]):
                        fits |= chart[j].symbol == t.right[first + k] and chart[j].end == cuts[k + 1]
                    if fits:
                        cuts[k] = at
                        break
        return rule
    return -1


@njit(cache=True)
def _trees(t, tokens, offsets, longest, work, chart, symbols, indices):  # type: ignore[no-untyped-def]
    depths = len(t.sizes) - 1
    width = work.begin.shape[1]
    widest_rule = np.diff(t.right_start).max()
    met = np.empty((widest_rule + 1, width), np.bool_)
    cuts = np.empty(widest_rule + 1, np.int64)
    symbol, starts = np.empty(width, np.int64), np.empty(width + 1, np.int64)
    below, below_starts = np.empty(width, np.int64), np.empty(width + 1, np.int64)
    for i in range(len(offsets) - 1):
        lo, n = offsets[i], offsets[i + 1] - offsets[i]
        symbols[:, lo : lo + n] = -1
        indices[:, lo : lo + n] = -1
        if n > longest or n == 0:
            continue
        chart = inside(t, tokens[lo : lo + n], work, chart)
        whole = False
        for j in range(work.begin[0, 0], work.begin[0, 1]):
            whole |= chart[j].end == n
        if not whole:
            continue
        count = 1
        symbol[0], starts[0], starts[1] = 0, 0, n
        for depth in range(depths):
            made = 0
            for j in range(count):
                rule = _split(
                    t, depth, t.symbol_start[depth] + symbol[j], starts[j], starts[j + 1], work, chart, met, cuts
                )
                for k in range(t.right_start[rule + 1] - t.right_start[rule]):
                    below[made], below_starts[made] = t.right[t.right_start[rule] + k], cuts[k]
                    symbols[depth, lo + cuts[k] : lo + cuts[k + 1]] = below[made]
                    indices[depth, lo + cuts[k] : lo + cuts[k + 1]] = made
                    made += 1
            count = made
            below_starts[count] = n
            symbol[:count] = below[:count]
            starts[: count + 1] = below_starts[: count + 1]


def trees(grammar: Grammar, tokens: NDArray[np.int32], offsets: NDArray[np.int64]) -> Derivations:
    """A tree of each of n strings tokens[offsets[i]:offsets[i + 1]]; -1 throughout where the string is no sentence.

    Where a sentence has several trees it is always the same one of them; `parse` tells how many there are.
    """
    tokens, offsets = strings(tokens, offsets)
    t = grammar.tables
    longest = min(grammar.max_length, int(np.diff(offsets).max(initial=0)))
    symbols = np.empty((grammar.depth, len(tokens)), np.int32)
    indices = np.empty((grammar.depth, len(tokens)), np.int32)
    chart = np.empty(64 + 16 * longest, ITEM)
    _trees(t, tokens, offsets, grammar.max_length, scratch(t, longest), chart, symbols, indices)
    return Derivations(offsets, symbols, indices)


def count_parses(grammar: Grammar, tokens: NDArray[np.int32]) -> int:
    """Number of parses of one string, exact at any size: above 2⁵³ in whole numbers, a thousand times slower."""
    count = parse(grammar, tokens, np.array([0, len(tokens)], np.int64)).parses[0]
    if count <= EXACT:
        return int(count)
    terminals: dict[int, list[int]] = {}
    for terminal, row in enumerate(grammar.spelling):
        for token, _ in row:
            terminals.setdefault(token, []).append(terminal)
    # ways[start][end, symbol] for one level, from the tokens up
    ways = [Counter({(i + 1, t): 1 for t in terminals.get(token, ())}) for i, token in enumerate(tokens.tolist())]
    for symbols in reversed(grammar.rules):
        below = [*ways, Counter[tuple[int, int]]()]
        ways = [Counter() for _ in tokens]
        for start, here in enumerate(ways):
            for symbol, rules in enumerate(symbols):
                for rule in rules:
                    ends = Counter({start: 1})
                    for s in rule:
                        onward: Counter[int] = Counter()
                        for at, count in ends.items():
                            for (end, other), more in below[at].items():
                                if other == s:
                                    onward[end] += count * more
                        ends = onward
                    for end, count in ends.items():
                        here[end, symbol] += count
    return ways[0][len(tokens), 0]
