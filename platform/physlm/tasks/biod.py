"""bioD(N, K, C, D, L, T): synthetic persons whose every bit of knowledge is counted (Part 3.3, section 2).

N persons with distinct random names; each has K attributes; the value of an attribute is C chunks, each drawn
uniformly from that attribute's diversity set of D distinct strings of L symbols out of T. A text names the person
and gives the attributes in an order drawn anew at each exposure:

    config   people=2 attributes=2 chunks=1 diversity=8 chunk_length=2 vocabulary=16 name_length=3
    text     <s> s6 s8 s8 ID1 s5 s15 ID0 s5 s12    "X's ID 1 is v₁. Its ID 0 is v₀."
    loss       1  1  1  1   1  1   1   1  1   1    every token but the window's first is predicted
    part       0  1  1  1   2  3   3   2  3   3    0 separator, 1 name, 2 key, 3 value
    chunk     -1 -1 -1 -1  -1  0   0  -1  0   0    which chunk of the value

The text's fixed words carry no knowledge and are left out; names are strings of `name_length` symbols, so there are
N₀ = T^name_length of them (the paper has N₀ = 400·400·1000 full names).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from math import lgamma, log, log2
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm import randomness
from physlm.tasks.contract import Axis, Instances, Stream, Task, TaskConfig, register

SEPARATOR, NAME, KEY, VALUE = range(4)  # classes of the label `part`


class BiodConfig(TaskConfig):
    """Knobs of bioD; the letters are the paper's."""

    type: Literal["biod"] = "biod"
    people: int = Field(1000, ge=2, le=10**8, description="N, persons")
    attributes: int = Field(4, ge=1, le=50, description="K, attributes of a person")
    chunks: int = Field(1, ge=1, le=50, description="C, chunks in a value")
    diversity: int = Field(64, ge=1, le=10**6, description="D, distinct strings that a chunk is drawn from")
    chunk_length: int = Field(1, ge=1, le=50, description="L, tokens in a chunk")
    vocabulary: int = Field(64, ge=2, le=60_000, description="T, symbols that names and chunks are made of")
    name_length: int = Field(3, ge=1, le=12, description="tokens in a name; N₀ = T^name_length names exist")

    @model_validator(mode="after")
    def _enough_strings(self) -> BiodConfig:
        if self.people > self.vocabulary**self.name_length:
            raise ValueError(
                f"people: {self.people} persons need distinct names, but vocabulary {self.vocabulary} and "
                f"name_length {self.name_length} give only {self.vocabulary**self.name_length}"
            )
        if self.diversity > self.vocabulary**self.chunk_length:
            raise ValueError(
                f"diversity: {self.diversity} distinct strings are asked for, but vocabulary {self.vocabulary} and "
                f"chunk_length {self.chunk_length} give only {self.vocabulary**self.chunk_length}"
            )
        return self

    @property
    def value_length(self) -> int:
        """Tokens of one value, C·L."""
        return self.chunks * self.chunk_length


def _distinct_strings(key: int, count: int, length: int, symbols: int) -> NDArray[np.int32]:
    """`count` distinct strings, uniform without replacement. Returns int32 [count, length], symbols from 0."""
    total = symbols**length
    if 2 * count > total:  # so few exist that all can be listed and shuffled
        codes = randomness.permutation(key, 0, total)[:count]
        powers = symbols ** np.arange(length - 1, -1, -1)
        return ((codes[:, None] // powers) % symbols).astype(np.int32)
    strings = np.empty((0, length), np.int32)
    drawn = 0
    while len(strings) < count:  # reject repetitions, keeping the first of each in order of drawing
        indices = np.arange(drawn, drawn + max(1024, 2 * (count - len(strings))), dtype=np.int64)
        drawn += len(indices)
        # 32-bit words times symbols, high half: bias below symbols/2³²
        draws = randomness.words(key, indices, length).astype(np.uint64) * np.uint64(symbols) >> np.uint64(32)
        strings = np.concatenate([strings, draws.astype(np.int32)])
        _, first = np.unique(strings, axis=0, return_index=True)
        strings = strings[np.sort(first)]
    return strings[:count]


@register
class Biod(Task[BiodConfig]):
    """Synthetic persons of exactly known information content."""

    config_type = BiodConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"people": 1000, "attributes": 4, "diversity": 64, "vocabulary": 64},
        "paper": {
            "people": 100_000,
            "attributes": 10,
            "chunks": 1,
            "diversity": 1000,
            "chunk_length": 4,
            "vocabulary": 1000,
        },
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s>`, then T symbols `s0 s1 ...`, then K keys `ID0 ID1 ...`."""
        c = self.config
        return ["<s>", *(f"s{i}" for i in range(c.vocabulary)), *(f"ID{i}" for i in range(c.attributes))]

    @property
    def separator(self) -> int:
        return 0

    @property
    def population(self) -> int:
        return self.config.people

    @property
    def max_length(self) -> int:
        c = self.config
        return 1 + c.name_length + c.attributes * (1 + c.value_length)

    @cached_property
    def used_tokens(self) -> int:
        """Embedding rows in use: the separator, the keys, and the symbols that occur in a name or a value."""
        symbols = np.union1d(np.unique(self._names), np.unique(self._values))
        return 1 + self.config.attributes + len(symbols)

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("people", "amount", "persons to know"),
            Axis("attributes", "difficulty", "facts about each person", (2, 6)),
            Axis("chunks", "difficulty", "chunks in a value", (1, 3)),
            Axis("diversity", "type", "how many strings a chunk is drawn from"),
            Axis("chunk_length", "format", "tokens that spell a chunk", (2, 4)),
            Axis("vocabulary", "format", "symbols that spell names and chunks"),
        )

    def floor(self) -> float:
        """ln N + ln K!: who comes next and in which order can't be known, all else can. In nats per person."""
        return log(self.config.people) + lgamma(self.config.attributes + 1)

    @property
    def names_possible(self) -> int:
        """N₀, how many names exist."""
        return int(self.config.vocabulary**self.config.name_length)

    @property
    def bits_max(self) -> float:
        """Information in the world, in bits: P·R_max of Part 3.3, section 2.2."""
        c = self.config
        return (
            c.people * log2(self.names_possible / c.people)
            + c.people * c.attributes * c.chunks * log2(c.diversity)
            + c.attributes * c.diversity * (c.chunk_length * log2(c.vocabulary) - log2(c.diversity))
        )

    @cached_property
    def _names(self) -> NDArray[np.int32]:
        """int32 [N, name_length], symbols from 0."""
        c = self.config
        return _distinct_strings(randomness.key("biod", "names", c.seed), c.people, c.name_length, c.vocabulary)

    @cached_property
    def _values(self) -> NDArray[np.int32]:
        """int32 [N, K, C·L], symbols from 0."""
        c = self.config
        sets = np.stack(
            [
                _distinct_strings(
                    randomness.key("biod", "diversity", c.seed, k), c.diversity, c.chunk_length, c.vocabulary
                )
                for k in range(c.attributes)
            ]
        )  # [K, D, L]
        key = randomness.key("biod", "values", c.seed)
        people = np.arange(c.people, dtype=np.int64)
        draws = randomness.words(key, people, c.attributes * c.chunks).astype(np.uint64) * np.uint64(c.diversity)
        choice = (draws >> np.uint64(32)).astype(np.int64).reshape(c.people, c.attributes, c.chunks)
        chunks = sets[np.arange(c.attributes)[None, :, None], choice]  # [N, K, C, L]
        return chunks.reshape(c.people, c.attributes, c.value_length)

    def facts(self) -> Mapping[str, NDArray[Any]]:
        """`names` int32 [N, name_length] and `values` int32 [N, K, C·L], symbols from 0."""
        return {"names": self._names, "values": self._values}

    @cached_property
    def _sentences(self) -> NDArray[np.int32]:
        """Tokens of every sentence, int32 [N, K, 1 + C·L]: the key, then the value."""
        c = self.config
        sentences = np.empty((c.people, c.attributes, 1 + c.value_length), np.int32)
        sentences[:, :, 0] = 1 + c.vocabulary + np.arange(c.attributes)
        sentences[:, :, 1:] = 1 + self._values
        return sentences

    @cached_property
    def _label_rows(self) -> dict[str, NDArray[np.int32]]:
        """Labels of one person's tokens that don't depend on the person, int32 [max_length]."""
        c = self.config
        chunk = np.repeat(np.arange(c.chunks), c.chunk_length)
        return {
            "part": np.concatenate(
                [[SEPARATOR], np.full(c.name_length, NAME), np.tile([KEY] + [VALUE] * c.value_length, c.attributes)]
            ).astype(np.int32),
            "chunk": np.concatenate(
                [np.full(1 + c.name_length, -1), np.tile(np.concatenate([[-1], chunk]), c.attributes)]
            ).astype(np.int32),
        }

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Persons at these positions: each exposure is a fresh shuffle of all N, its sentence orders drawn anew."""
        c = self.config
        n = len(indices)
        exposure, slot = np.divmod(indices, c.people)
        person = np.empty(n, np.int64)
        shuffle = stream.key("biod", "shuffle", c.seed)
        for e in np.unique(exposure):
            where = exposure == e
            person[where] = _shuffled(shuffle, int(e), c.people)[slot[where]]
        order_words = randomness.words(stream.key("biod", "order", c.seed), indices, c.attributes)
        order = np.argsort(order_words, axis=1, kind="stable")
        tokens = np.empty((n, self.max_length), np.int32)
        tokens[:, 0] = self.separator
        tokens[:, 1 : 1 + c.name_length] = 1 + self._names[person]
        sentences = self._sentences[person[:, None], order]
        tokens[:, 1 + c.name_length :] = sentences.reshape(n, c.attributes * (1 + c.value_length))
        labels = {name: np.tile(row, n) for name, row in self._label_rows.items()}
        labels["person"] = np.repeat(person.astype(np.int32), self.max_length)
        return Instances(
            tokens=tokens.reshape(-1),
            offsets=np.arange(n + 1, dtype=np.int64) * self.max_length,
            loss=np.ones(tokens.size, np.bool_),
            labels=labels,
        )

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"part": 4, "person": self.config.people}


@lru_cache(maxsize=8)
def _shuffled(key: int, exposure: int, people: int) -> NDArray[np.int64]:
    return randomness.permutation(key, exposure, people)
