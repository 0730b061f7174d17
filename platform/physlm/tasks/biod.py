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

Junk (Part 3.3, section 10): `junk_fraction` of the texts are about N′ persons not worth knowing; an exposure still
shows each of the N once. `tag` puts a special token in front of what is worth knowing.
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
from physlm.tasks.capabilities import (
    Counterfactuals,
    CountsKnowledge,
    DiversitySets,
    HasCounterfactuals,
    HasDistractors,
    HasEntropy,
    HasParaphrases,
    HasWorld,
    Knowledge,
    Probed,
)
from physlm.tasks.pairing import partners
from physlm.tasks.task import Axis, Instances, Stream, TaskConfig, register

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
    junk_people: int = Field(0, ge=0, le=10**8, description="N′, persons not worth knowing")
    junk_fraction: float = Field(0.0, ge=0, lt=1, description="share of the texts that are about them")
    tag: bool = Field(False, description="a special token in front of texts worth knowing")

    @model_validator(mode="after")
    def _enough_strings(self) -> BiodConfig:
        if self.junk_fraction and not self.junk_people:
            raise ValueError("junk_people: junk_fraction needs persons that are not worth knowing, such as 1000")
        if self.junk_people and self.vocabulary**self.name_length >= 2**62:  # their names are numbered
            raise ValueError(f"junk_people: with vocabulary {self.vocabulary}, name_length must be smaller")
        persons = self.people + self.junk_people
        if persons > self.vocabulary**self.name_length:
            raise ValueError(
                f"people: {persons} persons need distinct names, but vocabulary {self.vocabulary} and "
                f"name_length {self.name_length} give only {self.vocabulary**self.name_length}"
            )
        if self.diversity > self.vocabulary**self.chunk_length:
            raise ValueError(
                f"diversity: {self.diversity} distinct strings are asked for, but vocabulary {self.vocabulary} and "
                f"chunk_length {self.chunk_length} give only {self.vocabulary**self.chunk_length}"
            )
        return self

    @property
    def junk_each(self) -> int:
        """Texts about junk persons in an exposure."""
        return round(self.people * self.junk_fraction / (1 - self.junk_fraction))

    @property
    def value_length(self) -> int:
        """Tokens of one value, C·L."""
        return self.chunks * self.chunk_length


@register
class Biod(
    HasEntropy[BiodConfig],
    HasWorld[BiodConfig],
    CountsKnowledge[BiodConfig],
    HasDistractors[BiodConfig],
    HasParaphrases[BiodConfig],
    Probed[BiodConfig],
    HasCounterfactuals[BiodConfig],
):
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
        "tiny_junk": {"people": 500, "junk_people": 10_000, "junk_fraction": 7 / 8},
        "tiny_tagged": {"people": 500, "junk_people": 10_000, "junk_fraction": 7 / 8, "tag": True},
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s>`, then T symbols `s0 s1 ...`, then K keys `ID0 ID1 ...`, then `<useful>` if texts are tagged."""
        c = self.config
        symbols, keys = (f"s{i}" for i in range(c.vocabulary)), (f"ID{i}" for i in range(c.attributes))
        return ["<s>", *symbols, *keys, *(["<useful>"] if c.tag else [])]

    @property
    def separator(self) -> int:
        return 0

    @property
    def population(self) -> int:
        """Texts of one exposure: each of the N persons once, and the junk between them."""
        return self.config.people + self.config.junk_each

    @property
    def without_distractors(self) -> Biod:
        """The same language without its junk: an instance for each person worth knowing."""
        if not self.config.junk_people:
            return self
        return Biod(self.config.model_copy(update={"junk_people": 0, "junk_fraction": 0.0}))

    @property
    def max_length(self) -> int:
        c = self.config
        return 1 + c.tag + c.name_length + c.attributes * (1 + c.value_length)

    @cached_property
    def mean_length(self) -> float:
        """All instances are of one length."""
        return float(self.max_length)

    @cached_property
    def used_tokens(self) -> int:
        """Embedding rows in use: the separator, the keys, and the symbols that occur in a name or a value."""
        c = self.config
        seen = np.zeros(c.vocabulary, np.bool_)
        seen[self._names] = True
        seen[self._values] = True
        for start in range(0, c.junk_people if c.junk_each else 0, 1 << 16):
            if seen.all():
                break
            names, values = self._junk(np.arange(start, min(start + (1 << 16), c.junk_people), dtype=np.int64))
            seen[names] = True
            seen[values] = True
        return 1 + c.attributes + c.tag + int(seen.sum())

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("people", "amount", "persons to know"),
            Axis("attributes", "difficulty", "facts about each person", (2, 6)),
            Axis("chunks", "difficulty", "chunks in a value", (1, 3)),
            Axis("diversity", "type", "how many strings a chunk is drawn from"),
            Axis("chunk_length", "format", "tokens that spell a chunk", (2, 4)),
            Axis("vocabulary", "format", "symbols that spell names and chunks"),
            Axis("junk_fraction", "difficulty", "what is not worth knowing"),
        )

    def floor(self) -> float:
        """ln N + ln K!: who comes next and in which order can't be known, all else can. In nats per person.

        With junk, whether it comes and which can't be known either.
        """
        c, everyone = self.config, self.population
        junk = c.junk_each / everyone
        return log(everyone) + (junk * log(c.junk_people / c.junk_each) if junk else 0) + lgamma(c.attributes + 1)

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        c, everyone = self.config, self.population
        is_junk = instances.labels["person"][instances.offsets[:-1]] < 0
        which = np.where(is_junk, log(c.junk_people / c.junk_each) if c.junk_each else 0.0, 0.0)
        return np.asarray(log(everyone) + which + lgamma(c.attributes + 1))

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

    @property
    def knowledge(self) -> Knowledge:
        c = self.config

        def fact_of(instances: Instances) -> NDArray[np.int32]:
            part = instances.labels["part"].reshape(len(instances), self.max_length)
            number = np.cumsum(part == KEY, axis=1)
            return np.select([part == NAME, part == VALUE], [0, number], -1).astype(np.int32).reshape(-1)

        return Knowledge(
            people=c.people,
            names_possible=self.names_possible,
            values=c.attributes,
            attributes=c.attributes,
            value_bits=c.attributes * c.chunks * log2(c.diversity),
            bits_max=self.bits_max,
            guess=float(c.diversity) ** -c.chunks,
            fact_of=fact_of,
            sets=DiversitySets(
                strings=c.attributes * c.diversity,
                bits=c.chunk_length * log2(c.vocabulary) - log2(c.diversity),
                guess=log(c.diversity),
                first=lambda instances: instances.labels["chunk"] == 0,
            ),
        )

    @cached_property
    def _names(self) -> NDArray[np.int32]:
        """int32 [N, name_length], symbols from 0."""
        c = self.config
        return randomness.distinct_strings(
            randomness.key("biod", "names", c.seed), c.people, c.name_length, c.vocabulary
        )

    @cached_property
    def _values(self) -> NDArray[np.int32]:
        """int32 [N, K, C·L], symbols from 0."""
        return self._drawn_values("values", np.arange(self.config.people, dtype=np.int64))

    @cached_property
    def _sets(self) -> NDArray[np.int32]:
        """The diversity sets, int32 [K, D, L]."""
        c = self.config
        return np.stack(
            [
                randomness.distinct_strings(
                    randomness.key("biod", "diversity", c.seed, k), c.diversity, c.chunk_length, c.vocabulary
                )
                for k in range(c.attributes)
            ]
        )

    def _drawn_values(self, purpose: str, people: NDArray[np.int64]) -> NDArray[np.int32]:
        """Values of n persons, int32 [n, K, C·L]."""
        c = self.config
        key = randomness.key("biod", purpose, c.seed)
        draws = randomness.scaled(randomness.words(key, people, c.attributes * c.chunks), c.diversity)
        choice = draws.reshape(len(people), c.attributes, c.chunks)
        chunks = self._sets[np.arange(c.attributes)[None, :, None], choice]  # [n, K, C, L]
        return chunks.reshape(len(people), c.attributes, c.value_length)

    @cached_property
    def _gaps(self) -> NDArray[np.int64]:
        """For each name in use, in order, how many unused ones come before it, int64 [N]."""
        codes = np.zeros(self.config.people, np.int64)
        for column in self._names.T:
            codes = codes * self.config.vocabulary + column
        return np.sort(codes) - np.arange(len(codes))

    def _junk(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Names and values of junk persons, made when shown: they may be too many to keep."""
        c = self.config
        unused = self.names_possible - c.people
        key = randomness.key("biod", "junk names", c.seed)
        place = randomness.places(key, np.zeros(len(numbers), np.int64), unused, numbers)
        codes = place + np.searchsorted(self._gaps, place, side="right")
        names = np.empty((len(numbers), c.name_length), np.int32)
        for column in range(c.name_length - 1, -1, -1):
            codes, names[:, column] = np.divmod(codes, c.vocabulary)
        return names, self._drawn_values("junk values", numbers)

    def facts(self) -> Mapping[str, NDArray[Any]]:
        """`names` int32 [N, name_length] and `values` int32 [N, K, C·L], symbols from 0."""
        return {"names": self._names, "values": self._values}

    @cached_property
    def _label_rows(self) -> dict[str, NDArray[np.int32]]:
        """Labels of one person's tokens that don't depend on the person, int32 [max_length]."""
        c = self.config
        chunk = np.repeat(np.arange(c.chunks), c.chunk_length)
        head = [SEPARATOR] * (1 + c.tag)
        part = np.concatenate([head, [NAME] * c.name_length, np.tile([KEY] + [VALUE] * c.value_length, c.attributes)])
        chunks = np.concatenate([[-1] * (len(head) + c.name_length), np.tile([-1, *chunk], c.attributes)])
        return {"part": part.astype(np.int32), "chunk": chunks.astype(np.int32)}

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Persons at these positions: each exposure is a fresh shuffle of all N, its sentence orders drawn anew.

        Labels: `part` and `chunk` as in the example; `person`, the number of the person, -1 for junk.
        """
        return self._sample(stream, indices)

    def paraphrase(self, stream: Stream, indices: NDArray[np.int64], number: int) -> Instances:
        """Other orders of the sentences."""
        return self._sample(stream, indices, "again", number)

    def _sample(self, stream: Stream, indices: NDArray[np.int64], *again: str | int) -> Instances:
        n = len(indices)
        c = self.config
        person = self._shown(stream, indices)
        order = self._orders(stream.key("biod", "order", c.seed, *again), indices)
        names, values = self._facts_of(person)
        head = 1 + c.tag
        tokens = np.empty((n, self.max_length), np.int32)
        tokens[:, 0] = self.separator
        tokens[:, 1:head] = len(self.vocabulary) - 1  # the tag
        tokens[:, head : head + c.name_length] = 1 + names
        sentences = np.empty((n, c.attributes, 1 + c.value_length), np.int32)
        sentences[:, :, 0] = 1 + c.vocabulary + order
        sentences[:, :, 1:] = 1 + values[np.arange(n)[:, None], order]
        tokens[:, head + c.name_length :] = sentences.reshape(n, self.max_length - head - c.name_length)
        labels = {name: np.tile(row, n) for name, row in self._label_rows.items()}
        labels["person"] = np.repeat(np.where(person < c.people, person, -1).astype(np.int32), self.max_length)
        keep = np.ones(tokens.shape, np.bool_)
        keep[person >= c.people, 1:head] = False
        lengths = keep.sum(1)
        whole = keep.all()
        return Instances(
            tokens=tokens.reshape(-1) if whole else tokens[keep],
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            loss=np.ones(lengths.sum(), np.bool_),
            labels=labels if whole else {name: row[keep.reshape(-1)] for name, row in labels.items()},
        )

    def _shown(self, stream: Stream, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Whom these places are about, int64 [n]; junk persons are numbered from N on."""
        c = self.config
        exposure, slot = np.divmod(indices, self.population)
        person = np.empty(len(indices), np.int64)
        shuffle = stream.key("biod", "shuffle", c.seed)
        for e in np.unique(exposure):
            where = exposure == e
            person[where] = _shuffled(shuffle, int(e), self.population)[slot[where]]
        junk = np.flatnonzero(person >= c.people)
        if len(junk):  # all of them in turn, then all again, in another order
            turn, place = np.divmod(exposure[junk] * c.junk_each + person[junk] - c.people, c.junk_people)
            key = stream.key("biod", "junk", c.seed)
            person[junk] = c.people + randomness.places(key, turn, c.junk_people, place)
        return person

    def _facts_of(self, person: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Names int32 [n, name_length] and values int32 [n, K, C·L] of persons."""
        junk = person >= self.config.people
        names, values = self._names[np.where(junk, 0, person)], self._values[np.where(junk, 0, person)]
        if junk.any():
            names[junk], values[junk] = self._junk(person[junk] - self.config.people)
        return names, values

    def _orders(self, key: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Orders of the sentences, int64 [n, K]."""
        words = randomness.words(key, indices, self.config.attributes)
        return np.argsort(words, axis=1, kind="stable")

    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        """A person's name and an attribute's key, what a text may begin with, and another person's with the same key.

        The name is the carrier; the values begin with different tokens.
        """
        c = self.config
        words = randomness.words(stream.key("biod", "asked", c.seed), indices, 1)[:, 0]
        attribute = randomness.scaled(words, c.attributes)
        first = self._values[:, :, 0]

        def differ(rows: NDArray[np.int64], chosen: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
            asked = attribute[rows]
            return np.asarray(first[chosen, asked] != first[others, asked])

        both = partners(self, stream, indices, c.people, differ)
        head = 1 + c.tag
        prompts = np.full((2, len(indices), head + c.name_length + 1), self.separator, np.int32)
        prompts[:, :, 1:head] = len(self.vocabulary) - 1  # the tag
        prompts[:, :, -1] = 1 + c.vocabulary + attribute
        for row, people in zip(prompts, both, strict=True):
            row[:, head:-1] = 1 + self._names[people]
        answer, other = (1 + first[people, attribute] for people in both)
        carrier = np.zeros(prompts.shape[1:], np.bool_)
        carrier[:, head:-1] = True
        length = np.full(len(indices), prompts.shape[2], np.int64)
        return Counterfactuals(prompts[0], prompts[1], answer, other, length, carrier)

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"part": 4, "person": self.config.people}


@lru_cache(maxsize=8)
def _shuffled(key: int, exposure: int, people: int) -> NDArray[np.int64]:
    return randomness.permutation(key, exposure, people)
