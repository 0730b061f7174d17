"""Which instance of a stream is about whom: exposures to biographies, junk and questions, in shuffled orders.

One exposure is a shuffle of: a biography of each person worth knowing, the junk that goes with them, and the questions
that go with all of these. So exposures are counted right whatever is mixed in, and different texts about one person
stand an exposure apart: packed side by side they are copied, not learnt, as `texts_together` shows. Questions and junk
go on from exposure to exposure through shuffles of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from physlm import randomness

BIOGRAPHY, CELEBRITY, JUNK, QUESTION = range(4)  # kinds of instances; classes of the label `kind`

Key = Callable[..., int]  # of a stream: the key of a purpose in it


class Shares(NamedTuple):
    """Instances of each kind in one exposure."""

    people: int
    celebrities: int
    junk: int
    questions: int

    @property
    def total(self) -> int:
        """Instances of an exposure."""
        return sum(self)


@dataclass(frozen=True)
class Drawn:
    """What n instances are about, and what they say.

    kind     int8 [n]: BIOGRAPHY, CELEBRITY, JUNK or QUESTION
    exposure int64 [n]: for the how manieth time an instance's person is shown
    question int32 [n]: place in the config's list; -1 if none
    persons  int64 [n, 2]: whom the instance is about, and whom else (-1 if none)
    facts    int32 [n, 12] of the first person
    sequence int32 [n, forms]: the forms of the text, as `Script.write` takes them
    rank     int64 [n]: place of the person asked about among those asked about in this split; -1 if none is
    questions  that can be asked in this split
    """

    kind: NDArray[np.int8]
    exposure: NDArray[np.int64]
    question: NDArray[np.int32]
    persons: NDArray[np.int64]
    facts: NDArray[np.int32]
    sequence: NDArray[np.int32]
    rank: NDArray[np.int64]
    questions: int
    split: str


class Subjects(NamedTuple):
    """What n instances are about: the columns of the same names of `Drawn`."""

    kind: NDArray[np.int8]
    exposure: NDArray[np.int64]
    question: NDArray[np.int32]
    person: NDArray[np.int64]
    rank: NDArray[np.int64]


@dataclass(frozen=True)
class Schedule:
    """The order of a world's texts.

    seed            of the world
    shares          of one exposure
    people          N; celebrities and junk persons are numbered behind them
    celebrities, junk_people   persons of these kinds
    kinds           questions that can be asked about one person
    trained_people  people asked about in training; the others are asked about in tests
    texts_together  texts of a person that come one after the other
    """

    seed: int
    shares: Shares
    people: int
    celebrities: int
    junk_people: int
    kinds: int
    trained_people: int
    texts_together: int

    def split_size(self, split: str) -> int:
        """People asked about in a split."""
        return self.people - self.trained_people if split == "test" else self.trained_people

    def questions(self, split: str) -> int:
        """Questions that can be asked in a split."""
        return self.kinds * self.split_size(split)

    def at(self, key: Key, split: str, indices: NDArray[np.int64]) -> Subjects:
        """What the instances at these positions of a stream, int64 [n], are about."""
        exposure, place = self._shuffled(key, indices)
        edges = np.cumsum(self.shares)
        kind = np.searchsorted(edges[:-1], place, side="right").astype(np.int8)
        question, chosen = np.full(len(indices), -1, np.int32), np.full(len(indices), -1, np.int64)
        person = place.copy()  # people and celebrities
        rows = np.flatnonzero(kind == JUNK)
        if len(rows):
            turn = self._in_turn(
                key, "junk", exposure[rows], place[rows] - edges[1], self.shares.junk, self.junk_people
            )
            person[rows] = self.people + self.celebrities + turn
        rows = np.flatnonzero(kind == QUESTION)
        if len(rows):
            number = self._in_turn(
                key, "asked", exposure[rows], place[rows] - edges[2], self.shares.questions, self.questions(split)
            )
            rank, question[rows] = np.divmod(number, self.kinds)
            person[rows] = self.asked_about(split, rank)
            chosen[rows] = rank
        return Subjects(kind, exposure, question, person, chosen)

    def _shuffled(self, key: Key, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Exposure and place in it of instances: one shuffle serves so many exposures as texts come together."""
        together, total = self.texts_together, self.shares.total
        turn, slot = np.divmod(indices, total * together)
        group, text = np.divmod(slot, together)
        place = randomness.places(key("bios", "shuffle", self.seed), turn, total, group)
        return turn * together + text, place

    def _in_turn(
        self, key: Key, what: str, exposure: NDArray[np.int64], place: NDArray[np.int64], each: int, total: int
    ) -> NDArray[np.int64]:
        """Which of `total` things come: all in a shuffled order, then all again, `each` an exposure."""
        turn, slot = np.divmod(exposure * each + place, total)
        return randomness.places(key("bios", what, self.seed), turn, total, slot)

    def asked_about(self, split: str, rank: NDArray[np.int64]) -> NDArray[np.int64]:
        """The people asked about in a split, by rank among them, int64 [m]."""
        first = self.trained_people if split == "test" else 0
        key = randomness.key("bios", "split", self.seed)
        return randomness.places(key, np.zeros(len(rank), np.int64), self.people, first + rank)

    @cached_property
    def _held_out_people(self) -> NDArray[np.bool_]:
        held_out = np.zeros(self.people, np.bool_)
        held_out[self.asked_about("test", np.arange(self.split_size("test"), dtype=np.int64))] = True
        return held_out

    def held_out(self, person: NDArray[np.int64]) -> NDArray[np.int32]:
        """1: the person is asked about in tests only; 0: in training; -1: never."""
        known = person < self.people
        return np.where(known, self._held_out_people[np.where(known, person, 0)], -1).astype(np.int32)
