"""Copying: write random tokens down again, forwards or backwards (the plainest recall; Part 4.1's copy test).

A sample:

    config     length=5 symbols=9
    text       <s> s8 s7 s2 s6 s6 <copy> s8 s7 s2 s6 s6
    loss         0  0  0  0  0  0      0  1  1  1  1  1
    position    -1  0  1  2  3  4     -1  0  1  2  3  4
    token       -1 -1 -1 -1 -1 -1      7  6  1  5  5 -1

Tokens are uniform and independent. Only the copy is trained on; `train_on: all` adds the text itself, whose entropy is
L ln V. In Part 4.1 one layer with RoPE copies 500 random tokens from width 128 on, two layers or one with a Canon
layer from width 16 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import log
from typing import Any, ClassVar, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from physlm.randomness import below, start, words
from physlm.tasks.answers import TokenBuffer, append, compare
from physlm.tasks.capabilities import Asks, Counterfactuals, HasCounterfactuals, HasEntropy, Probed, Verdict
from physlm.tasks.task import Axis, Instances, Stream, TaskConfig, register

SEPARATOR, COPY, FIRST = range(3)  # FIRST of the tokens to copy
LABELS = ("position", "token")


class CopyingConfig(TaskConfig):
    """Knobs of copying."""

    type: Literal["copying"] = "copying"
    length: int = Field(64, ge=1, le=1_000_000, description="L, tokens to copy")
    symbols: int = Field(64, ge=2, le=60_000, description="V, distinct tokens that are copied")
    order: Literal["forward", "reverse"] = Field("forward", description="order in which the copy is written")
    train_on: Literal["answer", "all"] = Field("answer", description="tokens that are trained on: the copy's, or all")


@njit(cache=True)
def _write(key, indices, length, symbols, reverse, all_, buffer):  # type: ignore[no-untyped-def]
    at = 0
    for i in range(len(indices)):
        s = start(key, indices[i])
        at = append(buffer, at, SEPARATOR, all_)
        begin = at
        for j in range(length):
            append(buffer, at, FIRST + below(s, symbols), all_)
            buffer.labels[0, at] = j
            at += 1
        at = append(buffer, at, COPY, all_)
        buffer.cuts[i] = at
        for j in range(length):
            position = length - 1 - j if reverse else j
            buffer.labels[1, at - 1] = buffer.tokens[begin + position] - FIRST
            append(buffer, at, buffer.tokens[begin + position], True)
            buffer.labels[0, at] = position
            at += 1
        buffer.offsets[i + 1] = at


@register
class Copying(Asks[CopyingConfig], HasEntropy[CopyingConfig], Probed[CopyingConfig], HasCounterfactuals[CopyingConfig]):
    """Random tokens, twice."""

    config_type = CopyingConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"length": 16, "symbols": 16},
        "copy_64": {"length": 64},
        "copy_500": {"length": 500},
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s> <copy>`, then the tokens `s1 s2 ...`."""
        return ["<s>", "<copy>", *(f"s{i}" for i in range(1, self.config.symbols + 1))]

    @property
    def separator(self) -> int:
        return SEPARATOR

    @property
    def max_length(self) -> int:
        return 2 + 2 * self.config.length

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("length", "difficulty", "tokens to copy", (8, 32)),
            Axis("symbols", "amount", "distinct tokens"),
            Axis("order", "type", "whether the copy runs forwards or backwards"),
            Axis("train_on", "format", "tokens that are trained on"),
        )

    @property
    def chance(self) -> float:
        """Accuracy of any fixed answer, V^-L."""
        return float(np.exp(-self._text_entropy))

    def floor(self) -> float:
        """0 for the copy alone; L ln V with the text."""
        return self._text_entropy if self.config.train_on == "all" else 0.0

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        return np.full(len(instances), self.floor())

    @property
    def _text_entropy(self) -> float:
        return self.config.length * log(self.config.symbols)

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Fresh texts. Labels, -1 elsewhere:

        position  on the tokens to copy: their place in the text; on the copy: the place copied from
        token     from `<copy>` on: the token to be written next, from 0
        """
        c = self.config
        key = np.uint64(stream.key("copying", "text", c.seed))

        def write(buffer: TokenBuffer) -> None:
            _write(key, indices, c.length, c.symbols, c.order == "reverse", c.train_on == "all", buffer)

        return TokenBuffer.build(len(indices), self.max_length, LABELS, write)

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"position": self.config.length, "token": self.config.symbols}

    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        """Texts and what is copied of them up to the middle, whose token is then another."""
        c = self.config
        instances = self.sample(stream, indices)
        whole = instances.tokens.reshape(len(indices), self.max_length)
        done = c.length // 2  # tokens copied
        carrier = 1 + (c.length - 1 - done if c.order == "reverse" else done)
        clean = whole[:, : 2 + c.length + done].copy()
        draw = words(stream.key("copying", "changed", c.seed), indices, 1)[:, 0].astype(np.int64)
        answer = clean[:, carrier].copy()
        other = (FIRST + (answer - FIRST + 1 + draw % (c.symbols - 1)) % c.symbols).astype(np.int32)
        changed = clean.copy()
        changed[:, carrier] = other
        return Counterfactuals.of_one_length(clean, changed, answer, other)

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """All up to `<copy>`."""
        prompt: NDArray[np.int32] = instances.truth[i]
        return prompt

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion is the prompt's text, forwards or backwards."""
        text = truth[1:-1]
        copy = text[::-1] if self.config.order == "reverse" else text
        return compare(copy, completion, len(text), self.vocabulary)
