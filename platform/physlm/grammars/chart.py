"""Parsing: whether a string is a sentence, in how many ways, how likely, and what tree it has.

The levels bound what can stand where, so the chart is built level by level from the tokens up and holds only what is
there: for each depth and start the constituents (end, symbol) that the tokens admit, each with its number of parses
and its probability (the inside probability). From one start the right-hand sides of a depth are read along their
prefix tree, ways to reach the same node and end merged; so rules of any length cost what pairs cost. A chart is never
larger than the square of the sentence times the number of symbols; of a sentence of the published grammars it has a
few constituents per token.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm.errors import UserError
from physlm.grammars.grammar import Grammar, Tables
from physlm.grammars.scaled import LOG_UNIT, product, total

# A constituent in the chart, or a node of a prefix tree reached at `end`; p and c are scaled numbers.
ITEM = np.dtype(
    [("end", "i4"), ("symbol", "i4"), ("p", "f8"), ("p_exp", "i4"), ("c_exp", "i4"), ("c", "f8")], align=True
)


class Scratch(NamedTuple):
    """Memory for the chart of any sentence of at most n tokens; `slot` and `cells` may hold anything."""

    begin: NDArray[np.int64]  # [L, n + 2] where in the chart the constituents of a depth and start begin
    cells: NDArray[np.void]  # [nodes of the largest tree · (n + 1)] ITEM: nodes reached, `symbol` being the node
    slot: NDArray[np.int32]  # [nodes of the largest tree or symbols, n + 1] place of (node or symbol, end)


def scratch(t: Tables, n: int) -> Scratch:
    """Memory to parse sentences of at most n tokens with."""
    nodes = int(np.diff(t.node_start).max())
    return Scratch(
        np.zeros((len(t.sizes), n + 2), np.int64),
        np.empty(nodes * (n + 1), ITEM),
        np.empty((max(nodes, int(t.sizes.max())), n + 1), np.int32),
    )


@njit(cache=True)
def read(root, start, child, begin, cells, slot, chart):  # type: ignore[no-untyped-def]
    """Fill `cells` with every beginning of a right-hand side that the constituents from `start` on admit.

    root, child: the prefix tree; begin: where the constituents of the next level begin, by start. Returns how many
    cells there are, the empty beginning first. A cell's p and c are summed over the ways to get there.
    """
    empty = cells[0]
    empty.symbol, empty.end = root, start
    empty.p, empty.p_exp, empty.c, empty.c_exp = 1.0, 0, 1.0, 0
    used = 1
    q = 0
    while q < used:  # cells come in order of length, so a cell is whole when its turn comes
        cell = cells[q]
        for j in range(begin[cell.end], begin[cell.end + 1]):
            item = chart[j]
            node = child[cell.symbol, item.symbol]
            if node < 0:
                continue
            p, pe = product(cell.p, cell.p_exp, item.p, item.p_exp)
            c, ce = product(cell.c, cell.c_exp, item.c, item.c_exp)
            place = slot[node - root, item.end]
            # `slot` is never cleared: an entry counts only if the cell that it points to confirms it
            if 0 <= place < used and cells[place].symbol == node and cells[place].end == item.end:
                old = cells[place]
                old.p, old.p_exp = total(old.p, old.p_exp, p, pe)
                old.c, old.c_exp = total(old.c, old.c_exp, c, ce)
            else:
                slot[node - root, item.end] = used
                new = cells[used]
                new.symbol, new.end = node, item.end
                new.p, new.p_exp, new.c, new.c_exp = p, pe, c, ce
                used += 1
        q += 1
    return used


@njit(cache=True)
def inside(t, tokens, work, chart):  # type: ignore[no-untyped-def]
    """The chart of all constituents of the tokens, root constituents from position 0 only.

    Returns the chart, grown if it had to; `work.begin[depth, i]` to `[depth, i + 1]` are those that start at i.
    """
    n, depths = len(tokens), len(t.sizes) - 1
    used = 0
    for i in range(n):
        work.begin[depths, i] = used
        token = tokens[i]
        if 0 <= token < len(t.reading_start) - 1:
            for r in range(t.reading_start[token], t.reading_start[token + 1]):
                if used == len(chart):
                    chart = np.concatenate((chart, np.empty_like(chart)))
                new = chart[used]
                new.end, new.symbol = i + 1, t.reading[r]
                new.p, new.p_exp, new.c, new.c_exp = t.reading_chance[r], 0, 1.0, 0
                used += 1
    work.begin[depths, n:] = used
    for depth in range(depths - 1, -1, -1):
        starts = n if depth > 0 else min(n, 1)
        root = t.node_start[depth]
        for i in range(starts):
            work.begin[depth, i] = used
            first = used
            for q in range(read(root, i, t.child, work.begin[depth + 1], work.cells, work.slot, chart)):
                cell = work.cells[q]
                for k in range(t.complete_start[cell.symbol], t.complete_start[cell.symbol + 1]):
                    symbol = t.complete[k]
                    number = t.symbol_start[depth] + symbol
                    chance = 1.0 / (t.rule_start[number + 1] - t.rule_start[number])
                    p, pe = product(cell.p, cell.p_exp, chance, 0)
                    j = work.slot[symbol, cell.end]
                    if first <= j < used and chart[j].symbol == symbol and chart[j].end == cell.end:
                        old = chart[j]
                        old.p, old.p_exp = total(old.p, old.p_exp, p, pe)
                        old.c, old.c_exp = total(old.c, old.c_exp, cell.c, cell.c_exp)
                    else:
                        if used == len(chart):
                            chart = np.concatenate((chart, np.empty_like(chart)))
                        work.slot[symbol, cell.end] = used
                        new = chart[used]
                        new.end, new.symbol = cell.end, symbol
                        new.p, new.p_exp, new.c, new.c_exp = p, pe, cell.c, cell.c_exp
                        used += 1
        work.begin[depth, starts:] = used
    return chart


@njit(cache=True)
def _parse(t, tokens, offsets, longest, work, chart, out):  # type: ignore[no-untyped-def]
    for i in range(len(offsets) - 1):
        n = offsets[i + 1] - offsets[i]
        out.parses[i], out.log_parses[i], out.log_probability[i] = 0.0, -np.inf, -np.inf
        if n > longest:
            continue
        chart = inside(t, tokens[offsets[i] : offsets[i + 1]], work, chart)
        for j in range(work.begin[0, 0], work.begin[0, 1]):
            if chart[j].end == n:
                out.log_parses[i] = np.log(chart[j].c) + LOG_UNIT * chart[j].c_exp
                out.log_probability[i] = np.log(chart[j].p) + LOG_UNIT * chart[j].p_exp
                out.parses[i] = chart[j].c if chart[j].c_exp == 0 else np.exp(out.log_parses[i])


class Parses(NamedTuple):
    """What parsing says of n strings.

    parses           float64 [n]: number of parses; 0 = not in the language; exact up to 2⁵³, inf above 10³⁰⁸
    log_parses       float64 [n]: its natural logarithm, -inf for 0, finite for any other number
    log_probability  float64 [n]: of the string as a whole sentence, in nats; -inf = not in the language
    """

    parses: NDArray[np.float64]
    log_parses: NDArray[np.float64]
    log_probability: NDArray[np.float64]


def strings(tokens: NDArray[np.int32], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The same strings in the memory layout that compiled code is made for. Raises UserError for wrong offsets."""
    tokens, offsets = np.ascontiguousarray(tokens, np.int32), np.ascontiguousarray(offsets, np.int64)
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(tokens) or (np.diff(offsets) < 0).any():
        raise UserError(f"offsets of strings must ascend from 0 to the number of tokens, {len(tokens)}")
    return tokens, offsets


def parse(grammar: Grammar, tokens: NDArray[np.int32], offsets: NDArray[np.int64]) -> Parses:
    """Parse n strings: string i is tokens[offsets[i]:offsets[i + 1]], int32 and int64 [n + 1].

    Any string is welcome: those longer than the longest sentence are refused unread.
    """
    tokens, offsets = strings(tokens, offsets)
    n = len(offsets) - 1
    out = Parses(np.empty(n), np.empty(n), np.empty(n))
    longest = min(grammar.max_length, int(np.diff(offsets).max(initial=0)))
    work = scratch(grammar.tables, longest)
    chart = np.empty(64 + 16 * longest, ITEM)
    _parse(grammar.tables, tokens, offsets, grammar.max_length, work, chart, out)
    return out
