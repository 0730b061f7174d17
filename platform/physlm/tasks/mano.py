"""Mano: modular arithmetic in the head (knowledge manipulation; Part 4.1, appendix A).

Prefix expressions of ℓ operations modulo a prime, whose tables a model must know and apply to each other without
writing intermediate values down. A sample:

    config     operations=4 modulus=7 seed=4
    text       <s> <len_4>  +  * 3 0  +  * 3 2 4 <ans>  3
    loss         1       1  1  1 1 1  1  1 1 1 1     1  1
    value       -1      -1  3  0 3 0  3  6 3 2 4    -1 -1
    operations  -1      -1  4  1 0 0  2  1 0 0 0    -1 -1
    ended       -1      -1 -1 -1 3 0 -1 -1 3 6 3    -1 -1

Draws: ℓ uniform on 1 to L; operators uniform; of the ℓ - 1 operations that remain, the left operand has uniformly 0 to
ℓ - 1, and so on; values uniform. As in the paper every token is trained on; `train_on: answer` leaves all but the
answer out. The released code spells each operator and mark as one of two equivalent tokens, of no consequence by its
own comment; here they have one each. The paper evaluates at ℓ = L: knob `exact`. Products make 0 the likeliest answer.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import log
from typing import Any, ClassVar, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, field_validator

from physlm.randomness import below, start
from physlm.tasks.answers import TokenBuffer, append, compare, per_instance
from physlm.tasks.capabilities import Asks, HasEntropy, Probed, Verdict
from physlm.tasks.task import Axis, Instances, Stream, TaskConfig, register

SEPARATOR, ANSWER = range(2)
LENGTH = 2  # token of <len_1>; those of <len_2>, ... follow, then the operators, then the values
Operator = Literal["+", "-", "*"]
OPERATORS: tuple[Operator, ...] = ("+", "-", "*")
PLUS, MINUS, _ = range(3)
RESULTS = (operator.add, operator.sub, operator.mul)
LABELS = ("value", "operations", "ended")


class ManoConfig(TaskConfig):
    """Knobs of Mano; the letters are the paper's."""

    type: Literal["mano"] = "mano"
    operations: int = Field(10, ge=1, le=1000, description="L, most operations of an expression")
    exact: bool = Field(False, description="always L operations, as in the paper's evaluation; else ℓ of 1 to L")
    modulus: int = Field(23, ge=2, le=10_000, description="values are integers modulo this")
    operators: tuple[Operator, ...] = Field(OPERATORS, min_length=1, description="operators in use")
    train_on: Literal["all", "answer"] = Field("all", description="tokens that are trained on: all, or the answer's")

    @field_validator("operators")
    @classmethod
    def _each_once(cls, operators: tuple[Operator, ...]) -> tuple[Operator, ...]:
        if len(set(operators)) < len(operators):
            raise ValueError(f"must name each operator once, got {list(operators)}")
        return operators

    @property
    def lengths(self) -> range:
        """The ℓ that occur, all equally often."""
        return range(self.operations if self.exact else 1, self.operations + 1)


@njit(cache=True)
def _evaluate(expression, first_operator, modulus, value, operations, ended):  # type: ignore[no-untyped-def]
    """Of the sub-expression that begins at each token: value and operations; of the largest that ends there: value."""
    stack = np.empty((len(expression) + 1, 2), np.int64)  # what stands right of here: values, and where they end
    top = 0
    for i in range(len(expression) - 1, -1, -1):
        symbol = expression[i] - first_operator
        if symbol >= len(OPERATORS):
            value[i] = symbol - len(OPERATORS)
            operations[i] = 0
            end = i
        else:
            top -= 2
            left, right, end = stack[top + 1, 0], stack[top, 0], stack[top, 1]
            result = left + right if symbol == PLUS else left - right if symbol == MINUS else left * right
            value[i] = result % modulus
            operations[i] = (end - i) // 2
        ended[end] = value[i]  # a larger one that ends there begins further left and comes later
        stack[top, 0] = value[i]
        stack[top, 1] = end
        top += 1


@njit(cache=True)
def _write(key, indices, shortest, longest, operators, modulus, all_, buffer):  # type: ignore[no-untyped-def]
    first = LENGTH + longest
    pending = np.empty(longest + 1, np.int64)  # operations of the operands still to be written
    at = 0
    for i in range(len(indices)):
        s = start(key, indices[i])
        at = append(buffer, at, SEPARATOR, all_)
        pending[0] = shortest + below(s, longest - shortest + 1)
        at = append(buffer, at, LENGTH + pending[0] - 1, all_)
        begin = at
        count = 1
        while count:
            size = pending[count - 1]
            if size == 0:
                at = append(buffer, at, first + len(OPERATORS) + below(s, modulus), all_)
                count -= 1
            else:
                at = append(buffer, at, first + operators[below(s, len(operators))], all_)
                left = below(s, size)
                pending[count - 1] = size - 1 - left
                pending[count] = left
                count += 1
        labels = buffer.labels[:, begin:at]
        _evaluate(buffer.tokens[begin:at], first, modulus, labels[0], labels[1], labels[2])
        at = append(buffer, at, ANSWER, all_)
        buffer.cuts[i] = at
        at = append(buffer, at, first + len(OPERATORS) + buffer.labels[0, begin], True)
        buffer.offsets[i + 1] = at


@register
class Mano(Asks[ManoConfig], HasEntropy[ManoConfig], Probed[ManoConfig]):
    """Modular arithmetic without intermediate steps."""

    config_type = ManoConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"operations": 4, "modulus": 7},
        **{f"mano_{length}": {"operations": length, "modulus": 23} for length in (10, 13, 16)},
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s> <ans>`, `<len_1>` to `<len_L>`, the operators, the values `0 1 ...`."""
        c = self.config
        lengths = (f"<len_{length}>" for length in range(1, c.operations + 1))
        return ["<s>", "<ans>", *lengths, *OPERATORS, *(str(value) for value in range(c.modulus))]

    @property
    def separator(self) -> int:
        return SEPARATOR

    @property
    def used_tokens(self) -> int:
        """Without the lengths and operators that don't occur."""
        c = self.config
        return 2 + len(c.lengths) + len(c.operators) + c.modulus

    @property
    def max_length(self) -> int:
        return 2 * self.config.operations + 5

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("operations", "difficulty", "operations of an expression", (1, 4)),
            Axis("modulus", "amount", "size of the tables to know"),
            Axis("operators", "type", "tables to know"),
            Axis("train_on", "format", "tokens that are trained on"),
        )

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The longest expressions."""
        return {"full": {"exact": True}}

    @cached_property
    def answer_probabilities(self) -> NDArray[np.float64]:
        """P(v | ℓ), exact: float64 [L + 1, modulus], the distribution of an expression's value given its operations."""
        c = self.config
        left, right = np.ogrid[: c.modulus, : c.modulus]
        tables = [RESULTS[OPERATORS.index(symbol)](left, right) % c.modulus for symbol in c.operators]
        probabilities = np.full((c.operations + 1, c.modulus), 1 / c.modulus)
        for size in range(1, c.operations + 1):
            operands = np.einsum("il,ir->lr", probabilities[:size], probabilities[size - 1 :: -1]) / size
            probabilities[size] = np.mean(
                [np.bincount(table.ravel(), operands.ravel(), c.modulus) for table in tables], axis=0
            )
        return probabilities

    @property
    def chance(self) -> float:
        """Mass of the likeliest answer over all ℓ: of 0, where there are products."""
        return float(self.answer_probabilities[list(self.config.lengths)].mean(axis=0).max())

    def floor(self) -> float:
        """0 for answers alone; else ln of the number of lengths, and the mean over ℓ of the expression's entropy.

        Exact: ℓ ln(operators) + (ℓ + 1) ln(modulus) + H(ℓ), where the shape's H(ℓ) = ln ℓ + 2/ℓ Σ H(j), j < ℓ.
        """
        c = self.config
        if c.train_on == "answer":
            return 0.0
        shapes = np.zeros(c.operations + 1)
        for size in range(1, c.operations + 1):
            shapes[size] = log(size) + 2 / size * shapes[:size].sum()
        return float(np.mean([self._told(size) + shapes[size] for size in c.lengths]))

    def _told(self, operations: int) -> float:
        """-ln P of an expression but for its shape."""
        c = self.config
        return log(len(c.lengths)) + operations * log(len(c.operators)) + (operations + 1) * log(c.modulus)

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        if self.config.train_on == "answer":
            return np.zeros(len(instances))
        shapes = per_instance(instances, np.log(np.maximum(instances.labels["operations"], 1)))
        operations = instances.tokens[instances.offsets[:-1] + 1] - LENGTH + 1
        told = np.array([self._told(size) for size in range(self.config.operations + 1)])
        return np.asarray(shapes + told[operations])

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Fresh expressions. Labels on operators and values, -1 elsewhere:

        value       value of the sub-expression that begins here
        operations  its operations
        ended       value of the largest sub-expression that ends here; -1 on operators
        """
        c = self.config
        key = np.uint64(stream.key("mano", "expression", c.seed))
        operators = np.array([OPERATORS.index(symbol) for symbol in c.operators])

        def write(buffer: TokenBuffer) -> None:
            _write(key, indices, c.lengths[0], c.operations, operators, c.modulus, c.train_on == "all", buffer)

        return TokenBuffer.build(len(indices), self.max_length, LABELS, write)

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"value": self.config.modulus, "ended": self.config.modulus}

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """All up to `<ans>`."""
        prompt: NDArray[np.int32] = instances.truth[i]
        return prompt

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion is the value of the prompt's expression."""
        first = LENGTH + self.config.operations
        values: list[int] = []
        for token in reversed(truth[2:-1].tolist()):
            symbol = token - first
            if symbol >= len(OPERATORS):
                values.append(symbol - len(OPERATORS))
            else:
                left, right = values.pop(), values.pop()
                values.append(RESULTS[symbol](left, right) % self.config.modulus)
        operations = int(truth[1]) - LENGTH + 1
        return compare([first + len(OPERATORS) + values[0]], completion, operations, self.vocabulary)
