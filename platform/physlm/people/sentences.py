"""The sentences of a text about a person: which, in which order, and how likely each choice is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from math import lcm, log

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm import randomness
from physlm.people.templates import ATTRIBUTES, SENTENCES
from physlm.people.world import NAME_FACTS
from physlm.people.writer import Script

FULL_NAME = " ".join(f"{{{fact}}}" for fact in NAME_FACTS)
# The value of each attribute as it stands in texts.
VALUES = {attribute: f"{{{attribute}}}" for attribute in ATTRIBUTES} | {
    "birth_date": "{birth_month} {birth_day} , {birth_year}"
}
_COUPLES = ((0, 1), (2, 3), (4, 5))  # neighbours in the common order
_MOST_PERSONS_AVERAGED = 1 << 17


@dataclass(frozen=True)
class Variation:
    """How texts about a person vary: how many fixed choices of templates and orders, None for anew each time."""

    templates: int | None
    permute: bool
    orders: int | None

    @property
    def texts(self) -> int:
        """Combinations of what is fixed: the texts of a person go through them in turn."""
        return lcm(self.templates or 1, self.orders or 1)


@njit(cache=True)
def _arrange(templates, order, forms, fullname, named, sequence):  # type: ignore[no-untyped-def]
    """forms: [2, attributes, sentences], those with the name and those with a pronoun; named: the one with the name."""
    for i in range(len(templates)):
        for j in range(order.shape[1]):
            attribute = order[i, j]
            sequence[i, j] = forms[0 if fullname or j == named else 1, attribute, templates[i, attribute]]


class SentenceSampler:
    """The sentences of a world's texts, as forms of its script.

    seed        of the world: a person's fixed texts are the same in every stream
    sentences   templates of each attribute
    gendered    he or she, or they
    couple      only pairs of sentences change places
    fullname    every sentence names the person, else only that at place `named`
    """

    def __init__(
        self, script: Script, seed: int, *, sentences: int, gendered: bool, couple: bool, fullname: bool, named: int
    ) -> None:
        self._script, self._seed = script, seed
        self._sentences, self._couple, self._fullname, self._named = sentences, couple, fullname, named
        self._forms = np.array(
            [
                [
                    [
                        script.form(f"{subject} {line}".replace("{was}", was).replace("{value}", VALUES[attribute]))
                        for line in SENTENCES[attribute][:sentences]
                    ]
                    for attribute in ATTRIBUTES
                ]
                for subject, was in ((FULL_NAME, "was"), ("{gender}", "was") if gendered else ("They", "were"))
            ],
            np.int32,
        )

    @cached_property
    def orders(self) -> NDArray[np.int32]:
        """Orders of sentences, int32 [orders, 6], the common one first."""
        if self._couple:
            return np.array([[a for pair in pairs for a in pair] for pairs in permutations(_COUPLES)], np.int32)
        return np.array(list(permutations(range(len(ATTRIBUTES)))), np.int32)

    def naming(self, attribute: int) -> int:
        """The form of the first sentence that names the person and tells this attribute."""
        return int(self._forms[0, attribute, 0])

    # -- what texts are made of ----------------------------------------------------------------------------------------

    @property
    def own_tokens(self) -> set[int]:
        """The tokens of sentences that can occur, beside those of names and values."""
        forms = self._forms[:1] if self._fullname else self._forms
        return set().union(*(self._script.own_tokens(form) for form in forms.ravel().tolist()))

    @property
    def longest(self) -> int:
        """Most tokens of a text."""
        rest = self._forms[0] if self._fullname else self._forms[1]
        named, others = (
            np.array([max(self._script.longest(form) for form in forms) for forms in table.tolist()])
            for table in (self._forms[0], rest)
        )
        return int(others.sum() + (named - others).max())

    def mean_length(self, lengths: Mapping[str, float]) -> float:
        """Mean tokens of a text whose facts have these mean lengths."""
        named, others = (
            float(np.mean([self._script.mean_length(form, lengths) for form in table.ravel().tolist()]))
            for table in self._forms
        )
        rest = len(ATTRIBUTES) - 1
        return named + rest * (named if self._fullname else others)

    # -- choosing ------------------------------------------------------------------------------------------------------

    def sample(
        self,
        variation: Variation,
        person: NDArray[np.int64],
        exposure: NDArray[np.int64],
        indices: NDArray[np.int64],
        key: Callable[..., int],
        paraphrase: int | None = None,
    ) -> NDArray[np.int32]:
        """The sentences of texts in their order, int32 [n, 6].

        person, exposure, indices: int64 [n], whom a text is about, for the how manieth time, and its place in the
        stream whose keys `key` makes. paraphrase: the number of a paraphrase, None for the stream's own text.
        """
        text = np.zeros(len(person), np.int64)
        if variation.texts > 1 and paraphrase is None:
            # Each of a person's texts in turn, beginning with one that depends on the person.
            first = randomness.words(key("bios", "texts", self._seed), person, 1)[:, 0].astype(np.int64)
            text = (first + exposure) % variation.texts
        templates, order = self._fixed(variation, person, text)
        again = () if paraphrase is None else ("again", paraphrase)
        if variation.templates is None or again:
            templates = self._templates(key("bios", "wording", self._seed, *again), indices)
        if variation.permute and (variation.orders is None or again):
            order = self._order(key("bios", "order", self._seed, *again), indices)
        return self._arranged(templates, order)

    def _templates(self, key: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which sentence tells each attribute, int64 [n, 6]."""
        return randomness.scaled(randomness.words(key, indices, len(ATTRIBUTES)), self._sentences)

    def _order(self, key: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which order the sentences come in, int64 [n]."""
        return randomness.scaled(randomness.words(key, indices, 1)[:, 0], len(self.orders))

    def _fixed(
        self, variation: Variation, person: NDArray[np.int64], text: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sentences int64 [n, 6] and order int64 [n] of persons' texts by number, where they are fixed."""
        templates, order = np.zeros((len(person), len(ATTRIBUTES)), np.int64), np.zeros(len(person), np.int64)
        if variation.templates is not None:
            which = person * variation.templates + text % variation.templates
            templates = self._templates(randomness.key("bios", "wording", self._seed), which)
        if variation.permute and variation.orders is not None:
            which = person * variation.orders + text % variation.orders
            order = self._order(randomness.key("bios", "order", self._seed), which)
        return templates, order

    def _arranged(self, templates: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int32]:
        sequence = np.empty((len(templates), len(ATTRIBUTES)), np.int32)
        _arrange(templates, self.orders[order], self._forms, self._fullname, self._named, sequence)
        return sequence

    # -- how likely a choice is ----------------------------------------------------------------------------------------

    def surprisal(
        self, variation: Variation, person: NDArray[np.int64], sequence: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """-ln P of texts' sentences and order given the person, [n], exact: texts of one person may be alike.

        sequence: int32 [n, 6], as `sample` gives them.
        """
        per_subject = len(ATTRIBUTES) * self._sentences
        order, template = np.divmod((sequence - self._forms[0, 0, 0]) % per_subject, self._sentences)
        templates = np.empty_like(template)
        np.put_along_axis(templates, order, template, axis=1)
        total = np.zeros(len(person))
        for text in range(variation.texts):
            fixed, place = self._fixed(variation, person, np.full(len(person), text, np.int64))
            likely = np.ones(len(person))
            if variation.templates is None:
                likely /= float(self._sentences) ** len(ATTRIBUTES)
            else:
                likely *= (fixed == templates).all(axis=1)
            if variation.permute:
                likely *= (
                    1 / len(self.orders)
                    if variation.orders is None
                    else (self.orders[place] == order).all(axis=1).astype(np.float64)
                )
            total += likely
        return np.asarray(-np.log(total / variation.texts))

    def entropy(self, variation: Variation, first: int, count: int) -> float:
        """Mean surprisal of texts about `count` persons from `first` on, in nats; over 131,072 of them if there are
        more and their texts are fixed."""
        if variation.templates is None and (variation.orders is None or not variation.permute):
            orders = log(len(self.orders)) if variation.permute else 0.0
            return len(ATTRIBUTES) * log(self._sentences) + orders
        persons = np.arange(first, first + min(count, _MOST_PERSONS_AVERAGED), dtype=np.int64)
        means = []
        for text in range(variation.texts):
            sequence = self._arranged(*self._fixed(variation, persons, np.full(len(persons), text, np.int64)))
            means.append(self.surprisal(variation, persons, sequence).mean())
        return float(np.mean(means))
