"""A layered context-free grammar: what it says, how long its sentences are, how much entropy they carry.

Part 1, section 2: the levels are NT_1 = {root}, NT_2, ..., NT_L = T. Each rule rewrites a symbol of level ℓ as one or
more symbols of level ℓ + 1; a symbol's rules are equally likely. A sentence is what stands at level L, each terminal
spelt as one token. Symbols are numbered from 0 within their level. *Depth* counts from 0 (the root), *level* from 1.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from math import log, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from physlm.errors import UserError

Rule = tuple[int, ...]
Rules = tuple[tuple[tuple[Rule, ...], ...], ...]  # rules[depth][symbol] lists the symbol's right-hand sides
Spelling = tuple[tuple[tuple[int, int], ...], ...]  # spelling[terminal] lists (token, weight), tokens from 1

LONGEST_SENTENCE = 100_000  # tokens
LARGEST_TABLE = 20_000_000  # entries of the tables that parsing needs


class Tables(NamedTuple):
    """A grammar as flat arrays, for compiled code. Nodes are those of one prefix tree of right-hand sides per depth."""

    sizes: NDArray[np.int64]  # [L] symbols of each level
    symbol_start: NDArray[np.int64]  # [L] number of a depth's first symbol, counting through all levels
    rule_start: NDArray[np.int64]  # [nonterminals + 1] rules of a symbol
    right_start: NDArray[np.int64]  # [rules + 1] right-hand side of a rule ...
    right: NDArray[np.int32]  # ... its symbols
    node_start: NDArray[np.int64]  # [L] nodes of a depth, the first of them its tree's root
    child: NDArray[np.int32]  # [nodes, largest size] node reached by one more symbol, -1 where no rule goes on so
    complete_start: NDArray[np.int64]  # [nodes + 1] symbols that have a rule which ends at the node ...
    complete: NDArray[np.int32]  # ... a symbol stands there as often as it has the rule
    reading_start: NDArray[np.int64]  # [tokens + 2] terminals that can be spelt as a token ...
    reading: NDArray[np.int32]  # ... which ones
    reading_chance: NDArray[np.float64]  # ... how likely each one is spelt so
    spelling_start: NDArray[np.int64]  # [terminals + 1] tokens that a terminal can be spelt as ...
    spelling: NDArray[np.int32]  # ... which ones
    spelling_weight: NDArray[np.int64]  # ... cumulative weights within the terminal
    spelling_share: NDArray[np.float64]  # ... probabilities


def _starts(counts: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _prefix_trees(rules: Rules, widest: int) -> tuple[list[int], list[list[int]], list[list[int]]]:
    """`node_start` and, by node, the rows of `child` and the symbols that are complete there: see Tables."""
    node_start = [0]
    child: list[list[int]] = []
    complete: list[list[int]] = []
    for symbols in rules:
        # breadth first, so that a node comes after every shorter one
        queue = deque([(0, [(symbol, rule) for symbol, own in enumerate(symbols) for rule in own])])
        unnumbered = node_start[-1] + 1
        while queue:
            length, through = queue.popleft()
            complete.append([symbol for symbol, rule in through if len(rule) == length])
            row = [-1] * widest
            onward = [(symbol, rule) for symbol, rule in through if len(rule) > length]
            for s in sorted({rule[length] for _, rule in onward}):
                row[s], unnumbered = unnumbered, unnumbered + 1
                queue.append((length + 1, [(symbol, rule) for symbol, rule in onward if rule[length] == s]))
            child.append(row)
        node_start.append(len(child))
    return node_start, child, complete


@dataclass(frozen=True)
class Grammar:
    """Rules of every level but the last, and how the last level's `terminals` symbols are spelt.

    Without a `spelling` terminal t is the token t + 1. Raises UserError naming level, symbol and rule that don't fit.
    """

    rules: Rules
    terminals: int
    spelling: Spelling = field(default=())

    def __post_init__(self) -> None:
        if not self.spelling:
            object.__setattr__(self, "spelling", tuple(((t + 1, 1),) for t in range(self.terminals)))
        if not self.rules or len(self.rules[0]) != 1:
            raise UserError("a grammar needs exactly one symbol at level 1, its root")
        for depth, symbols in enumerate(self.rules):
            below = self.sizes[depth + 1]
            for symbol, rules in enumerate(symbols):
                where = f"level {depth + 1}, symbol {symbol}"
                if not rules:
                    raise UserError(f"{where}: a symbol above the last level needs at least one rule")
                for rule in rules:
                    if not rule:
                        raise UserError(f"{where}: a rule must have at least one symbol")
                    if not all(0 <= s < below for s in rule):
                        raise UserError(
                            f"{where}: the rule {list(rule)} must name symbols 0 to {below - 1} of level {depth + 2}"
                        )
        if len(self.spelling) != self.terminals or not all(self.spelling):
            raise UserError(f"the spelling must give at least one token for each of the {self.terminals} terminals")
        if any(token < 1 or weight < 1 for row in self.spelling for token, weight in row):
            raise UserError("the spelling must name tokens from 1 on, with weights from 1 on")
        if any(len({token for token, _ in row}) < len(row) for row in self.spelling):
            raise UserError("the spelling names a token twice for one terminal")
        if self.max_length > LONGEST_SENTENCE:
            raise UserError(
                f"a sentence of this grammar can have {self.max_length} tokens; at most {LONGEST_SENTENCE} are handled"
            )
        right = sum(len(rule) for symbols in self.rules for rules in symbols for rule in rules)
        if right * max(*self.sizes, self.max_length) > LARGEST_TABLE:
            raise UserError(
                f"the rules name {right} symbols in all, a level has up to {max(self.sizes)} and a sentence up to "
                f"{self.max_length} tokens; the first times the larger of the others must not exceed {LARGEST_TABLE}"
            )

    @property
    def depth(self) -> int:
        """Steps from the root to the terminals, L - 1."""
        return len(self.rules)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Symbols of each level, root first."""
        return (*(len(symbols) for symbols in self.rules), self.terminals)

    @cached_property
    def tokens(self) -> int:
        """Largest token; 0 is free for the end of a sentence."""
        return max(token for row in self.spelling for token, _ in row)

    @cached_property
    def used_tokens(self) -> frozenset[int]:
        """Tokens that occur in some sentence."""
        reached = {0}
        for symbols in self.rules:
            reached = {s for symbol in reached for rule in symbols[symbol] for s in rule}
        return frozenset(token for t in reached for token, _ in self.spelling[t])

    @cached_property
    def length_bounds(self) -> list[list[tuple[int, int]]]:
        """Tokens of the shortest and the longest string of each symbol, by depth."""
        levels = [[(1, 1)] * self.terminals]
        for symbols in reversed(self.rules):
            sums = [
                [(sum(levels[-1][s][0] for s in rule), sum(levels[-1][s][1] for s in rule)) for rule in rules]
                for rules in symbols
            ]
            levels.append([(min(lo for lo, _ in rules), max(hi for _, hi in rules)) for rules in sums])
        return levels[::-1]

    @property
    def min_length(self) -> int:
        """Tokens of the shortest sentence."""
        return self.length_bounds[0][0][0]

    @property
    def max_length(self) -> int:
        """Tokens of the longest sentence."""
        return self.length_bounds[0][0][1]

    @cached_property
    def length_moments(self) -> tuple[float, float]:
        """Mean and standard deviation of a sentence's length in tokens, exact."""
        mean, variance = np.ones(self.terminals), np.zeros(self.terminals)
        for symbols in reversed(self.rules):
            means = [[sum(mean[s] for s in rule) for rule in rules] for rules in symbols]
            variances = [[sum(variance[s] for s in rule) for rule in rules] for rules in symbols]
            mean = np.array([np.mean(m) for m in means])
            variance = np.array([np.mean(v) + np.var(m) for m, v in zip(means, variances, strict=True)])
        return float(mean[0]), float(np.sqrt(variance[0]))

    @cached_property
    def derivation_entropy(self) -> float:
        """Entropy of a derivation with its spelling, in nats, exact: H(A) = ln deg(A) + mean over rules of Σ H."""
        entropy = []
        for row in self.spelling:
            share = np.array([weight for _, weight in row]) / sum(weight for _, weight in row)
            entropy.append(float(-(share * np.log(share)).sum()))
        for symbols in reversed(self.rules):
            entropy = [
                log(len(rules)) + sum(sum(entropy[s] for s in rule) for rule in rules) / len(rules) for rules in symbols
            ]
        return entropy[0]

    @cached_property
    def derivations(self) -> int:
        """How many derivations there are, spellings counted."""
        counts = [len(row) for row in self.spelling]
        for symbols in reversed(self.rules):
            counts = [sum(prod(counts[s] for s in rule) for rule in rules) for rules in symbols]
        return counts[0]

    @cached_property
    def tables(self) -> Tables:
        """The grammar for compiled code."""
        flat = [rules for symbols in self.rules for rules in symbols]
        rules = [rule for rules in flat for rule in rules]
        node_start, child, complete = _prefix_trees(self.rules, max(self.sizes))
        shares = [[weight / sum(w for _, w in spelt) for _, weight in spelt] for spelt in self.spelling]
        readings: list[list[tuple[int, float]]] = [[] for _ in range(self.tokens + 1)]
        for t, spelt in enumerate(self.spelling):
            for (token, _), share in zip(spelt, shares[t], strict=True):
                readings[token].append((t, share))
        return Tables(
            sizes=np.array(self.sizes, np.int64),
            symbol_start=_starts([len(symbols) for symbols in self.rules]),
            rule_start=_starts([len(rules) for rules in flat]),
            right_start=_starts([len(rule) for rule in rules]),
            right=np.array([s for rule in rules for s in rule], np.int32),
            node_start=np.array(node_start, np.int64),
            child=np.array(child, np.int32),
            complete_start=_starts([len(symbols) for symbols in complete]),
            complete=np.array([s for symbols in complete for s in symbols], np.int32),
            reading_start=_starts([len(r) for r in readings]),
            reading=np.array([t for r in readings for t, _ in r], np.int32),
            reading_chance=np.array([p for r in readings for _, p in r], np.float64),
            spelling_start=_starts([len(row) for row in self.spelling]),
            spelling=np.array([token for row in self.spelling for token, _ in row], np.int32),
            spelling_weight=np.concatenate([np.cumsum([w for _, w in row]) for row in self.spelling]).astype(np.int64),
            spelling_share=np.concatenate(shares),
        )
