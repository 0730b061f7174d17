"""Parity and state tracking: the product of a row of group elements, read from left to right.

With the group Z2 this is parity; the word problems of other groups ask for more, up to A5 and S5, which no circuits of
constant depth and threshold gates solve unless TC0 = NC1 (Merrill, Petty and Sabharwal 2024, "The Illusion of State in
State-Space Models"). A sample:

    config     group=S3 length=5 answer=states seed=3
    text       <s> 321 132 312 <ans> 321 231 123
    loss         0   0   0   0     0   1   1   1
    state       -1   5   3   0    -1   5   3   0

Elements are uniform and independent; their number is uniform on 1 to `length`, or always `length` (knob `exact`). The
answer is the final state, or with `answer: states` every state on the way to it. Only answers are trained on. S and A
are the symmetric and alternating groups, Z the cyclic ones, x a direct product, such as A4xZ5. A permutation is written
as the images of 1, 2, ...; the product pq does p first: (pq)(i) = q(p(i)).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import permutations, product
from math import factorial, prod
from typing import Any, ClassVar, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, field_validator

from physlm.randomness import below, start, words
from physlm.tasks.answers import TokenBuffer, append, compare
from physlm.tasks.capabilities import Asks, Counterfactuals, HasCounterfactuals, HasEntropy, Probed, Verdict
from physlm.tasks.task import Axis, Instances, Stream, TaskConfig, register

SEPARATOR, ANSWER, FIRST = range(3)  # FIRST of the group's elements
LABELS = ("state",)
_LARGEST = 1000  # elements
_FACTOR = re.compile(r"Z([1-9]\d{0,2})|([SA])([1-6])")


def _factors(group: str) -> list[tuple[str, int]]:
    """Kind and degree of each factor of a group's name. Raises ValueError for a name that is none."""
    matches = [_FACTOR.fullmatch(factor) for factor in group.split("x")]
    factors = [(m[2] or "Z", int(m[1] or m[3])) for m in matches if m]
    if len(factors) < len(matches):
        raise ValueError(f"must be Z with a number, S or A with 1 to 6, or such joined by x, got '{group}'")
    return factors


def _order(kind: str, degree: int) -> int:
    if kind == "Z":
        return degree
    return factorial(degree) // (2 if kind == "A" and degree > 1 else 1)


def _is_even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for i, a in enumerate(permutation) for b in permutation[i + 1 :]) % 2 == 0


@lru_cache(maxsize=8)
def _group(name: str) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Names of the elements, the neutral one first, and the table of products, int32 [order, order]."""
    names, table = [""], np.zeros((1, 1), np.int32)
    for kind, degree in _factors(name):
        if kind == "Z":
            own = [str(i) for i in range(degree)]
            products = np.add.outer(np.arange(degree), np.arange(degree)) % degree
        else:
            elements = [p for p in permutations(range(degree)) if kind == "S" or _is_even(p)]
            place = {p: i for i, p in enumerate(elements)}
            own = ["".join(str(i + 1) for i in p) for p in elements]
            products = np.array([[place[tuple(q[i] for i in p)] for q in elements] for p in elements])
        # Element (a, b) of the direct product has the number a · (order of the second) + b.
        names = [f"{a}/{b}".lstrip("/") for a, b in product(names, own)]
        order = len(own)
        table = (table.repeat(order, 0).repeat(order, 1) * order + np.tile(products, (len(table), len(table)))).astype(
            np.int32
        )
    return tuple(names), table


class ParityConfig(TaskConfig):
    """Knobs of state tracking."""

    type: Literal["parity"] = "parity"
    group: str = Field("Z2", max_length=50, description="the group: Z2 (parity), S3, A5, S5, A4xZ5, ...")
    length: int = Field(40, ge=1, le=1_000_000, description="most elements of a row")
    exact: bool = Field(False, description="always rows of `length` elements; else 1 to `length`")
    answer: Literal["final", "states"] = Field("final", description="what is written: the final state, or each state")

    @field_validator("group")
    @classmethod
    def _is_a_small_group(cls, group: str) -> str:
        order = prod(_order(*factor) for factor in _factors(group))
        if not 2 <= order <= _LARGEST:
            raise ValueError(f"must have from 2 to {_LARGEST} elements; {group} has {order}")
        return group


@njit(cache=True)
def _write(key, indices, shortest, longest, table, states, buffer):  # type: ignore[no-untyped-def]
    at = 0
    for i in range(len(indices)):
        s = start(key, indices[i])
        at = append(buffer, at, SEPARATOR, False)
        begin = at
        count = shortest + below(s, longest - shortest + 1)
        state = 0
        for _ in range(count):
            element = below(s, len(table))
            state = table[state, element]
            append(buffer, at, FIRST + element, False)
            buffer.labels[0, at] = state
            at += 1
        at = append(buffer, at, ANSWER, False)
        buffer.cuts[i] = at
        for j in range(begin if states else begin + count - 1, begin + count):
            append(buffer, at, FIRST + buffer.labels[0, j], True)
            buffer.labels[0, at] = buffer.labels[0, j]
            at += 1
        buffer.offsets[i + 1] = at


@register
class Parity(Asks[ParityConfig], HasEntropy[ParityConfig], Probed[ParityConfig], HasCounterfactuals[ParityConfig]):
    """Products of group elements."""

    config_type = ParityConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"length": 12},
        "parity_40": {"length": 40},
        "s3_20": {"group": "S3", "length": 20},
        "s5_25": {"group": "S5", "length": 25},
        # Merrill, Petty and Sabharwal 2024: three groups of 60 elements
        "z60_25": {"group": "Z60", "length": 25},
        "a4xz5_25": {"group": "A4xZ5", "length": 25},
        "a5_25": {"group": "A5", "length": 25},
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s> <ans>`, then the group's elements, the neutral one first."""
        return ["<s>", "<ans>", *_group(self.config.group)[0]]

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        return _group(self.config.group)[1]

    @property
    def separator(self) -> int:
        return SEPARATOR

    @property
    def max_length(self) -> int:
        c = self.config
        return 2 + c.length + (c.length if c.answer == "states" else 1)

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("length", "difficulty", "elements of a row", (4, 12)),
            Axis("group", "type", "what is tracked: commutative, solvable or neither"),
            Axis("answer", "format", "whether each state is written down", ("final", "states")),
        )

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The longest rows."""
        return {"full": {"exact": True}}

    @property
    def chance(self) -> float:
        """Accuracy of a fixed answer of the right length: 1/|G|, or with all states the mean of |G|^-n."""
        c, order = self.config, len(self._table)
        if c.answer == "final":
            return 1 / order
        lengths = np.arange(c.length if c.exact else 1, c.length + 1)
        return float(np.mean(np.power(float(order), -lengths)))

    def floor(self) -> float:
        """0: an answer follows from its question."""
        return 0.0

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        return np.zeros(len(instances))

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Fresh rows. Label `state`, on elements and answers: the state after the element, the state told; else -1."""
        c = self.config
        key = np.uint64(stream.key("parity", "row", c.seed))
        shortest = c.length if c.exact else 1

        def write(buffer: TokenBuffer) -> None:
            _write(key, indices, shortest, c.length, self._table, c.answer == "states", buffer)

        return TokenBuffer.build(len(indices), self.max_length, LABELS, write)

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"state": len(self._table)}

    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        """Rows of the full length whose middle element is then another; the first one where each state is told."""
        c = self.config
        task = self if c.exact else Parity(c.model_copy(update={"exact": True}))
        clean = task.sample(stream, indices).tokens.reshape(len(indices), -1)[:, : 2 + c.length].copy()
        carrier = 1 + (0 if c.answer == "states" else c.length // 2)
        order = len(self._table)
        draw = words(stream.key("parity", "changed", c.seed), indices, 1)[:, 0].astype(np.int64)
        changed = clean.copy()
        changed[:, carrier] = FIRST + (clean[:, carrier] - FIRST + 1 + draw % (order - 1)) % order
        answer, other = (self._told_first(row[:, 1:-1] - FIRST) for row in (clean, changed))
        return Counterfactuals.of_one_length(clean, changed, answer, other)

    def _told_first(self, elements: NDArray[np.int32]) -> NDArray[np.int32]:
        """The first token of the answers to rows of elements [n, length]."""
        state = np.zeros(len(elements), np.int32)
        for column in elements[:, :1].T if self.config.answer == "states" else elements.T:
            state = self._table[state, column]
        return (FIRST + state).astype(np.int32)

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """All up to `<ans>`."""
        prompt: NDArray[np.int32] = instances.truth[i]
        return prompt

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion is the final state, or all states, of the prompt's row."""
        elements = (truth[1:-1] - FIRST).tolist()
        states = [0]
        for element in elements:
            states.append(int(self._table[states[-1], element]))
        told = states[1:] if self.config.answer == "states" else states[-1:]
        return compare([FIRST + state for state in told], completion, len(elements), self.vocabulary)
