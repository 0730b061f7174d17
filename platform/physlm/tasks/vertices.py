"""What Depo and Brevo share: how many vertices a graph has, and names of several tokens (Part 4.1, appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm import randomness
from physlm.randomness import below
from physlm.tasks.answers import append
from physlm.tasks.task import TaskConfig

FEWEST = 3  # vertices


class GraphConfig(TaskConfig):
    """Knobs of a language about a random graph with named vertices."""

    vertices: int = Field(32, ge=FEWEST, le=100_000, description="N, most vertices of a graph")
    exact: bool = Field(
        False, description="always N vertices, as in the paper's evaluation; else n of 3 to N, n ∝ 1/(√N + n)"
    )
    name_tokens: tuple[int, int] = Field((1, 1), description="fewest and most tokens of a vertex's name")
    name_symbols: int = Field(
        32, ge=1, le=60_000, description="V: a name's last token is one of V, each token before it one of V others"
    )

    @model_validator(mode="after")
    def _enough_names(self) -> GraphConfig:
        shortest, longest = self.name_tokens
        if not 1 <= shortest <= longest <= 16:
            raise ValueError(
                f"name_tokens: must be two numbers from 1 to 16, the smaller first, got [{shortest}, {longest}]"
            )
        if (self.name_symbols + 1) ** longest >= 2**62:  # names are told apart by 64-bit codes
            raise ValueError(
                f"name_symbols: with names of up to {longest} tokens must be below {int(2 ** (62 / longest)) - 1}"
            )
        names = sum(self.name_symbols**length for length in range(shortest, longest + 1))
        if names < self.vertices:
            raise ValueError(
                f"vertices: {self.vertices} vertices need distinct names, but name_tokens [{shortest}, {longest}] and "
                f"name_symbols {self.name_symbols} give only {names}"
            )
        return self

    @property
    def longest_name(self) -> int:
        """Most tokens of a name."""
        return self.name_tokens[1]

    @property
    def name_vocabulary(self) -> list[str]:
        """The tokens of names: `x1 x2 ...` that others follow, if there are any, then `x1. x2. ...` that end a name."""
        symbols = range(1, self.name_symbols + 1)
        inner = [f"x{i}" for i in symbols] if self.longest_name > 1 else []
        return [*inner, *(f"x{i}." for i in symbols)]


@lru_cache(maxsize=64)
def size_probabilities(most: int) -> NDArray[np.float64]:
    """P(n) ∝ 1/(√N + n) for n of 3 to N (Part 4.1, appendix A). Returns float64 [N - 2]."""
    weights = 1 / (np.sqrt(most) + np.arange(FEWEST, most + 1))
    return np.asarray(weights / weights.sum())


def sizes_at(config: GraphConfig, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Quantiles of the number of vertices at shares of [0, 1) of the graphs, int64 [n]."""
    if config.exact:
        return np.full(len(shares), config.vertices)
    below_most = np.cumsum(size_probabilities(config.vertices))[:-1]
    return FEWEST + np.searchsorted(below_most, shares, side="right")


def sizes(config: GraphConfig, key: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Vertices of the graphs at these positions, int64 [n]."""
    return sizes_at(config, randomness.words(key, indices, 1)[:, 0] / 2**32)


@njit(cache=True)
def shuffle(s, items):  # type: ignore[no-untyped-def]
    """Shuffle int64 [n] uniformly, in place (Fisher-Yates)."""
    for i in range(len(items) - 1, 0, -1):
        j = below(s, i + 1)
        items[i], items[j] = items[j], items[i]


@njit(cache=True)
def draw_names(s, n, shortest, longest, symbols, first, names, lengths, places, seen):  # type: ignore[no-untyped-def]
    """n distinct names in random order: lengths uniform, tokens uniform, repetitions drawn again.

    first: the id of the first token of names. Writes names int64 [≥ n, longest] and lengths int64 [≥ n]. Scratch:
    places int64 [≥ n], seen int64 [≥ 4 n] (distinct names by open addressing).
    """
    last = first + symbols if longest > 1 else first
    size = 1
    while size < 2 * n:
        size *= 2
    seen[:size] = -1
    # The later a name is drawn the less often it is a short one: which vertex gets which must not tell.
    for i in range(n):
        places[i] = i
    shuffle(s, places[:n])
    drawn = 0
    while drawn < n:
        row = places[drawn]
        length = shortest + below(s, longest - shortest + 1)
        code = np.int64(0)
        for j in range(length - 1):
            symbol = below(s, symbols)
            names[row, j] = first + symbol
            code = (code + 1 + symbol) * (symbols + 1)
        symbol = below(s, symbols)
        names[row, length - 1] = last + symbol
        lengths[row] = length
        code += 1 + symbol
        slot = ((code * 0x9E3779B1) >> 15) & (size - 1)
        while seen[slot] != -1 and seen[slot] != code:
            slot = (slot + 1) & (size - 1)
        if seen[slot] == -1:
            seen[slot] = code
            drawn += 1


@njit(cache=True)
def put_name(buffer, at, names, lengths, vertex, trained):  # type: ignore[no-untyped-def]
    """Write the name of a vertex; the buffer's first label is the vertex. Returns the next place."""
    for j in range(lengths[vertex]):
        append(buffer, at, names[vertex, j], trained)
        buffer.labels[0, at] = vertex
        at += 1
    return at


def split_names(tokens: Sequence[int], last: int, end: int) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """The names that tokens spell, and what follows the last of them; a name ends with a token of [last, end)."""
    names = []
    start = 0
    for i, token in enumerate(tokens):
        if last <= token < end:
            names.append(tuple(tokens[start : i + 1]))
            start = i + 1
    return names, tuple(tokens[start:])
