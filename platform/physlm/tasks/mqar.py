"""MQAR, multi-query associative recall: which value did this key have? (Arora et al. 2023, "Zoology")

D pairs of a key and a value, then the keys again in between filler, each at a distance that follows a power law, as
repetitions in real text do; a key's value must be told when it comes again. A sample:

    config     pairs=2 length=16 symbols=8 seed=2
    text       <s> k8 v5 k3 v1 k8 v5 v7 v4 v8 v3 k7 k4 v4 v2 k3 v1
    loss         0  0  0  0  0  0  1  0  0  0  0  0  0  0  0  0  1
    pair        -1  0  0  1  1  0  0 -1 -1 -1 -1 -1 -1 -1 -1  1  1
    distance    -1 -1 -1 -1 -1  4  4 -1 -1 -1 -1 -1 -1 -1 -1 12 12
    value       -1 -1 -1 -1 -1  4 -1 -1 -1 -1 -1 -1 -1 -1 -1  0 -1

Draws: distinct keys, distinct values. Behind the pairs lie (length - 2 D)/2 slots of two tokens; each key takes a slot
no other has, slot g = 1, 2, ... with weight g^(power - 1), drawn one after the other without replacement; the other
slots hold filler. Only the values of keys that come again are trained on. `verify` asks one of these at random.

The published code asks for the value in the key's place and goes on with filler; here the value follows its key as in
text, so models read it when it is told. As there, random filler can be any key or value, and each key comes again once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm.randomness import below, start, uniform, words
from physlm.tasks.answers import TokenBuffer, append, compare
from physlm.tasks.capabilities import Asks, Counterfactuals, HasCounterfactuals, HasEntropy, Probed, Verdict, require
from physlm.tasks.task import Axis, Instances, Stream, Task, TaskConfig, register

SEPARATOR, BLANK, FIRST = range(3)  # FIRST key; the values follow the keys
LABELS = ("pair", "distance", "value")


class MqarConfig(TaskConfig):
    """Knobs of MQAR."""

    type: Literal["mqar"] = "mqar"
    pairs: int = Field(8, ge=1, le=100_000, description="D, pairs of a key and a value")
    length: int = Field(64, ge=4, le=1_000_000, description="tokens behind the separator")
    symbols: int = Field(4096, ge=1, le=1_000_000, description="distinct keys; there are as many values")
    power: float = Field(0.01, gt=0, le=10, description="a: a gap g has weight g^(a - 1); 1 makes gaps uniform")
    filler: Literal["random", "blank"] = Field("random", description="what stands between: random tokens, or blanks")

    @model_validator(mode="after")
    def _has_room(self) -> MqarConfig:
        if self.length % 2 or self.length < 4 * self.pairs:
            raise ValueError(
                f"length: must be even and at least 4 times pairs, {4 * self.pairs}, for pairs and questions, "
                f"got {self.length}"
            )
        if self.symbols < self.pairs:
            raise ValueError(f"symbols: {self.pairs} pairs need as many distinct keys, got {self.symbols}")
        return self


@njit(cache=True)
def _distinct(s, out, n, seen, stamp):  # type: ignore[no-untyped-def]
    """Fill `out` with distinct numbers below n, uniform without replacement; `seen` holds earlier calls' stamps."""
    for i in range(len(out)):
        number = below(s, n)
        while seen[number] == stamp:
            number = below(s, n)
        seen[number] = stamp
        out[i] = number


@njit(cache=True)
def _write(key, indices, pairs, length, symbols, weights, blank, buffer):  # type: ignore[no-untyped-def]
    keys, values = np.empty((2, pairs), np.int64)
    seen = np.full(symbols, -1, np.int64)
    slots = len(weights)
    clocks = np.empty(slots)
    asked = np.empty(slots, np.int64)  # the pair asked for in a slot
    at = 0
    for i in range(len(indices)):
        s = start(key, indices[i])
        _distinct(s, keys, symbols, seen, 2 * i)
        _distinct(s, values, symbols, seen, 2 * i + 1)
        # Exponential clocks ring in the order in which weighted drawing without replacement takes the slots.
        for slot in range(slots):
            clocks[slot] = -np.log(1 - uniform(s)) / weights[slot]
            asked[slot] = -1
        taken = np.argsort(clocks)
        for pair in range(pairs):
            asked[taken[pair]] = pair
        chosen = below(s, pairs)

        at = append(buffer, at, SEPARATOR, False)
        begin = at
        for pair in range(pairs):
            at = append(buffer, at, FIRST + keys[pair], False)
            at = append(buffer, at, FIRST + symbols + values[pair], False)
            buffer.labels[0, at - 2 : at] = pair
        for again in asked:
            if again >= 0:
                at = append(buffer, at, FIRST + keys[again], False)
                if again == chosen:
                    buffer.cuts[i] = at
                at = append(buffer, at, FIRST + symbols + values[again], True)
                buffer.labels[0, at - 2 : at] = again
                buffer.labels[1, at - 2 : at] = at - 2 - begin - 2 * again
                buffer.labels[2, at - 2] = values[again]
            else:
                for _ in range(2):
                    at = append(buffer, at, BLANK if blank else FIRST + below(s, 2 * symbols), False)
        buffer.offsets[i + 1] = at


@register
class Mqar(Asks[MqarConfig], HasEntropy[MqarConfig], Probed[MqarConfig], HasCounterfactuals[MqarConfig]):
    """Values of keys that come again."""

    config_type = MqarConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"pairs": 4, "length": 32, "symbols": 32},
        # Zoology, figure 2: vocabulary 8,192
        **{
            f"mqar_{length}": {"pairs": pairs, "length": length}
            for length, pairs in [(64, 4), (128, 8), (256, 16), (512, 64)]
        },
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s> <blank>`, keys `k1 k2 ...`, values `v1 v2 ...`."""
        symbols = range(1, self.config.symbols + 1)
        return ["<s>", "<blank>", *(f"k{i}" for i in symbols), *(f"v{i}" for i in symbols)]

    @property
    def separator(self) -> int:
        return SEPARATOR

    @property
    def used_tokens(self) -> int:
        """All but `<blank>` where filler is random."""
        return len(self.vocabulary) - (self.config.filler == "random")

    @property
    def max_length(self) -> int:
        return 1 + self.config.length

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("pairs", "difficulty", "pairs to keep in mind", (2, 8)),
            Axis("length", "difficulty", "tokens in all: longer gaps", (32, 64)),
            Axis("symbols", "amount", "distinct keys and values"),
            Axis("power", "type", "how gaps are distributed"),
            Axis("filler", "format", "what stands between the questions"),
        )

    @property
    def chance(self) -> float:
        """Accuracy of naming any one of the values listed."""
        return 1 / self.config.pairs

    def floor(self) -> float:
        """0: an answer follows from its question."""
        return 0.0

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        return np.zeros(len(instances))

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Fresh lists. Labels, -1 elsewhere:

        pair      on listed pairs, and where they come again: the pair's place in the list
        distance  where a pair comes again: tokens since it was listed
        value     on a key that comes again: its value, from 0
        """
        c = self.config
        key = np.uint64(stream.key("mqar", "pairs", c.seed))
        weights = np.arange(1.0, (c.length - 2 * c.pairs) // 2 + 1) ** (c.power - 1)

        def write(buffer: TokenBuffer) -> None:
            _write(key, indices, c.pairs, c.length, c.symbols, weights, c.filler == "blank", buffer)

        return TokenBuffer.build(len(indices), self.max_length, LABELS, write)

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"pair": self.config.pairs, "value": self.config.symbols}

    def restriction(self, capability: type[Task[Any]]) -> str | None:
        if capability is HasCounterfactuals and self.config.pairs == self.config.symbols:
            return "mqar: a list of all values leaves none to change one to; ask for fewer pairs than symbols"
        return None

    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        """Lists of pairs, right behind them the key in the middle of the list, whose value is then another."""
        require(self, HasCounterfactuals)
        c = self.config
        instances = self.sample(stream, indices)
        listed = instances.tokens.reshape(len(indices), self.max_length)[:, : 1 + 2 * c.pairs]
        carrier = 2 + 2 * (c.pairs // 2)
        clean = np.concatenate([listed, listed[:, carrier - 1, None]], axis=1)
        answer = clean[:, carrier].copy()
        free = np.ones((len(indices), c.symbols), np.bool_)  # values that the list doesn't have
        np.put_along_axis(free, (listed[:, 2::2] - FIRST - c.symbols).astype(np.int64), False, axis=1)
        draw = words(stream.key("mqar", "changed", c.seed), indices, 1)[:, 0].astype(np.int64)
        rank = draw % np.maximum(free.sum(1), 1)
        value = (free.cumsum(1) > rank[:, None]).argmax(1)
        other = (FIRST + c.symbols + value).astype(np.int32)
        changed = clean.copy()
        changed[:, carrier] = other
        return Counterfactuals.of_one_length(clean, changed, answer, other)

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """All up to one of the keys that come again."""
        prompt: NDArray[np.int32] = instances.truth[i]
        return prompt

    def completion(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The key's value."""
        cut = len(self.prompt(instances, i))
        return instances[i][cut : cut + 1]

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion is the value listed for the key that the prompt ends with."""
        listed = truth[1 : 1 + 2 * self.config.pairs]
        values = dict(zip(listed[::2].tolist(), listed[1::2].tolist(), strict=True))
        return compare([values[int(truth[-1])]], completion, self.config.pairs, self.vocabulary)
