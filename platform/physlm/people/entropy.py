"""How likely texts about persons are: whom they are about, in which sentences, or what they ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from physlm.people.schedule import BIOGRAPHY, CELEBRITY, JUNK, QUESTION, Drawn, Schedule
from physlm.people.sentences import SentenceSampler, Variation


@dataclass(frozen=True)
class TextEntropy:
    """Exact entropy of the texts of a schedule.

    variations        how texts of each kind vary but questions
    first_form        place in `Drawn.sequence` of the first sentence
    of_question       mean -ln P of questions' texts in tests, given the kind and the person, in nats
    question_surprisal   -ln P of those at these rows, float64 [m]
    """

    schedule: Schedule
    sentences: SentenceSampler
    variations: Mapping[int, Variation]
    first_form: int
    of_question: Callable[[], float]
    question_surprisal: Callable[[Drawn, NDArray[np.int64]], NDArray[np.float64]]

    @property
    def floor(self) -> float:
        """Mean surprisal of a text of the test stream, in nats."""
        shares, questions = self.schedule.shares, self.schedule.questions("test")
        return sum(
            share / shares.total * (self._which(kind, questions) + self._given(kind))
            for kind, share in enumerate(shares)
            if share
        )

    def surprisal(self, drawn: Drawn) -> NDArray[np.float64]:
        """-ln P of texts, float64 [n] in nats."""
        surprisal = np.zeros(len(drawn.kind))
        for kind in np.unique(drawn.kind).tolist():
            rows = np.flatnonzero(drawn.kind == kind)
            surprisal[rows] = self._which(kind, drawn.questions)
            if kind == QUESTION:
                surprisal[rows] += self.question_surprisal(drawn, rows)
            else:
                sequence = drawn.sequence[rows, self.first_form :]
                surprisal[rows] += self.sentences.surprisal(self.variations[kind], drawn.persons[rows, 0], sequence)
        return surprisal

    def _which(self, kind: int, questions: int) -> float:
        """-ln P of one person or question of a kind, in nats."""
        s = self.schedule
        things = {BIOGRAPHY: s.people, CELEBRITY: s.celebrities, JUNK: s.junk_people, QUESTION: questions}[kind]
        return log(s.shares.total / s.shares[kind]) + log(things)

    def _given(self, kind: int) -> float:
        """Entropy of a text of a kind given what it is about, in nats."""
        if kind == QUESTION:
            return self.of_question()
        s = self.schedule
        first, count = {
            BIOGRAPHY: (0, s.people),
            CELEBRITY: (s.people, s.celebrities),
            JUNK: (s.people + s.celebrities, s.junk_people),
        }[kind]
        return self.sentences.entropy(self.variations[kind], first, count)
