"""What languages about persons share: biographies, questions and what else is mixed in, shown once an exposure each.

One exposure is a shuffle of: a biography of each person worth knowing, the junk that goes with them, and the questions
that go with all of these. So exposures are counted right whatever is mixed in, and different texts about one person
stand an exposure apart: packed side by side they are copied, not learnt, as `texts_together` shows. Questions and junk
go on from exposure to exposure through shuffles of their own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log, prod
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm import randomness
from physlm.people import AGAIN, ATTRIBUTES, FACTS, FULL_NAME, Lexicon, Script, SentenceSampler, Variation, World, pools
from physlm.people.templates import QUESTIONS_EACH
from physlm.tasks.answers import LazyLabels, compare
from physlm.tasks.capabilities import (
    Asks,
    CountsKnowledge,
    HasDistractors,
    HasEntropy,
    HasParaphrases,
    HasProbeQuestions,
    HasWorld,
    Knowledge,
    Probed,
    Questions,
    Verdict,
    require,
)
from physlm.tasks.task import Axis, Instances, Split, Stream, Task, TaskConfig

SEPARATOR, USEFUL, ANSWER = range(3)  # tokens
OTHER, NAME, WORD, VALUE, GENDER = range(5)  # classes of the label `part`
BIOGRAPHY, CELEBRITY, JUNK, QUESTION = range(4)  # classes of the label `kind`
VALUE_FACTS = FACTS[4:]
FIRST_VALUE = FACTS.index("birth_month")
ATTRIBUTE_OF = [-1, -1, -1, -1, 0, 0, 0, 1, 2, 3, 4, 5]  # of each fact
_HEAD = 2  # forms before the sentences: the separator and the tag
QUESTION_FORM, ANSWER_FORM = 2, 3  # places in a question's sequence


class BiographiesConfig(TaskConfig):
    """Knobs of a world of persons and of the texts about them."""

    people: int = Field(1000, ge=4, le=10**8, description="N, persons to know")
    names: tuple[int, int, int] = Field(
        (400, 400, 1000), description="first, middle and last names in the pools; N₀ is their product"
    )
    years: int = Field(200, ge=1, le=200, description="years of birth in the pool")
    cities: int = Field(200, ge=2, le=200, description="cities in the pool, of birth and of companies")
    universities: int = Field(300, ge=1, le=300, description="universities in the pool")
    majors: int = Field(100, ge=1, le=100, description="majors in the pool")
    companies: int = Field(263, ge=1, le=263, description="companies in the pool")
    spelling: Literal["words", "subwords"] = Field(
        "words", description="whether names, cities and years are one token, or a stem and an ending"
    )
    sentences: int = Field(50, ge=1, le=50, description="sentences in the pool of each attribute")
    wordings: int | None = Field(
        None, ge=1, le=1000, description="M, fixed wordings of a person; if not given, worded anew at every exposure"
    )
    permute: bool = Field(True, description="a person's sentences in orders of its own; else in the same for everyone")
    orders: int | None = Field(
        None, ge=1, le=1000, description="fixed orders of a person's sentences; if not given, anew at every exposure"
    )
    texts_together: int = Field(
        1, ge=1, le=1000, description="texts of a person that come one after the other; at 1 they are exposures apart"
    )
    couple: bool = Field(False, description="only pairs of sentences change places: 3! orders")
    fullname: bool = Field(False, description="every sentence names the person; else only the first, then a pronoun")
    reverse: int = Field(
        0, ge=0, lt=len(ATTRIBUTES), description="sentences, with a pronoun, before the one that names the person"
    )
    pronoun: Literal["gendered", "they"] = Field("gendered", description="he or she, a fact to know, or they")
    celebrities: int = Field(
        0, ge=0, le=10**8, description="further persons, told of in many permuted ways, never asked about"
    )
    celebrity_wordings: int | None = Field(
        5, ge=1, le=1000, description="fixed wordings of a celebrity; null: anew at every exposure"
    )
    junk_people: int = Field(0, ge=0, le=10**8, description="N′, persons not worth knowing")
    junk_fraction: float = Field(0.0, ge=0, lt=1, description="share of the biographies that are about them")
    tag: bool = Field(False, description="a special token in front of biographies worth knowing")
    qa_fraction: float = Field(0.0, ge=0, le=1, description="share of the training tokens that are questions")
    qa_people: float = Field(0.5, gt=0, lt=1, description="share of the people that are asked about in training")
    question_wordings: int = Field(1, ge=1, le=QUESTIONS_EACH, description="ways to ask a question")

    @model_validator(mode="after")
    def _is_possible(self) -> BiographiesConfig:
        pool = (len(pools.FIRST_NAMES), len(pools.MIDDLE_NAMES), len(pools.LAST_NAMES))
        if not all(1 <= size <= most for size, most in zip(self.names, pool, strict=True)):
            raise ValueError(f"names: must be at least 1 and at most {list(pool)}, got {list(self.names)}")
        if self.persons > prod(self.names):
            raise ValueError(
                f"people: {self.persons} persons in all need distinct names, but names {list(self.names)} give only "
                f"{prod(self.names)}"
            )
        if self.orders is not None and not self.permute:
            raise ValueError("orders: sentences have one order only where permute is false; leave orders out")
        if self.reverse and self.fullname:
            raise ValueError("reverse: where fullname is true every sentence names the person; leave one of them out")
        if self.junk_fraction and not self.junk_people:
            raise ValueError("junk_people: junk_fraction needs persons that are not worth knowing, such as 1000")
        return self

    @property
    def persons(self) -> int:
        """All persons that texts are about."""
        return self.people + self.celebrities + self.junk_people

    @property
    def trained_people(self) -> int:
        """People asked about in training; the others are asked about in tests."""
        return min(max(1, round(self.qa_people * self.people)), self.people - 1)

    def split_size(self, split: Split) -> int:
        """People asked about in a split."""
        return self.people - self.trained_people if split == "test" else self.trained_people


ConfigT = TypeVar("ConfigT", bound=BiographiesConfig)


class Asked(NamedTuple):
    """A question: where in the instance its answer begins, the answer, what is asked, of whom."""

    start: int
    answer: tuple[int, ...]
    kind: int = -1  # place of the question in the config's list; -1 for a value of a biography
    persons: tuple[int, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """What instances are about.

    kind     int8 [n]: BIOGRAPHY, CELEBRITY, JUNK or QUESTION
    question int32 [n]: place in the config's list; -1 if none
    persons  int64 [n, 2]: whom the instance is about, and whom else (-1 if none)
    facts    int32 [n, 12] of the first person
    sequence int32 [n, forms]: the forms of the text, as `Script.write` takes them
    rank     int64 [n]: place of the person asked about among those asked about in this split; -1 if none is
    questions  that can be asked in this split
    """

    kind: NDArray[np.int8]
    question: NDArray[np.int32]
    persons: NDArray[np.int64]
    facts: NDArray[np.int32]
    sequence: NDArray[np.int32]
    rank: NDArray[np.int64]
    questions: int
    split: Split


@dataclass(frozen=True)
class Truths(Sequence[Asked]):
    """The questions of instances, made when looked at."""

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    answers: NDArray[np.int64]
    drawn: Drawn

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        start, stop = self.answers[i].tolist()
        persons = tuple(p for p in self.drawn.persons[i].tolist() if p >= 0)
        answer = tuple(self.tokens[start:stop].tolist())
        return Asked(start - int(self.offsets[i]), answer, int(self.drawn.question[i]), persons)


class Biographies(
    Asks[ConfigT],
    HasEntropy[ConfigT],
    HasWorld[ConfigT],
    CountsKnowledge[ConfigT],
    HasDistractors[ConfigT],
    HasParaphrases[ConfigT],
    Probed[ConfigT],
    HasProbeQuestions[ConfigT],
):
    """The language of a world of persons; subclasses say what is asked."""

    extra_slots: ClassVar[Mapping[str, int]] = {}  # slots beside the facts, with their class of the label `part`
    marks: ClassVar[Sequence[str]] = ("<s>", "<useful>", "<ans>")

    def __init__(self, config: ConfigT) -> None:
        super().__init__(config)
        c = config
        self.world = World(
            c.seed,
            names=c.names,
            years=c.years,
            cities=c.cities,
            universities=c.universities,
            majors=c.majors,
            companies=c.companies,
        )
        self.lexicon = Lexicon(self.marks, c.spelling == "subwords")
        self.script = Script(self.lexicon, [*FACTS, *self.extra_slots])
        self._separator_form, self._tag_form = self.script.form("<s>"), self.script.form("<useful>")
        self._name_form = self.script.form(f"<s> {FULL_NAME} <s>")
        self._telling = SentenceSampler(
            self.script,
            c.seed,
            sentences=c.sentences,
            gendered=c.pronoun == "gendered",
            couple=c.couple,
            fullname=c.fullname,
            named=c.reverse,
        )
        self._question_forms()
        self.first_piece = {fact: self.script.fill(self.world.entries[fact], fact) for fact in FACTS[:-1]}
        self.first_piece["company_city"] = self.first_piece["birth_city"]
        self.script.allow(self.first_piece["birth_city"], c.cities, "company_city")
        self._more_pieces()
        self._first_pieces = np.array([self.first_piece[fact] for fact in FACTS], np.int32)
        self._people_variation = Variation(c.wordings, c.permute, c.orders)
        self._celebrity_variation = Variation(c.celebrity_wordings, True, c.celebrity_wordings)

    def _form(self, line: str, **slots: str) -> int:
        """The form of a sentence whose slots are replaced by words and the slots of facts."""
        for slot, words in slots.items():
            line = line.replace(f"{{{slot}}}", words)
        return self.script.form(line)

    # -- what subclasses ask -------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def kinds(self) -> int:
        """Questions that can be asked about one person."""

    @abstractmethod
    def _question_forms(self) -> None:
        """Make the forms of questions and answers."""

    def _more_pieces(self) -> None:
        """Make the pieces that only questions and answers need."""

    @abstractmethod
    def _ask(
        self,
        rows: NDArray[np.int64],
        drawn: Drawn,
        held: NDArray[np.int32],
        wording: NDArray[np.int64],
        words: NDArray[np.uint32],
    ) -> None:
        """Complete questions at these rows: `drawn.sequence` behind its head, `drawn.persons[:, 1]`, and `held`.

        wording: int64 [m], which way to ask; words: uint32 [m, 2], further random words of each question's own. The
        form at QUESTION_FORM must end with the mark that asks for the answer, all the forms behind it are the answer.
        """

    @abstractmethod
    def _asking_forms(self) -> Sequence[tuple[float, int]]:
        """Forms of a question with their mean number in an instance, all that can occur."""

    @property
    @abstractmethod
    def _longest_question(self) -> int:
        """Most tokens of a question with its answer, the separator included."""

    # -- the vocabulary ------------------------------------------------------------------------------------------------

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """Marks, then the words of sentences and questions, then those of names and values."""
        return self.lexicon.words

    @property
    def separator(self) -> int:
        return SEPARATOR

    @cached_property
    def used_tokens(self) -> int:
        """Tokens that can occur: those of the world's persons, of sentences, and of questions if any are mixed in."""
        c = self.config
        used = {SEPARATOR}
        if self._biographies:
            used |= {USEFUL} if c.tag else set()
            used |= self._telling.own_tokens
        if self._questions:
            for _, form in self._asking_forms():
                used |= self.script.own_tokens(form)
        last = c.persons if c.junk_fraction and self._biographies else c.people + c.celebrities
        seen = [np.zeros(self.world.size(fact), np.bool_) for fact in FACTS]
        for start in range(0, last, 1 << 16):
            if all(row.all() for row in seen):
                break
            facts = self.world.persons(np.arange(start, min(start + (1 << 16), last), dtype=np.int64))
            for column, row in enumerate(seen):
                row[facts[:, column]] = True
        for fact, row in zip(FACTS, seen, strict=True):
            if fact == "gender" and (not self.tells_gender or not self._biographies):
                continue
            for value in np.flatnonzero(row).tolist():
                used |= set(self.script.tokens_of(self.first_piece[fact] + value))
        return len(used | self._more_used)

    @property
    def _more_used(self) -> set[int]:
        """Tokens that only questions use, beside those of forms."""
        return set()

    @property
    def tells_gender(self) -> bool:
        """Whether texts tell the gender, by a pronoun."""
        return self.config.pronoun == "gendered" and not self.config.fullname

    @cached_property
    def max_length(self) -> int:
        biography = 1 + self.config.tag + self._telling.longest
        return max(biography if self._biographies else 0, self._longest_question if self._questions else 0)

    @property
    def without_distractors(self) -> Task[ConfigT]:
        """The same language with nothing but the people's biographies: an instance for each fact to know."""
        update = {"qa_fraction": 0.0, "junk_fraction": 0.0, "celebrities": 0, "junk_people": 0, "texts_together": 1}
        config = self.config.model_copy(update=update)
        return self if config == self.config else type(self)(config)

    # -- exposures -----------------------------------------------------------------------------------------------------

    @cached_property
    def _shares(self) -> tuple[int, int, int, int]:
        """People, celebrities, junk and questions of one exposure."""
        c = self.config
        everyone = self.kinds * c.trained_people
        if c.qa_fraction == 1:
            return 0, 0, 0, everyone
        useful = c.people + c.celebrities
        junk = round(useful * c.junk_fraction / (1 - c.junk_fraction))
        if c.qa_fraction == 0:
            return c.people, c.celebrities, junk, 0
        biography, question = self.mean_lengths
        tokens = (useful + junk) * biography * c.qa_fraction / (1 - c.qa_fraction)
        return c.people, c.celebrities, junk, max(1, round(tokens / question))

    @property
    def _biographies(self) -> bool:
        return self.config.qa_fraction < 1

    @property
    def _questions(self) -> bool:
        return self.config.qa_fraction > 0

    @property
    def mean_lengths(self) -> tuple[float, float]:
        """Mean tokens of a biography and of a question with its answer, over worlds."""
        lengths = {
            fact: float(
                self.world.probabilities(fact)
                @ self.script.piece_lengths(self.first_piece[fact], self.world.size(fact))
            )
            for fact in FACTS
        }
        lengths.update(self._extra_lengths(lengths))
        question = 1 + sum(number * self.script.mean_length(form, lengths) for number, form in self._asking_forms())
        return 1 + self.config.tag + self._telling.mean_length(lengths), question

    def _extra_lengths(self, lengths: Mapping[str, float]) -> Mapping[str, float]:
        """Mean tokens of the pieces that extra slots hold."""
        return {}

    @property
    def population(self) -> int:
        """Instances of one exposure: each person worth knowing once, and its share of junk and questions."""
        return sum(self._shares)

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Instances at these places. Labels, -1 where there is none:

        kind       0 a biography, 1 of a celebrity, 2 junk, 3 a question
        part       0 marks, 1 the name where it is first told, 2 words, 3 a value, 4 the pronoun where it is first told
        attribute  on values: 0 birth date, 1 birth city, 2 university, 3 major, 4 company, 5 company city
        before     on the token before a value: its attribute; where P-probes read
        question   which of the config's questions it is (on all tokens, as what follows)
        person     the number of the person that the instance is about
        held_out   1: the person is asked about in tests only; 0: in training; -1: never
        birth_month, birth_day, birth_year, birth_city, university, major, company, company_city: its facts
        """
        return self._sample(stream, indices, None)

    def paraphrase(self, stream: Stream, indices: NDArray[np.int64], number: int) -> Instances:
        """Other sentences and orders, other ways to ask."""
        return self._sample(stream, indices, number)

    def _sample(self, stream: Stream, indices: NDArray[np.int64], reworded: int | None) -> Instances:
        c = self.config
        n = len(indices)
        drawn = self._draw(stream, indices)
        held = np.empty((n, len(FACTS) + len(self.extra_slots)), np.int32)
        held[:, : len(FACTS)] = drawn.facts + self._first_pieces
        drawn.sequence[:, 0] = self._separator_form
        if c.tag:
            drawn.sequence[drawn.kind <= CELEBRITY, 1] = self._tag_form
        exposure, _ = self._shuffled(stream, indices)
        for kind in (BIOGRAPHY, CELEBRITY, JUNK):
            rows = np.flatnonzero(drawn.kind == kind)
            if len(rows):
                variation = self._celebrity_variation if kind == CELEBRITY else self._people_variation
                persons, times, places = drawn.persons[rows, 0], exposure[rows], indices[rows]
                told = self._telling.tell(variation, persons, times, places, stream.key, reworded)
                drawn.sequence[rows, _HEAD:] = told
        rows = np.flatnonzero(drawn.kind == QUESTION)
        if len(rows):
            words = randomness.words(stream.key("bios", "questions", c.seed), indices[rows], 4)
            wording = randomness.scaled(words[:, 0], c.question_wordings)
            if reworded is not None:  # another of all the ways to ask
                others = QUESTIONS_EACH - 1
                other = (randomness.scaled(words[:, 1], others) + reworded) % others
                wording = (wording + 1 + other) % QUESTIONS_EACH
            self._ask(rows, drawn, held, wording, words[:, 2:])
        asked = np.where(drawn.kind == QUESTION, -1 - ANSWER_FORM, _HEAD + c.reverse).astype(np.int32)
        written = self.script.write(drawn.sequence, held, asked, FIRST_VALUE, self.max_length)
        return Instances(
            tokens=written.tokens,
            offsets=written.offsets,
            loss=np.ones(len(written.tokens), np.bool_),
            labels=self._labels(written.slots, written.tokens, written.offsets, drawn),
            truth=Truths(written.tokens, written.offsets, written.answers, drawn),
        )

    def _shuffled(self, stream: Stream, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Exposure and place in it of instances: one shuffle serves so many exposures as texts come together."""
        together = self.config.texts_together
        turn, slot = np.divmod(indices, self.population * together)
        group, text = np.divmod(slot, together)
        at = randomness.places(stream.key("bios", "shuffle", self.config.seed), turn, self.population, group)
        return turn * together + text, at

    def _draw(self, stream: Stream, indices: NDArray[np.int64]) -> Drawn:
        c = self.config
        n = len(indices)
        exposure, at = self._shuffled(stream, indices)
        edges = np.cumsum(self._shares)
        kind = np.searchsorted(edges[:-1], at, side="right").astype(np.int8)
        persons = np.full((n, 2), -1, np.int64)
        question, chosen = np.full(n, -1, np.int32), np.full(n, -1, np.int64)
        persons[:, 0] = at  # people and celebrities
        rows = np.flatnonzero(kind == JUNK)
        if len(rows):
            junk = self._in_turn(stream, "junk", exposure[rows], at[rows] - edges[1], self._shares[2], c.junk_people)
            persons[rows, 0] = c.people + c.celebrities + junk
        rows = np.flatnonzero(kind == QUESTION)
        asked_about = c.split_size(stream.split)
        questions = self.kinds * asked_about
        if len(rows):
            number = self._in_turn(stream, "asked", exposure[rows], at[rows] - edges[2], self._shares[3], questions)
            rank, question[rows] = np.divmod(number, self.kinds)
            persons[rows, 0] = self.asked_about(stream.split, rank)
            chosen[rows] = rank
        facts = self.world.persons(persons[:, 0])
        sequence = np.full((n, _HEAD + len(ATTRIBUTES)), -1, np.int32)
        return Drawn(kind, question, persons, facts, sequence, chosen, questions, stream.split)

    def asked_about(self, split: Split, rank: NDArray[np.int64]) -> NDArray[np.int64]:
        """The people asked about in a split, by rank among them, int64 [m]."""
        c = self.config
        first = c.trained_people if split == "test" else 0
        key = randomness.key("bios", "split", c.seed)
        return randomness.places(key, np.zeros(len(rank), np.int64), c.people, first + rank)

    @cached_property
    def _held_out_people(self) -> NDArray[np.bool_]:
        held_out = np.zeros(self.config.people, np.bool_)
        ranks = np.arange(self.config.split_size("test"), dtype=np.int64)
        held_out[self.asked_about("test", ranks)] = True
        return held_out

    def _held_out(self, person: NDArray[np.int64]) -> NDArray[np.int32]:
        known = person < self.config.people
        held_out = self._held_out_people[np.where(known, person, 0)]
        return np.where(known, held_out, -1).astype(np.int32)

    def named(self, numbers: NDArray[np.int64]) -> Instances:
        """Just the names of persons between two separators, with all their labels: what Q-probes read, at the end."""
        n = len(numbers)
        drawn = Drawn(
            kind=np.full(n, BIOGRAPHY, np.int8),
            question=np.full(n, -1, np.int32),
            persons=np.stack([numbers, np.full(n, -1, np.int64)], axis=1),
            facts=self.world.persons(numbers),
            sequence=np.full((n, 1), self._name_form, np.int32),
            rank=np.full(n, -1, np.int64),
            questions=0,
            split="test",
        )
        held = np.zeros((n, len(FACTS) + len(self.extra_slots)), np.int32)
        held[:, : len(FACTS)] = drawn.facts + self._first_pieces
        longest = self.script.longest(self._name_form)
        written = self.script.write(drawn.sequence, held, np.zeros(n, np.int32), FIRST_VALUE, longest)
        return Instances(
            tokens=written.tokens,
            offsets=written.offsets,
            loss=np.ones(len(written.tokens), np.bool_),
            labels=self._labels(written.slots, written.tokens, written.offsets, drawn),
        )

    def _in_turn(
        self, stream: Stream, what: str, exposure: NDArray[np.int64], place: NDArray[np.int64], each: int, total: int
    ) -> NDArray[np.int64]:
        """Which of `total` things come: all in a shuffled order, then all again, `each` an exposure."""
        turn, slot = np.divmod(exposure * each + place, total)
        return randomness.places(stream.key("bios", what, self.config.seed), turn, total, slot)

    # -- labels --------------------------------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> NDArray[np.int32]:
        """The class of each slot, then of each slot that is told again, then of words."""
        parts = np.full(2 * AGAIN + 1, WORD, np.int32)
        parts[: len(FACTS)] = [NAME] * 3 + [GENDER] + [VALUE] * 8
        parts[AGAIN + FIRST_VALUE : AGAIN + len(FACTS)] = VALUE
        for slot, part in enumerate(self.extra_slots.values(), start=len(FACTS)):
            parts[slot] = part
            parts[AGAIN + slot] = part if part == VALUE else WORD
        return parts

    @cached_property
    def _attributes(self) -> NDArray[np.int32]:
        attributes = np.full(2 * AGAIN + 1, -1, np.int32)
        attributes[: len(FACTS)] = ATTRIBUTE_OF
        attributes[AGAIN : AGAIN + len(FACTS)] = ATTRIBUTE_OF
        return attributes

    def _labels(
        self, slots: NDArray[np.int16], tokens: NDArray[np.int32], offsets: NDArray[np.int64], drawn: Drawn
    ) -> LazyLabels:
        lengths = np.diff(offsets)

        def spread(row: NDArray[Any]) -> NDArray[np.int32]:
            return np.repeat(row.astype(np.int32), lengths)

        def part() -> NDArray[np.int32]:
            part = self._parts[slots]
            part[tokens < len(self.marks)] = OTHER
            return part

        def before() -> NDArray[np.int32]:
            attribute = self._attributes[slots]
            follows = np.append(attribute[1:], np.int32(-1))
            before = np.where(follows != attribute, follows, np.int32(-1))
            month_to_year = np.append(slots[1:] % AGAIN != FIRST_VALUE, True) & (follows == 0)
            return np.where(month_to_year, np.int32(-1), before)

        makers: dict[str, Callable[[], NDArray[np.int32]]] = {
            "kind": lambda: spread(drawn.kind),
            "part": part,
            "attribute": lambda: self._attributes[slots],
            "before": before,
            "question": lambda: spread(drawn.question),
            "person": lambda: spread(drawn.persons[:, 0]),
            "held_out": lambda: spread(self._held_out(drawn.persons[:, 0])),
        }
        for fact in VALUE_FACTS:
            makers[fact] = lambda column=FACTS.index(fact): spread(drawn.facts[:, column])  # type: ignore[misc]
        return LazyLabels(makers)

    @property
    def probe_targets(self) -> Mapping[str, int]:
        """The facts, read by P-probes where `before` tells and by Q-probes behind the name."""
        sizes = {fact: self.world.size(fact) for fact in VALUE_FACTS}
        return {fact: size for fact, size in sizes.items() if size > 1}

    @property
    def probe_place(self) -> str:
        """The last token before each attribute is told for the first time."""
        return "before"

    @property
    def question_targets(self) -> Mapping[str, int]:
        """The same facts: what a name alone makes a model think of (Part 3.1, section 4.3)."""
        return self.probe_targets

    def questions(self, target: str, stream: Stream, indices: NDArray[np.int64]) -> Questions:
        """The full name of whom each instance is about, junk aside, put behind the separator."""
        drawn = self._draw(stream, indices)
        instance = np.flatnonzero(drawn.kind != JUNK).astype(np.int64)
        names = self.named(drawn.persons[instance, 0])
        inner = np.ones(len(names.tokens), np.bool_)
        inner[names.offsets[:-1]] = inner[names.offsets[1:] - 1] = False
        offsets = np.concatenate([[0], np.cumsum(names.lengths - 2)]).astype(np.int64)
        answer = drawn.facts[instance, FACTS.index(target)].astype(np.int32)
        return Questions(instance, np.ones(len(instance), np.int64), names.tokens[inner], offsets, answer)

    # -- what can be known ---------------------------------------------------------------------------------------------

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("people", "amount", "persons to know"),
            Axis("wordings", "type", "how many ways each person is told of"),
            Axis("permute", "type", "whether sentences come in any order"),
            Axis("fullname", "format", "tokens that tell whom a sentence is about", (False, True)),
            Axis("spelling", "format", "tokens that spell names and values", ("words", "subwords")),
            Axis("sentences", "format", "ways to say a thing"),
            Axis("junk_fraction", "difficulty", "what is not worth knowing"),
            Axis("qa_fraction", "type", "how much of the training asks"),
        )

    @property
    def knowledge_facts(self) -> tuple[str, ...]:
        """Facts that a person's texts tell, each uniform and independent: the company's city is not, it follows."""
        return tuple(fact for fact in FACTS[3:-1] if fact != "gender" or self.tells_gender)

    @property
    def bits_each(self) -> float:
        """log₂ S₀: information in the facts about one person, in bits; 47.6 with full pools (Part 3.3, section 2.2)."""
        return self.world.bits_each(self.knowledge_facts)

    @property
    def names_possible(self) -> int:
        """N₀, how many full names exist."""
        return self.world.names_possible

    @property
    def bits_max(self) -> float:
        """Information in the world, in bits: P·R_max of Part 3.3, section 2.2, for bioS."""
        n = self.config.people
        return float(n * np.log2(self.names_possible / n) + n * self.bits_each)

    @property
    def knowledge(self) -> Knowledge:
        """Names, five attributes and the gender; the company's city is left out, it follows from the company."""
        attributes = len(ATTRIBUTES) - 1

        def fact_of(instances: Instances) -> NDArray[np.int32]:
            part, attribute = instances.labels["part"], instances.labels["attribute"]
            value = np.where((attribute >= 0) & (attribute < attributes), attribute + 1, -1)
            return np.select([part == NAME, part == GENDER], [0, attributes + 1], value).astype(np.int32)

        return Knowledge(
            people=self.config.people,
            names_possible=self.names_possible,
            values=attributes + self.tells_gender,
            attributes=attributes,
            value_bits=self.bits_each,
            bits_max=self.bits_max,
            guess=float(np.mean([self.guess(attribute) for attribute in ATTRIBUTES[:attributes]])),
            fact_of=fact_of,
        )

    def facts(self) -> Mapping[str, NDArray[Any]]:
        """int16 [N] for each of `physlm.people.FACTS`, and `city_of_company`, int32 [companies]."""
        people = self.world.persons(np.arange(self.config.people, dtype=np.int64)).astype(np.int16)
        columns: dict[str, NDArray[Any]] = {fact: people[:, i].copy() for i, fact in enumerate(FACTS)}
        return {**columns, "city_of_company": self.world.city_of_company}

    # -- answers -------------------------------------------------------------------------------------------------------

    @property
    def clusters(self) -> str:
        """Persons: what is known of one may be told or asked in many instances."""
        return "person"

    def guess(self, attribute: str) -> float:
        """Accuracy of the best answer that knows the attribute but not the person."""
        facts = ("birth_month", "birth_day", "birth_year") if attribute == "birth_date" else (attribute,)
        return prod(float(self.world.probabilities(fact).max()) for fact in facts)

    @property
    def _biography_guess(self) -> float:
        """The same where the value in the sentence that names the person is asked for."""
        place = self.config.reverse
        first = self._telling.orders[:, place].tolist() if self.config.permute or not self._shares[0] else [place]
        return float(np.mean([self.guess(ATTRIBUTES[attribute]) for attribute in first]))

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """A question, or a biography up to the value in the sentence that names the person."""
        return instances[i][: instances.truth[i].start]

    def completion(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The answer, or that value."""
        return np.array(instances.truth[i].answer, np.int32)

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion is the value asked for."""
        return compare(truth.answer, completion, 1, self.vocabulary)

    def restriction(self, capability: type[Task[Any]]) -> str | None:
        if capability is HasEntropy and self.config.texts_together > 1:
            return f"{self.name} with texts_together doesn't tell its entropy: whom a text is about the last one tells"
        return None

    def floor(self) -> float:
        """Entropy of whom a text is about, of its sentences and their order, or of the question. Exact."""
        require(self, HasEntropy)
        return sum(
            share / self.population * (self._which(kind, self.kinds * self.config.split_size("test")) + inner)
            for kind, (share, inner) in enumerate(zip(self._shares, self._inner_entropies, strict=True))
            if share
        )

    @property
    def _inner_entropies(self) -> tuple[float, float, float, float]:
        """Of the wording of each kind of instance given what it is about, in nats."""
        c, (people, celebrities, junk, questions) = self.config, self._shares
        return (
            self._telling.entropy(self._people_variation, 0, c.people) if people else 0.0,
            self._telling.entropy(self._celebrity_variation, c.people, c.celebrities) if celebrities else 0.0,
            self._telling.entropy(self._people_variation, c.people + c.celebrities, c.junk_people) if junk else 0.0,
            self._question_entropy() if questions else 0.0,
        )

    def _question_surprisal(self, drawn: Drawn, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """-ln P of questions' texts given the kind and the person, in nats."""
        return np.full(len(rows), log(self.config.question_wordings))

    def _question_entropy(self) -> float:
        """Its mean in tests."""
        return log(self.config.question_wordings)

    def _which(self, kind: int, questions: int) -> float:
        """-ln P of one person or question of a kind, in nats."""
        c, share = self.config, self._shares[kind]
        things = {BIOGRAPHY: c.people, CELEBRITY: c.celebrities, JUNK: c.junk_people, QUESTION: questions}[kind]
        return log(self.population / share) + log(things)

    def surprisal(self, instances: Instances) -> NDArray[np.float64] | None:
        require(self, HasEntropy)
        if not isinstance(instances.truth, Truths):
            return None  # made by another task: what they were drawn from isn't known
        drawn = instances.truth.drawn
        surprisal = np.zeros(len(instances))
        for kind in np.unique(drawn.kind).tolist():
            rows = np.flatnonzero(drawn.kind == kind)
            surprisal[rows] = self._which(kind, drawn.questions)
            if kind == QUESTION:
                surprisal[rows] += self._question_surprisal(drawn, rows)
            else:
                variation = self._celebrity_variation if kind == CELEBRITY else self._people_variation
                told = drawn.sequence[rows, _HEAD:]
                surprisal[rows] += self._telling.surprisal(variation, drawn.persons[rows, 0], told)
        return surprisal
