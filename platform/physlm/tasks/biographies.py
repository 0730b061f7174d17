"""What languages about persons share: biographies, questions and what else is mixed in, shown once an exposure each.

`physlm.people` has the parts: the world, the sentences, the schedule of who comes when, the labels, the entropy. Here
they are put together; a task says what is asked.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import log, prod
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.people import ATTRIBUTES, FACTS, FULL_NAME, Lexicon, Script, SentenceSampler, Variation, World
from physlm.people.answers import Truths
from physlm.people.entropy import TextEntropy
from physlm.people.labels import FIRST_VALUE, GENDER, NAME, VALUE_FACTS, TextLabels
from physlm.people.schedule import BIOGRAPHY, CELEBRITY, JUNK, QUESTION, Drawn, Schedule, Shares
from physlm.people.templates import QUESTIONS_EACH
from physlm.tasks.answers import LazyLabels, compare
from physlm.tasks.biographies_config import BiographiesConfig
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
from physlm.tasks.task import Axis, Instances, Stream, Task

SEPARATOR, USEFUL, ANSWER = range(3)  # tokens
_HEAD = 2  # forms before the sentences: the separator and the tag
QUESTION_FORM, ANSWER_FORM = 2, 3  # places in a question's sequence


ConfigT = TypeVar("ConfigT", bound=BiographiesConfig)


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
        self._sentences = SentenceSampler(
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
        people, celebrities = (
            Variation(c.wordings, c.permute, c.orders),
            Variation(c.celebrity_wordings, True, c.celebrity_wordings),
        )
        self._variations = {BIOGRAPHY: people, CELEBRITY: celebrities, JUNK: people}

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
        template: NDArray[np.int64],
        words: NDArray[np.uint32],
    ) -> None:
        """Complete questions at these rows: `drawn.sequence` behind its head, `drawn.persons[:, 1]`, and `held`.

        template: int64 [m], which way to ask; words: uint32 [m, 2], further random words of each question's own. The
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
            used |= self._sentences.own_tokens
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
        biography = 1 + self.config.tag + self._sentences.longest
        return max(biography if self._biographies else 0, self._longest_question if self._questions else 0)

    @property
    def without_distractors(self) -> Task[ConfigT]:
        """The same language with nothing but the people's biographies: an instance for each fact to know."""
        update = {"qa_fraction": 0.0, "junk_fraction": 0.0, "celebrities": 0, "junk_people": 0, "texts_together": 1}
        config = self.config.model_copy(update=update)
        return self if config == self.config else type(self)(config)

    # -- exposures -----------------------------------------------------------------------------------------------------

    @cached_property
    def schedule(self) -> Schedule:
        """Which text or question comes when."""
        c = self.config
        return Schedule(
            seed=c.seed,
            shares=self._shares,
            people=c.people,
            celebrities=c.celebrities,
            junk_people=c.junk_people,
            kinds=self.kinds,
            trained_people=c.trained_people,
            texts_together=c.texts_together,
        )

    @cached_property
    def _labels(self) -> TextLabels:
        return TextLabels(self.extra_slots, len(self.marks), self.schedule.held_out)

    @cached_property
    def _entropy(self) -> TextEntropy:
        return TextEntropy(
            self.schedule, self._sentences, self._variations, _HEAD, self._question_entropy, self._question_surprisal
        )

    @cached_property
    def _shares(self) -> Shares:
        """Instances of one exposure: questions make up their share of the mean number of tokens."""
        c = self.config
        everyone = self.kinds * c.trained_people
        if c.qa_fraction == 1:
            return Shares(0, 0, 0, everyone)
        useful = c.people + c.celebrities
        junk = round(useful * c.junk_fraction / (1 - c.junk_fraction))
        if c.qa_fraction == 0:
            return Shares(c.people, c.celebrities, junk, 0)
        biography, question = self.mean_lengths
        tokens = (useful + junk) * biography * c.qa_fraction / (1 - c.qa_fraction)
        return Shares(c.people, c.celebrities, junk, max(1, round(tokens / question)))

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
        return 1 + self.config.tag + self._sentences.mean_length(lengths), question

    def _extra_lengths(self, lengths: Mapping[str, float]) -> Mapping[str, float]:
        """Mean tokens of the pieces that extra slots hold."""
        return {}

    @property
    def population(self) -> int:
        """Instances of one exposure: each person worth knowing once, and its share of junk and questions."""
        return self._shares.total

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

    def _sample(self, stream: Stream, indices: NDArray[np.int64], paraphrase: int | None) -> Instances:
        c = self.config
        n = len(indices)
        drawn = self._draw(stream, indices)
        held = np.empty((n, len(FACTS) + len(self.extra_slots)), np.int32)
        held[:, : len(FACTS)] = drawn.facts + self._first_pieces
        drawn.sequence[:, 0] = self._separator_form
        if c.tag:
            drawn.sequence[drawn.kind <= CELEBRITY, 1] = self._tag_form
        for kind, variation in self._variations.items():
            rows = np.flatnonzero(drawn.kind == kind)
            if len(rows):
                persons, times, places = drawn.persons[rows, 0], drawn.exposure[rows], indices[rows]
                sampled = self._sentences.sample(variation, persons, times, places, stream.key, paraphrase)
                drawn.sequence[rows, _HEAD:] = sampled
        rows = np.flatnonzero(drawn.kind == QUESTION)
        if len(rows):
            words = randomness.words(stream.key("bios", "questions", c.seed), indices[rows], 4)
            template = randomness.scaled(words[:, 0], c.question_wordings)
            if paraphrase is not None:  # another of all the ways to ask
                others = QUESTIONS_EACH - 1
                other = (randomness.scaled(words[:, 1], others) + paraphrase) % others
                template = (template + 1 + other) % QUESTIONS_EACH
            self._ask(rows, drawn, held, template, words[:, 2:])
        asked = np.where(drawn.kind == QUESTION, -1 - ANSWER_FORM, _HEAD + c.reverse).astype(np.int32)
        written = self.script.write(drawn.sequence, held, asked, FIRST_VALUE, self.max_length)
        return Instances(
            tokens=written.tokens,
            offsets=written.offsets,
            loss=np.ones(len(written.tokens), np.bool_),
            labels=LazyLabels(self._labels.makers(written, drawn)),
            truth=Truths(written.tokens, written.offsets, written.answers, drawn),
        )

    def _draw(self, stream: Stream, indices: NDArray[np.int64]) -> Drawn:
        kind, exposure, question, person, rank = self.schedule.at(stream.key, stream.split, indices)
        return Drawn(
            kind=kind,
            exposure=exposure,
            question=question,
            persons=np.stack([person, np.full(len(indices), -1, np.int64)], axis=1),
            facts=self.world.persons(person),
            sequence=np.full((len(indices), _HEAD + len(ATTRIBUTES)), -1, np.int32),
            rank=rank,
            questions=self.schedule.questions(stream.split),
            split=stream.split,
        )

    def named(self, numbers: NDArray[np.int64]) -> Instances:
        """Just the names of persons between two separators, with all their labels: what Q-probes read, at the end."""
        n = len(numbers)
        drawn = Drawn(
            kind=np.full(n, BIOGRAPHY, np.int8),
            exposure=np.zeros(n, np.int64),
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
            labels=LazyLabels(self._labels.makers(written, drawn)),
        )

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
        first = self._sentences.orders[:, place].tolist() if self.config.permute or not self._shares[0] else [place]
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
        return self._entropy.floor

    def _question_surprisal(self, drawn: Drawn, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """-ln P of questions' texts given the kind and the person, in nats."""
        return np.full(len(rows), log(self.config.question_wordings))

    def _question_entropy(self) -> float:
        """Its mean in tests."""
        return log(self.config.question_wordings)

    def surprisal(self, instances: Instances) -> NDArray[np.float64] | None:
        require(self, HasEntropy)
        if not isinstance(instances.truth, Truths):
            return None  # made by another task: what they were drawn from isn't known
        return self._entropy.surprisal(instances.truth.drawn)
