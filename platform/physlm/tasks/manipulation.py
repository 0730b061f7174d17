"""Knowledge manipulation: questions whose answers must be worked out from facts in memory (Part 3.2).

The persons and biographies of bioS; half of the people are asked about in training, the other half in tests:

    retrieval       an attribute                                  birth_date ... company_city
    partial         a part of the birth date                      birth_month, birth_day, birth_year
    dual            two attributes, in either order               birth_city_and_major, ...
    classification  the month or the luck of the major modulo m   month_mod_2, _6, _12, luck_mod_5, _20, _100
    ranking         whether one of two persons' is larger         rank_month, rank_day, rank_luck
    subtraction     by how much                                   subtract_month, subtract_day, subtract_luck
    inverse         the first or full name from attributes        inverse_date_first, ..., inverse_all_full

Each of the majors has a luck of its own, 0 to 99 in a random order, which only answers tell. With `hints`, some of the
questions end with <hint> and are to be answered by the facts needed and then the answer (CoT). A sample:

    config     people=4 questions=["month_mod_2"] qa_fraction=1 hints=1
    text       <s> Is it true that the birth month of Marna Deva Midford is even ? <hint> May . No
    loss         1  1  1    1    1   1     1     1  1     1    1       1  1    1 1      1   1 1  1
    part         0  2  2    2    2   2     2     2  2     1    1       1  2    2 2      0   3 2  3
    before      -1 -1 -1   -1   -1  -1    -1    -1 -1    -1   -1      -1 -1   -1 -1      0  -1 -1 -1
    birth_month  4  4  4    4    4   4     4     4  4     4    4       4  4    4 4      4   4 4  4

Chance is the likeliest answer's: of month_mod_2 1/2, of rank_month 13/24 (a tie is a No), of subtract_luck 1/100.
Inverse questions take the name of any person who fits. What may be recalled and what not: accuracy with a hint is
composed of hints right, h, and chance: h + (1 - h)·chance, or h² + (1 - h²)·chance of two (section 4 of the paper).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from math import log, prod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from physlm import randomness
from physlm.people import ATTRIBUTES, FACTS, NAME_FACTS
from physlm.people.answers import Asked
from physlm.people.labels import NAME, VALUE
from physlm.people.question_kinds import KINDS, OTHERS, Kind
from physlm.people.schedule import Drawn
from physlm.tasks.answers import compare, readable
from physlm.tasks.biographies import (
    ANSWER_FORM,
    QUESTION_FORM,
    Biographies,
)
from physlm.tasks.biographies_config import BiographiesConfig
from physlm.tasks.bios import Bios
from physlm.tasks.capabilities import Verdict
from physlm.tasks.task import Axis, register


class ManipulationConfig(BiographiesConfig):
    """Knobs of the questions, and of the biographies that tell the facts they are about."""

    type: Literal["manipulation"] = "manipulation"
    questions: tuple[str, ...] = Field(tuple(KINDS), min_length=1, description="what is asked, by name: see KINDS")
    hints: float = Field(
        0.0, ge=0, le=1, description="share of the questions whose answer is to recall the facts first"
    )
    qa_fraction: float = Field(0.5, ge=0, le=1, description="share of the training tokens that are questions")

    @field_validator("questions")
    @classmethod
    def _known(cls, questions: tuple[str, ...]) -> tuple[str, ...]:
        for name in questions:
            if name not in KINDS:
                raise ValueError(f"must be names of questions ({', '.join(KINDS)}), got {name!r}")
        if len(set(questions)) < len(questions):
            raise ValueError(f"must name each question once, got {list(questions)}")
        return questions

    @model_validator(mode="after")
    def _has_pairs(self) -> ManipulationConfig:
        if min(self.split_size("train"), self.split_size("test")) < 2:
            raise ValueError(
                f"qa_people: persons are compared, so there must be 2 in training and 2 in tests, got "
                f"{self.split_size('train')} and {self.split_size('test')}"
            )
        return self


_WORLD = {**Bios.presets["tiny"], "wordings": 5, "orders": 5}
_PAPER = {"people": 100_000, "wordings": 5, "orders": 5}
_FAMILIES: dict[str, list[str]] = {}
for _name, _kind in KINDS.items():
    _FAMILIES.setdefault(_kind.family, []).append(_name)


@register
class Manipulation(Biographies[ManipulationConfig]):
    """Questions about persons that take more than recall."""

    config_type = ManipulationConfig
    marks: ClassVar[Sequence[str]] = ("<s>", "<useful>", "<ans>", "<hint>")
    extra_slots: ClassVar[Mapping[str, int]] = {
        **{f"other_{fact}": NAME for fact in NAME_FACTS},
        **{f"other_{fact}": VALUE for fact in OTHERS},
        "answer": VALUE,
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {
            **_WORLD,
            "questions": ("birth_month", "month_mod_2", "rank_month", "inverse_birth_full"),
            "hints": 0.5,
        },
        "tiny_month": {**_WORLD, "questions": ("month_mod_2",)},
        # Part 3.2: multi5 with permutation of 100 K persons; each family of questions, and each with hints
        **{family: {**_PAPER, "questions": tuple(names)} for family, names in _FAMILIES.items()},
        # names told later, which alone lets inverse search succeed in the paper; its four orders are not known to us
        **{
            f"inverse_reverse{place}": {
                **_PAPER,
                "questions": tuple(_FAMILIES["inverse"]),
                "reverse": place,
                "qa_fraction": 0.8,
            }
            for place in (1, 3, 5)
        },
        **{
            f"{family}_hints": {**_PAPER, "questions": tuple(_FAMILIES[family]), "hints": 0.5}
            for family in ("partial", "classification", "ranking", "subtraction")
        },
    }

    @property
    def kinds(self) -> int:
        return len(self.config.questions)

    @cached_property
    def _asked_kinds(self) -> list[Kind]:
        return [KINDS[name] for name in self.config.questions]

    def _question_forms(self) -> None:
        names, kinds, form = list(KINDS), list(KINDS.values()), self.script.form
        asks = [[[form(f"{line} {mark}") for mark in ("<ans>", "<hint>")] for line in kind.words] for kind in kinds]
        self._asks = np.array(asks, np.int32)  # [kinds, wordings, marks]
        self._hint_forms = np.array([form(f"{kind.hint} .") if kind.hint else -1 for kind in kinds], np.int32)
        self._answer_forms = np.array([form(kind.answer) for kind in kinds], np.int32)
        self._kind_numbers = np.array([names.index(name) for name in self.config.questions], np.int64)

    def _more_pieces(self) -> None:
        for fact in (*NAME_FACTS, *OTHERS):
            self.script.allow(self.first_piece[fact], self.world.size(fact), f"other_{fact}")
        self._most = max(27, self.config.majors - 1)
        self._no = self.script.fill([("No",), ("Yes",)], "answer")
        self._zero = self._most + self.script.fill(
            [(str(number),) for number in range(-self._most, self._most + 1)], "answer"
        )

    @cached_property
    def luck(self) -> NDArray[np.int64]:
        """How lucky each major is, int64 [majors]: the ranks 0, 1, ... in a random order."""
        return randomness.permutation(randomness.key("manipulation", "luck", self.config.seed), 0, self.config.majors)

    def numbers(self, fact: str, values: NDArray[Any]) -> NDArray[np.int64]:
        """The numbers that values of a fact are reckoned with: January and the first are 1, majors have their luck."""
        numbers: NDArray[np.int64] = self.luck[values] if fact == "major" else values.astype(np.int64) + 1
        return numbers

    def _pairs(self, fact: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of a fact's numbers."""
        numbers = self.numbers(fact, np.arange(self.world.size(fact)))
        return np.repeat(numbers, len(numbers)), np.tile(numbers, len(numbers))

    def _ask(
        self,
        rows: NDArray[np.int64],
        drawn: Drawn,
        held: NDArray[np.int32],
        template: NDArray[np.int64],
        words: NDArray[np.uint32],
    ) -> None:
        kind = self._kind_numbers[drawn.question[rows]]
        hinted = (words[:, 1].astype(np.float64) < self.config.hints * 2.0**32) & (self._hint_forms[kind] >= 0)
        drawn.sequence[rows, QUESTION_FORM] = self._asks[kind, template, hinted.astype(np.int64)]
        drawn.sequence[rows, ANSWER_FORM] = np.where(hinted, self._hint_forms[kind], self._answer_forms[kind])
        drawn.sequence[rows, ANSWER_FORM + 1] = np.where(hinted, self._answer_forms[kind], -1)

        count = self.schedule.split_size(drawn.split)
        other = self.schedule.asked_about(
            drawn.split, (drawn.rank[rows] + 1 + randomness.scaled(words[:, 0], count - 1)) % count
        )
        others = self.world.persons(other)
        for slot, name in enumerate(self.extra_slots, start=len(FACTS)):
            if name != "answer":
                fact = name.removeprefix("other_")
                held[rows, slot] = self.first_piece[fact] + others[:, FACTS.index(fact)]
        for number in np.unique(kind).tolist():
            k, here = list(KINDS.values())[number], np.flatnonzero(kind == number)
            if k.family in ("ranking", "subtraction"):
                drawn.persons[rows[here], 1] = other[here]
            if k.answer == "{answer}":
                column = FACTS.index(k.fact)
                a, b = (self.numbers(k.fact, x[here, column]) for x in (drawn.facts[rows], others))
                held[rows[here], -1] = self._result(k, a, b)

    def _result(self, kind: Kind, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pieces of the answers."""
        yes = a > b if kind.family == "ranking" else a % 2 == 0
        if kind.family == "ranking" or kind.modulus == 2:
            return self._no + yes.astype(np.int64)
        number: NDArray[np.int64] = a - b if kind.family == "subtraction" else a % kind.modulus
        return self._zero + number

    def _asking_forms(self) -> Sequence[tuple[float, int]]:
        c = self.config
        forms = []
        for number in self._kind_numbers.tolist():
            each = 1 / self.kinds
            hinted = c.hints if self._hint_forms[number] >= 0 else 0.0
            for form in self._asks[number, : c.question_wordings].tolist():
                forms += [((1 - hinted) * each / c.question_wordings, form[0])] if hinted < 1 else []
                forms += [(hinted * each / c.question_wordings, form[1])] if hinted else []
            forms += [(hinted * each, int(self._hint_forms[number]))] if hinted else []
            forms.append((each, int(self._answer_forms[number])))
        return forms

    def _extra_lengths(self, lengths: Mapping[str, float]) -> Mapping[str, float]:
        others = {slot: lengths[slot.removeprefix("other_")] for slot in self.extra_slots if slot != "answer"}
        return {**others, "answer": 1.0}

    @property
    def _more_used(self) -> set[int]:
        """The numbers and words that the questions' answers can be."""
        if not self._questions:
            return set()
        pieces: set[int] = set()
        for kind in self._asked_kinds:
            if kind.answer == "{answer}":
                pieces |= set(np.unique(self._result(kind, *self._pairs(kind.fact))).tolist())
        return {token for piece in pieces for token in self.script.tokens_of(piece)}

    @property
    def _longest_question(self) -> int:
        def longest(form: int) -> int:
            return self.script.longest(form) if form >= 0 else 0

        return 1 + max(
            max(longest(form) for form in self._asks[number].ravel().tolist())
            + longest(int(self._hint_forms[number]))
            + longest(int(self._answer_forms[number]))
            for number in self._kind_numbers.tolist()
        )

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            *(axis for axis in super().axes if axis.knob != "fullname"),
            Axis("questions", "difficulty", "what is to be worked out", (("birth_month",), ("subtract_month",))),
            Axis("hints", "type", "how often the facts may be written down first", (0.0, 1.0)),
        )

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """Questions about the people not asked about in training: all, each, and with hints if these are trained."""
        if self.config.qa_fraction == 0:
            return {}
        sets: dict[str, tuple[str, ...]] = {"questions": self.config.questions}
        sets |= {name: (name,) for name in self.config.questions}
        asked = {name: {"qa_fraction": 1.0, "hints": 0.0, "questions": names} for name, names in sets.items()}
        if self.config.hints:
            asked |= {
                f"{name}_hint": {**asked[name], "hints": 1.0}
                for name, names in sets.items()
                if any(KINDS[kind].hint for kind in names)
            }
        return asked

    @property
    def chance(self) -> float:
        """Accuracy of each question's likeliest answer: the facts aside, what is asked is known."""
        asked = float(np.mean([self.guess_answer(kind) for kind in self._asked_kinds]))
        questions = self._shares.questions / self.population
        return questions * asked + (1 - questions) * self._biography_guess

    def guess_answer(self, kind: Kind) -> float:
        """Probability of the likeliest answer to a question, over worlds."""
        if kind.family == "inverse":
            return 1 / (self.world.size("first_name") if kind.answer == "{first_name}" else self.config.people)
        if kind.family in ("retrieval", "partial"):
            return self.guess(kind.fact)
        if kind.family == "dual":
            return prod(self.guess(attribute) for attribute in ATTRIBUTES if f"{{{attribute}}}" in kind.answer.split())
        counts = np.unique(self._result(kind, *self._pairs(kind.fact)), return_counts=True)[1]
        return float(counts.max() / counts.sum())

    def _question_surprisal(self, drawn: Drawn, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        surprisal = super()._question_surprisal(drawn, rows)
        hinted = drawn.sequence[rows, ANSWER_FORM + 1] >= 0
        for number in np.unique(drawn.question[rows]).tolist():
            here = drawn.question[rows] == number
            kind = self._asked_kinds[number]
            surprisal[here] += self._pair_entropy(kind, drawn.split)
            if kind.hint:
                surprisal[here] -= np.log(np.where(hinted[here], self.config.hints, 1 - self.config.hints))
            if kind.family == "inverse":
                alike = self._alike(kind, drawn.split)
                surprisal[here] -= np.log(
                    [alike[row.tobytes()] for row in self._asked_text(kind, drawn.facts[rows[here]])]
                )
        return surprisal

    def _question_entropy(self) -> float:
        h = self.config.hints
        toss = -h * log(h) - (1 - h) * log(1 - h) if 0 < h < 1 else 0.0
        entropies = []
        for kind in self._asked_kinds:
            alike = np.array(list(self._alike(kind, "test").values()) if kind.family == "inverse" else [1.0])
            texts = (alike * np.log(alike)).sum() / alike.sum()
            entropies.append(self._pair_entropy(kind, "test") + bool(kind.hint) * toss - texts)
        return super()._question_entropy() + float(np.mean(entropies))

    def _pair_entropy(self, kind: Kind, split: str) -> float:
        """ln of how many others a person can be compared with."""
        return log(self.schedule.split_size(split) - 1) if kind.family in ("ranking", "subtraction") else 0.0

    def _alike(self, kind: Kind, split: str) -> Counter[bytes]:
        """How many of those asked about make each text of an inverse question: they share clues and name."""
        ranks = np.arange(self.schedule.split_size(split), dtype=np.int64)
        people = self.world.persons(self.schedule.asked_about(split, ranks))
        return Counter(row.tobytes() for row in self._asked_text(kind, people))

    def _asked_text(self, kind: Kind, people: NDArray[np.int32]) -> NDArray[np.int32]:
        """The facts that tell an inverse question and its answer, int32 [n, any]."""
        names = NAME_FACTS[:1] if kind.answer == "{first_name}" else NAME_FACTS
        return people[:, [*self._clue_columns(kind), *(FACTS.index(name) for name in names)]]

    def _clue_columns(self, kind: Kind) -> list[int]:
        columns: list[int] = []
        for clue in kind.clues:
            columns += (4, 5, 6) if clue == "birth_date" else (FACTS.index(clue),)
        return columns

    def facts(self) -> Mapping[str, NDArray[Any]]:
        return {**super().facts(), "luck_of_major": self.luck}

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion is the answer, after the hint if one is asked for. A name may be any that fits.

        Counts: `operations`; of a hinted question also `hint_right`, `hint_facts`, of which `fact_right` is the share
        that is right, and `answer_right`, the answer being what stands behind the first full stop: a right answer to a
        wrong hint is wrong, but counted.
        """
        asked: Asked = truth
        if asked.kind < 0:
            return super().verify(truth, completion)
        kind = self._asked_kinds[asked.kind]
        verdict = compare(asked.answer, completion, kind.operations, self.vocabulary)
        given = readable(completion)
        if kind.family == "inverse" and not verdict.correct and len(given) <= self._longest_name:
            if tuple(given.tolist()) in self._names_that_fit(kind, asked.persons[0]):
                return Verdict(True, counts={**verdict.counts, "tokens_right": float(len(given))})
            return verdict
        stop = self.lexicon.id(".")
        if stop in asked.answer:
            right = np.array(asked.answer)
            ends = [int(np.flatnonzero(row == stop)[0]) if (row == stop).any() else len(row) for row in (right, given)]
            facts, told = (self._parted(row[:end]) for row, end in zip((right, given), ends, strict=True))
            counts = {
                "hint_facts": float(len(facts)),
                "fact_right": float(np.mean([fact == one for fact, one in zip_longest(facts, told[: len(facts)])])),
                "hint_right": float(np.array_equal(right[: ends[0]], given[: ends[1]])),
                "answer_right": float(ends[1] < len(given) and np.array_equal(right[ends[0] :], given[ends[1] :])),
            }
            return Verdict(verdict.correct, verdict.reason, {**verdict.counts, **counts})
        return verdict

    def _parted(self, hint: NDArray[np.int64]) -> list[list[int]]:
        """The facts of a hint."""
        ends = np.flatnonzero(hint == self.lexicon.id(";"))
        first, *others = np.split(hint, ends)
        return [first.tolist(), *(other[1:].tolist() for other in others)]

    @property
    def _longest_name(self) -> int:
        return 6 if self.config.spelling == "subwords" else 3

    def _names_that_fit(self, kind: Kind, person: int) -> set[tuple[int, ...]]:
        """The answers to an inverse question: the names of all who share the clues with the person, as tokens."""
        people = self._known
        columns = self._clue_columns(kind)
        fits = np.flatnonzero((people[:, columns] == people[person, columns]).all(axis=1))
        names = NAME_FACTS[:1] if kind.answer == "{first_name}" else NAME_FACTS
        firsts = [self.first_piece[fact] for fact in names]
        return {
            tuple(t for column, first in enumerate(firsts) for t in self.script.tokens_of(first + int(row[column])))
            for row in people[fits]
        }

    @cached_property
    def _known(self) -> NDArray[np.int16]:
        """Facts of people and celebrities, int16 [n, 12]."""
        numbers = np.arange(self.config.people + self.config.celebrities, dtype=np.int64)
        return self.world.persons(numbers).astype(np.int16)
