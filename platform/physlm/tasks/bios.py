"""bioS: biographies in plain English of persons with six attributes, and questions about them (Parts 3.1 and 3.3).

A text names a person in full and tells the birth date, the birth city, the university, the major, the company and the
company's city, each in one of 50 sentences:

    Loris Randus Bradhurst found work in Eagleview , LA . He received an education at Glenmoor School of Arts . He
    sharpened a keen mind with Animal Science . He put candles on the cake in memory of October 8 , 2092 . He
    accepted an offer from Corvina Foods . He was welcomed by the family in Cedarhaven , KY .

Half of the people are asked about in training, the other half in tests. A question:

    config     people=4 qa_fraction=1 seed=0
    text       <s>  What  major  did  Lordon  Ingah  Blackgate  study  ?  <ans>  Film  Studies
    loss         1     1      1    1       1      1          1      1  1      1     1        1    all are predicted
    part         0     2      2    2       1      1          1      2  2      0     3        3    1 name, 3 value
    attribute   -1    -1     -1   -1      -1     -1         -1     -1 -1     -1     3        3    3 major
    before      -1    -1     -1   -1      -1     -1         -1     -1 -1      3    -1       -1    where P-probes read
    company    199   199    199  199     199    199        199    199 199  199   199      199    and all other facts

Draws: names are unique, facts uniform, but the company's city follows from the company: 13.7 % of the companies are in
one city. Full pools give S₀ = 2·(12·28·200)·200·300·100·263, 47.6 bits a person (Part 3.3, section 2.2). What varies
between the texts about a person: `wordings` (multi-M of Part 3.1; not given, every exposure is worded anew, as in Part
3.3), `permute`, `orders`, `couple`, `fullname`, `reverse`, `pronoun`. What else is trained on: questions, celebrities,
junk. Every exposure shows each person worth knowing once. The prompt of a biography ends before the value in the
sentence that names the person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from physlm.people import ATTRIBUTES, FULL_NAME, VALUES, Attribute
from physlm.people.labels import FIRST_VALUE, NAME
from physlm.people.schedule import Drawn
from physlm.people.templates import QUESTIONS
from physlm.tasks.biographies import (
    ANSWER_FORM,
    QUESTION_FORM,
    Biographies,
)
from physlm.tasks.biographies_config import BiographiesConfig
from physlm.tasks.capabilities import Counterfactuals, HasCounterfactuals, require
from physlm.tasks.pairing import partners
from physlm.tasks.task import Split, Stream, Task, register


class BiosConfig(BiographiesConfig):
    """Knobs of bioS; the letters are the paper's."""

    type: Literal["bios"] = "bios"
    questions: tuple[Attribute, ...] = Field(ATTRIBUTES, min_length=1, description="attributes that are asked for")

    @field_validator("questions")
    @classmethod
    def _each_once(cls, questions: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
        if len(set(questions)) < len(questions):
            raise ValueError(f"must name each attribute once, got {list(questions)}")
        return questions


_AUGMENTED = {"wordings": 5, "orders": 5}
_TINY_POOLS = {"names": (40, 40, 100), "years": 20, "cities": 20, "universities": 20, "majors": 20, "companies": 30}


def _published() -> dict[str, dict[str, Any]]:
    """The sets of Part 3.1, section 2.2, each with and without full names everywhere."""
    people = {"people": 100_000}
    sets: dict[str, dict[str, Any]] = {"single": {"wordings": 1, "permute": False}}
    for orders in (1, 2, 5):
        sets[f"single_permute{orders}"] = {"wordings": 1, "orders": orders}
    for texts in (2, 5):
        sets[f"multi{texts}"] = {"wordings": texts, "permute": False}
        sets[f"multi{texts}_permute"] = {"wordings": texts, "orders": texts}
    sets |= {f"{name}_fullname": {**knobs, "fullname": True} for name, knobs in sets.items()}
    for orders in (1, 2, 5):
        sets[f"couple{orders}"] = {"wordings": 1, "orders": orders, "couple": True}
    return {name: {**people, **knobs} for name, knobs in sets.items()}


@register
class Bios(Biographies[BiosConfig], HasCounterfactuals[BiosConfig]):
    """Biographies of persons, and questions for what they tell."""

    config_type = BiosConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"people": 500, "sentences": 5, **_TINY_POOLS},
        # multi5 with permutation and half the training tokens questions: what makes knowledge extractable
        "tiny_qa": {"people": 500, "sentences": 5, **_TINY_POOLS, **_AUGMENTED, "qa_fraction": 0.5},
        "bios": {"people": 100_000},  # Part 3.3: worded anew at every exposure
        "bios_simple": {"people": 100_000, "wordings": 1, "orders": 1},
        **_published(),
        "mixed": {"people": 100_000, "wordings": 1, "permute": False, "qa_fraction": 0.8},
        "celebrity": {"people": 100_000, "wordings": 1, "permute": False, "celebrities": 100_000},
        # Part 3.3, section 10: 7 of 8 biographies are junk
        "junk": {"people": 100_000, "junk_people": 100_000_000, "junk_fraction": 7 / 8},
        "junk_repeated": {"people": 100_000, "junk_people": 1000, "junk_fraction": 7 / 8},
        "junk_tagged": {"people": 100_000, "junk_people": 100_000_000, "junk_fraction": 7 / 8, "tag": True},
    }

    @property
    def kinds(self) -> int:
        return len(self.config.questions)

    def _question_forms(self) -> None:
        self._asks = np.array(
            [
                [self._form(f"{line} <ans>", was="was", name=FULL_NAME) for line in QUESTIONS[attribute]]
                for attribute in ATTRIBUTES
            ],
            np.int32,
        )
        self._answers = np.array([self.script.form(VALUES[attribute]) for attribute in ATTRIBUTES], np.int32)

    @property
    def _asked(self) -> NDArray[np.int64]:
        """The attributes asked for, by number."""
        return np.array([ATTRIBUTES.index(attribute) for attribute in self.config.questions], np.int64)

    def _ask(
        self,
        rows: NDArray[np.int64],
        drawn: Drawn,
        held: NDArray[np.int32],
        template: NDArray[np.int64],
        words: NDArray[np.uint32],
    ) -> None:
        attribute = self._asked[drawn.question[rows]]
        drawn.sequence[rows, QUESTION_FORM] = self._asks[attribute, template]
        drawn.sequence[rows, ANSWER_FORM] = self._answers[attribute]

    def _asking_forms(self) -> Sequence[tuple[float, int]]:
        forms = self._asks[self._asked, : self.config.question_wordings].ravel().tolist()
        answers = self._answers[self._asked].tolist()
        return [(1 / len(forms), form) for form in forms] + [(1 / len(answers), form) for form in answers]

    @property
    def _longest_question(self) -> int:
        return 1 + max(
            max(map(self.script.longest, self._asks[attribute].tolist()))
            + self.script.longest(int(self._answers[attribute]))
            for attribute in self._asked
        )

    def restriction(self, capability: type[Task[Any]]) -> str | None:
        if capability is HasCounterfactuals and self.config.qa_fraction == 0 and self.config.reverse:
            return "bios: where sentences come before the name, pairs of prompts need questions: qa_fraction"
        return super().restriction(capability)

    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        """The first of the questions about a person asked about in this split, and about another one.

        The full name is the carrier, and of as many tokens; the answers begin with different ones. Where training asks
        nothing, a biography's beginning, up to the value, takes the question's place.
        """
        require(self, HasCounterfactuals)
        size = self.config.split_size(stream.split)

        def alike(rows: NDArray[np.int64], chosen: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
            (_, a_name, a_length, a), (_, b_name, b_length, b) = (
                self._asking(stream.split, x) for x in (chosen, others)
            )
            return np.asarray((a_name == b_name).all(1) & (a_length == b_length) & (a != b))

        chosen, others = partners(self, stream, indices, size, alike)
        clean, carrier, length, answer = self._asking(stream.split, chosen)
        changed, _, _, other = self._asking(stream.split, others)
        longest = int(length.max(initial=0))
        return Counterfactuals(clean[:, :longest], changed[:, :longest], answer, other, length, carrier[:, :longest])

    def _asking(
        self, split: Split, rank: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
        """Prompts, where they name the person, lengths, first tokens of the answers, for people by rank in a split."""
        attribute, asks = int(self._asked[0]), self.config.qa_fraction > 0
        forms = [self._separator_form, -1, int(self._asks[attribute, 0]), int(self._answers[attribute])]
        if not asks:
            forms = [self._separator_form, self._tag_form if self.config.tag else -1, self._sentences.naming(attribute)]
        held = (self.world.persons(self.schedule.asked_about(split, rank)) + self._first_pieces).astype(np.int32)
        sequence = np.tile(np.array(forms, np.int32), (len(rank), 1))
        asked = np.full(len(rank), -1 - ANSWER_FORM if asks else QUESTION_FORM, np.int32)
        written = self.script.write(sequence, held, asked, FIRST_VALUE, self.max_length)
        start, length = written.offsets[:-1, None], written.answers[:, 0] - written.offsets[:-1]
        place = np.arange(self.max_length)
        inside = place < length[:, None]
        at = np.where(inside, start + place, 0)
        name = inside & (self._labels.parts[written.slots[at]] == NAME)
        prompts = np.where(inside, written.tokens[at], self.separator).astype(np.int32)
        return prompts, name, length, written.tokens[written.answers[:, 0]]

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """Questions about the people not asked about in training: all, and for each attribute."""
        if self.config.qa_fraction == 0:
            return {}
        each: dict[str, dict[str, Any]] = {
            attribute: {"qa_fraction": 1.0, "questions": (attribute,)} for attribute in self.config.questions
        }
        return {"questions": {"qa_fraction": 1.0}, **each}

    @property
    def chance(self) -> float:
        """Accuracy of each attribute's likeliest value, by what is asked for."""
        asked = float(np.mean([self.guess(attribute) for attribute in self.config.questions]))
        questions = self._shares.questions / self.population
        return questions * asked + (1 - questions) * self._biography_guess
