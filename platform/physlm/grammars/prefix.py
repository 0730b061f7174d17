"""What comes next: the exact distribution of the next token after every prefix of a string.

The chart tells how likely each constituent derives the tokens that it spans. From the root down, F_ℓ(k, A) is the
probability of deriving the first k tokens and then having to derive the symbol A of level ℓ: over all starts i, rules
P → ... A ... of level ℓ - 1 and their constituents from i to k,

    F_ℓ(k, A) = Σ F_{ℓ-1}(i, P) / deg(P) · Π inside

At the level of the terminals F(k, t) is the probability that t follows the first k tokens, exactly; the sentence ends
there with the root's inside probability. Both sums are finite because levels cannot recur.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm.grammars.chart import ITEM, inside, read, scratch, strings
from physlm.grammars.grammar import Grammar
from physlm.grammars.scaled import product, ratio, total


@njit(cache=True)
def _ahead(t, depth, at, f, f_exp, through, through_exp):  # type: ignore[no-untyped-def]
    """For each node of the depth's tree, Σ F(at, P) / deg(P) over the rules of P that go through it."""
    root = t.node_start[depth]
    for node in range(t.node_start[depth + 1] - 1, root - 1, -1):
        m, e = 0.0, 0
        for k in range(t.complete_start[node], t.complete_start[node + 1]):
            symbol = t.complete[k]
            number = t.symbol_start[depth] + symbol
            chance = 1.0 / (t.rule_start[number + 1] - t.rule_start[number])
            p, pe = product(f[depth, at, symbol], f_exp[depth, at, symbol], chance, 0)
            m, e = total(m, e, p, pe)
        for s in range(t.sizes[depth + 1]):
            child = t.child[node, s]
            if child >= 0:
                m, e = total(m, e, through[child - root], through_exp[child - root])
        through[node - root], through_exp[node - root] = m, e


@njit(cache=True)
def _next(t, tokens, offsets, longest, work, chart, out):  # type: ignore[no-untyped-def]
    depths = len(t.sizes) - 1
    widest = t.sizes.max()
    n_max = work.begin.shape[1] - 2
    f = np.empty((depths + 1, n_max + 1, widest))
    f_exp = np.empty((depths + 1, n_max + 1, widest), np.int64)
    through, through_exp = np.empty(len(work.slot)), np.empty(len(work.slot), np.int64)
    for i in range(len(offsets) - 1):
        row = offsets[i] + i
        n = min(offsets[i + 1] - offsets[i], longest)
        chart = inside(t, tokens[offsets[i] : offsets[i] + n], work, chart)
        f[:, : n + 1], f_exp[:, : n + 1] = 0.0, 0
        f[0, 0, 0] = 1.0
        for depth in range(depths):
            root = t.node_start[depth]
            for at in range(n + 1 if depth else 1):
                if f[depth, at, : t.sizes[depth]].max() == 0.0:
                    continue
                _ahead(t, depth, at, f, f_exp, through, through_exp)
                for q in range(read(root, at, t.child, work.begin[depth + 1], work.cells, work.slot, chart)):
                    cell = work.cells[q]
                    end = cell.end
                    for s in range(t.sizes[depth + 1]):
                        node = t.child[cell.symbol, s]
                        if node >= 0 and through[node - root] > 0.0:
                            p, pe = product(cell.p, cell.p_exp, through[node - root], through_exp[node - root])
                            f[depth + 1, end, s], f_exp[depth + 1, end, s] = total(
                                f[depth + 1, end, s], f_exp[depth + 1, end, s], p, pe
                            )
        ends, ends_exp = np.zeros(n + 1), np.zeros(n + 1, np.int64)
        for j in range(work.begin[0, 0], work.begin[0, 1]):
            ends[chart[j].end], ends_exp[chart[j].end] = chart[j].p, chart[j].p_exp
        out[row : offsets[i + 1] + i + 1] = 0.0
        for at in range(n + 1):
            m, e = ends[at], ends_exp[at]
            for s in range(t.sizes[depths]):
                m, e = total(m, e, f[depths, at, s], f_exp[depths, at, s])
            if m == 0.0:
                break  # no sentence begins like this
            out[row + at, 0] = ratio(ends[at], ends_exp[at], m, e)
            for s in range(t.sizes[depths]):
                share = ratio(f[depths, at, s], f_exp[depths, at, s], m, e)
                for k in range(t.spelling_start[s], t.spelling_start[s + 1]):
                    out[row + at, t.spelling[k]] += share * t.spelling_share[k]


def next_token(grammar: Grammar, tokens: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Distribution of what follows every prefix, the empty one and the whole string among them, of n strings.

    String i is tokens[offsets[i]:offsets[i + 1]]. Returns float64 [total + n, largest token + 1]: row
    offsets[i] + i + k belongs to the first k tokens of string i, column 0 to the sentence's end. Rows sum to 1, or
    are 0 where no sentence begins so.
    """
    tokens, offsets = strings(tokens, offsets)
    longest = grammar.max_length
    n_max = min(longest, int(np.diff(offsets).max(initial=0)))
    out = np.empty((len(tokens) + len(offsets) - 1, grammar.tokens + 1))
    t = grammar.tables
    _next(t, tokens, offsets, longest, scratch(t, n_max), np.empty(64 + 16 * n_max, ITEM), out)
    return out


def valid_prefix(grammar: Grammar, tokens: NDArray[np.int32]) -> int:
    """How many of the tokens, from the first on, some sentence begins with."""
    offsets = np.array([0, len(tokens)], np.int64)
    return int(next_token(grammar, tokens, offsets).any(axis=1).sum()) - 1
