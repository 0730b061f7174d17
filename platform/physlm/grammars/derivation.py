"""Derivations of sentences: drawing them, the tree that every token stands in, and how diverse a set of them is.

A derivation seen from its tokens (Part 1, section 4.1): at each level ℓ a token i stands under one symbol s_ℓ(i), the
p_ℓ(i)-th of that level in the sentence, and is a boundary where the next token stands under another one:

    level 1                 0
    level 2           1           0
    level 3        0     2     1     2
    token          3  1  2     1  3  2 ...
    s_2            1  1  1     0  0  0
    p_3            0  0  1     2  3  3
    b_3            0  1  1     1  0  1
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm.errors import UserError
from physlm.grammars.grammar import LONGEST_SENTENCE, Grammar
from physlm.randomness import below, start, uniform


class Noise(IntEnum):
    """What is wrong in a perturbed sentence (Part 1, section 6)."""

    NONE = 0
    TERMINALS = 1  # a terminal becomes another one, uniformly
    SYMBOLS = 2  # a symbol between root and terminals becomes another one of its level, uniformly, and is then derived
    SIBLINGS = 3  # such a symbol becomes the next one of its level (after the last comes the first)


class Perturbation(NamedTuple):
    """How a corpus departs from its grammar: a `fraction` τ of the sentences errs at a `rate` γ of its symbols."""

    noise: Noise = Noise.NONE
    fraction: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True)
class Derivations:
    """The trees of n sentences, as seen from each of `total` tokens, for levels 2 to L in rows 0 to L - 2.

    offsets  int64 [n + 1]; sentence i has the tokens offsets[i] to offsets[i + 1]
    symbols  int32 [L - 1, total]: the symbol that the token stands under; -1 where there is none
    indices  int32 [L - 1, total]: that symbol's place among those of its level in the sentence; -1 likewise
    """

    offsets: NDArray[np.int64]
    symbols: NDArray[np.int32]
    indices: NDArray[np.int32]

    def boundaries(self, level: int) -> NDArray[np.int32]:
        """1 where a symbol of the level ends at the token, 0 where it goes on, -1 where there is none. int32 [total]"""
        index = self.indices[level - 2]
        ends = np.ones(len(index), np.int32)
        np.not_equal(index[1:], index[:-1], out=ends[:-1], casting="unsafe")
        last = self.offsets[1:] - 1
        ends[last[last >= 0]] = 1
        ends[index < 0] = -1
        return ends


@njit(cache=True)
def _other(s, symbol, size, noise):  # type: ignore[no-untyped-def]
    """What a symbol of a level of `size` symbols is perturbed to."""
    if size == 1:
        return symbol
    step = 1 if noise == Noise.SIBLINGS else 1 + below(s, size - 1)
    return (symbol + step) % size


@njit(cache=True)
def _first_above(weights, lo, hi, x):  # type: ignore[no-untyped-def]
    """Place of the first of weights[lo..hi], ascending, that is above x; the last one is."""
    while lo < hi:
        middle = (lo + hi) // 2
        if weights[middle] <= x:
            lo = middle + 1
        else:
            hi = middle
    return lo


class _Sheet(NamedTuple):
    """Where drawn sentences are written, as in `Sample` and `Derivations`."""

    tokens: NDArray[np.int32]
    symbols: NDArray[np.int32]
    indices: NDArray[np.int32]


@njit(cache=True)
def _draw(t, key, instances, lead, longest, errors, log_chance, sheet, offsets, log_p):  # type: ignore[no-untyped-def]
    """Write sentences from offsets[0] on until all are drawn or the next might not fit; returns how many there are.

    log_chance: of each choice among a nonterminal's rules, then of each spelling.
    """
    noise = errors.noise
    depths = len(t.sizes) - 1
    symbol = np.empty((depths + 1, longest), np.int32)
    parent = np.empty((depths + 1, longest), np.int32)
    up = np.empty(longest, np.int32)
    for i in range(len(instances)):
        used = offsets[i]
        if used + lead + longest > len(sheet.tokens):
            return i
        s = start(key, instances[i])
        perturbed = noise != Noise.NONE and uniform(s) < errors.fraction
        log_chances = 0.0
        symbol[0, 0] = 0
        width = 1
        for depth in range(depths):
            wider = 0
            for j in range(width):
                a = symbol[depth, j]
                if perturbed and noise != Noise.TERMINALS and depth > 0 and uniform(s) < errors.rate:
                    a = _other(s, a, t.sizes[depth], noise)
                    symbol[depth, j] = a
                number = t.symbol_start[depth] + a
                first = t.rule_start[number]
                rule = first + below(s, t.rule_start[number + 1] - first)
                log_chances += log_chance[number]
                for k in range(t.right_start[rule], t.right_start[rule + 1]):
                    symbol[depth + 1, wider] = t.right[k]
                    parent[depth + 1, wider] = j
                    wider += 1
            width = wider
        for _ in range(lead):
            sheet.tokens[used] = 0
            for row in range(depths):
                sheet.symbols[row, used], sheet.indices[row, used] = -1, -1
            used += 1
        for j in range(width):
            a = symbol[depths, j]
            if perturbed and noise == Noise.TERMINALS and uniform(s) < errors.rate:
                a = _other(s, a, t.sizes[depths], noise)
                symbol[depths, j] = a
            place, last = t.spelling_start[a], t.spelling_start[a + 1] - 1
            if place < last:
                place = _first_above(t.spelling_weight, place, last, below(s, t.spelling_weight[last]))
            log_chances += log_chance[t.symbol_start[depths] + place]
            sheet.tokens[used + j] = t.spelling[place]
            up[j] = j
        for depth in range(depths, 0, -1):
            symbol_row, index_row = sheet.symbols[depth - 1, used:], sheet.indices[depth - 1, used:]
            for j in range(width):
                symbol_row[j] = symbol[depth, up[j]]
                index_row[j] = up[j]
                up[j] = parent[depth, up[j]]
        offsets[i + 1] = used + width
        log_p[i] = log_chances
    return len(instances)


@dataclass(frozen=True)
class Sample:
    """Sentences drawn from a grammar.

    tokens           int32 [total], each sentence after `lead` zeros
    trees            Derivations
    log_probability  float64 [n]: of the derivation and its spelling, in nats, perturbations left out
    """

    tokens: NDArray[np.int32]
    trees: Derivations
    log_probability: NDArray[np.float64]


def longest(grammar: Grammar, perturbation: Perturbation) -> int:
    """Upper bound on the tokens of a sentence that may be perturbed. Raises UserError where it is beyond all bounds."""
    if perturbation.noise in (Noise.NONE, Noise.TERMINALS):
        return grammar.max_length
    # an error can put the symbol with the longest rule in any other's place
    bound = prod(max(len(rule) for rules in symbols for rule in rules) for symbols in grammar.rules)
    if bound > LONGEST_SENTENCE:
        raise UserError(f"a perturbed sentence can have {bound} tokens; at most {LONGEST_SENTENCE} are handled")
    return bound


def sample(
    grammar: Grammar,
    key: int,
    instances: NDArray[np.int64],
    *,
    lead: int = 0,
    perturbation: Perturbation = Perturbation(),
) -> Sample:
    """Draw the sentences numbered `instances`, int64 [n], of the sequence named by the key (physlm.randomness).

    A sentence depends on its own number alone. Each is preceded by `lead` zeros.
    """
    t = grammar.tables
    instances = np.ascontiguousarray(instances, np.int64)
    n, rows = len(instances), grammar.depth
    most = longest(grammar, perturbation)
    log_chance = np.concatenate([-np.log(np.diff(t.rule_start)), np.log(t.spelling_share)])
    mean, sd = grammar.length_moments
    room = int(n * (mean + lead) + 6 * sd * n**0.5) + lead + most
    sheet = _Sheet(np.empty(room, np.int32), np.empty((rows, room), np.int32), np.empty((rows, room), np.int32))
    offsets, log_probability = np.zeros(n + 1, np.int64), np.empty(n)
    done = 0
    while True:
        rest = slice(done, None)
        done += _draw(
            t, np.uint64(key), instances[rest], lead, most, perturbation, log_chance,
            sheet, offsets[rest], log_probability[rest],
        )  # fmt: skip
        if done == n:
            break
        # errors can make sentences longer than the mean says
        sheet = _Sheet(*(np.concatenate([part, np.empty_like(part)], axis=-1) for part in sheet))
    total = int(offsets[-1])
    trees = Derivations(offsets, sheet.symbols[:, :total], sheet.indices[:, :total])
    return Sample(sheet.tokens[:total], trees, log_probability)
