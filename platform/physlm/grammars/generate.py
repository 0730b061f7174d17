"""Grammars from a seed: random rules for given sizes, and random spellings of the terminals (Part 1, appendix A)."""

from __future__ import annotations

from itertools import pairwise
from math import perm
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.errors import UserError
from physlm.grammars.grammar import Grammar, Rule, Spelling


def _right_hand_side(state: NDArray[np.uint64], length: int, size: int, distinct: bool) -> Rule:
    if not distinct:
        return tuple(int(randomness.below(state, size)) for _ in range(length))
    rest = list(range(size))
    return tuple(rest.pop(int(randomness.below(state, len(rest)))) for _ in range(length))


def random_grammar(
    sizes: tuple[int, ...],
    degree: tuple[int, int],
    length: tuple[int, int],
    seed: int,
    *,
    distinct_symbols: bool = False,
    distinct_rules: bool = True,
) -> Grammar:
    """A grammar with `sizes` symbols at its levels, root first; its terminals are its tokens.

    Each symbol gets between `degree` rules, each between `length` symbols long, all uniform. `distinct_symbols`: no
    symbol twice within a rule. `distinct_rules`: no two rules of a level are alike; a symbol's own never are. Raises
    UserError where there aren't enough different rules.
    """
    rules = []
    for depth, (size, below) in enumerate(pairwise(sizes)):
        lengths = range(length[0], length[1] + 1)
        if distinct_symbols and length[1] > below:
            raise UserError(
                f"a rule of {length[1]} distinct symbols can't be made from the {below} symbols of level {depth + 2}"
            )
        available = sum(perm(below, n) if distinct_symbols else below**n for n in lengths)
        needed = degree[1] * (size if distinct_rules else 1)
        if needed > available:
            raise UserError(
                f"level {depth + 1} may need {needed} different rules, but only {available} can be made "
                f"from the {below} symbols of level {depth + 2}"
            )
        state = randomness.start(np.uint64(randomness.key("grammar", "rules", seed, depth)), 0)
        taken: set[Rule] = set()
        level = []
        for _ in range(size):
            if not distinct_rules:
                taken.clear()
            own: list[Rule] = []
            count = degree[0] + int(randomness.below(state, degree[1] - degree[0] + 1))
            while len(own) < count:
                n = length[0] + int(randomness.below(state, len(lengths)))
                rule = _right_hand_side(state, n, below, distinct_symbols)
                if rule not in taken:
                    taken.add(rule)
                    own.append(rule)
            level.append(tuple(own))
        rules.append(tuple(level))
    return Grammar(tuple(rules), sizes[-1])


def random_spelling(
    terminals: int,
    tokens: int,
    sharing: Literal["disjoint", "overlap"],
    weights: Literal["uniform", "linear"],
    seed: int,
) -> Spelling:
    """How terminals are spelt with tokens 1 to `tokens` in an implicit grammar: no token tells its terminal's name.

    disjoint: token v belongs to terminal (v - 1) mod `terminals`. overlap: each terminal draws ⌊3/2 tokens/terminals⌋
    tokens with replacement. A terminal's i-th token, by number, has the weight 1 (uniform) or i (linear). Raises
    UserError where tokens don't go round.
    """
    if tokens < terminals:
        raise UserError(f"{tokens} tokens are too few to spell {terminals} terminals apart")
    if sharing == "disjoint":
        owned = [list(range(1 + t, tokens + 1, terminals)) for t in range(terminals)]
    else:
        draws = 3 * tokens // (2 * terminals)
        words = randomness.words(randomness.key("grammar", "spelling", seed), np.arange(terminals), draws)
        chosen = (words.astype(np.uint64) * np.uint64(tokens) >> np.uint64(32)).astype(int) + 1
        owned = [sorted(set(row.tolist())) for row in chosen]
    return tuple(
        tuple((token, 1 if weights == "uniform" else i) for i, token in enumerate(row, start=1)) for row in owned
    )
