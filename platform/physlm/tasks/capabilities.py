"""Capabilities of tasks: what a task may offer beside `Task`, each an abstract class with a contract test of its own.

A task inherits from the capabilities that it has; measures, probes, pages and commands ask for them, never for a task:

    @register
    class Copying(Asks[CopyingConfig], HasEntropy[CopyingConfig]): ...

    if reason := unsupported_reason(task, Asks):        # "biod asks no questions"
        ...
    if supports(task, HasEntropy):                      # from here on a HasEntropy to the type checker
        task.floor()

A capability may depend on the knobs: `Task.restriction` then says why such a task doesn't have it. A task around
another one has the capabilities that it passes on and says by `restriction` which of them the inner one lacks.

    capability           in short                                         asked for by
    Asks                 prompts with an answer that can be verified      accuracy, evaluation sets, `tasks verify`
    ChecksSteps          answers whose every step is checked              mistakes, the probe regret
    HasEntropy           the exact entropy and surprisal of its texts     the floor of loss, `tasks stats`
    HasWorld             hidden facts                                     stored worlds
    CountsKnowledge      how many bits these are                          knowledge_bits
    Incompressible       random strings, no rule behind them              memorised_bits
    HasDistractors       what is beside what is worth knowing             knowledge_bits, probes p, q and v
    HasParaphrases       other texts of the same truth                    contamination
    Probed               labels of tokens that probes read                all probes of states, attention
    HasProbeQuestions    questions that probes put to a model             probes q, v and depth
    HasGrammar           a grammar, and so the exact next token           kl, validity, diversity
    HasCounterfactuals   pairs of prompts that differ in one fact         patching
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from physlm.errors import UserError
from physlm.tasks.task import ConfigT, Instances, Stream, Task

if TYPE_CHECKING:
    from physlm.grammars import Grammar

TaskT = TypeVar("TaskT", bound=Task[Any])


def unsupported_reason(task: Task[Any], capability: type[Task[Any]]) -> str | None:
    """None if the task, with its knobs, has the capability; else the reason why not, as a sentence."""
    if not isinstance(task, capability):
        return f"{task.name} {capability.absence}"
    return task.restriction(capability)


def supports(task: Task[Any], capability: type[TaskT]) -> TypeGuard[TaskT]:
    """Whether the task, with its knobs, has the capability."""
    return unsupported_reason(task, capability) is None


def require(task: Task[Any], capability: type[TaskT]) -> TaskT:
    """The task, as one that has the capability. Raises UserError with the reason if it hasn't."""
    reason = unsupported_reason(task, capability)
    if reason is not None:
        raise UserError(reason)
    assert isinstance(task, capability)
    return task


def without_distractors(task: Task[Any]) -> Task[Any]:
    """The task reduced to what is worth knowing; the task itself where there is nothing else."""
    return task.without_distractors if supports(task, HasDistractors) else task


def of_class(task: type[Task[Any]]) -> list[type[Task[Any]]]:
    """The capabilities that a class of tasks has, whatever its knobs, in the order of this file."""
    return [capability for capability in CAPABILITIES if issubclass(task, capability)]


# -- questions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """Outcome of checking one completion: right or wrong, why, and task-specific counts."""

    correct: bool
    reason: str = ""
    counts: Mapping[str, float] = field(default_factory=dict)


class Asks(Task[ConfigT]):
    """It asks: an instance has a prompt, and completions of it are right or wrong."""

    absence: ClassVar[str] = "asks no questions"

    @property
    @abstractmethod
    def chance(self) -> float | None:
        """Accuracy of the best answer that ignores the question; None where any sentence is an answer."""

    @property
    def temperature(self) -> float:
        """At which answers are drawn from a model; 0: always the likeliest token."""
        return 0.0

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """Published conditions of evaluation by name: overrides of the config that leave the vocabulary as it is."""
        return {}

    @abstractmethod
    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The tokens of instance i up to where a model must answer, int32 [m]."""

    def completion(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The right answer to the prompt of instance i, int32 [m]."""
        start = len(self.prompt(instances, i))
        return instances[i][start:]

    @abstractmethod
    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Check a completion of any tokens and any length exactly; never raises for a bad completion.

        truth: the instance's entry of `Instances.truth`.
        """


class StepMarks(NamedTuple):
    """Tokens that part a solution into steps: `begin` name `named` ... `end`; a step that is taken back instead of
    computed has `taken_back` behind `named`."""

    begin: int
    named: int
    taken_back: int
    end: int


class ChecksSteps(Asks[ConfigT]):
    """Its answers are solutions, and `verify` checks every step.

    Counts of a verdict: `sentences` and `retries`, the right steps and those taken back before the first wrong one; of
    a solution with a wrong step also `first_wrong`, its number from 1, and, where it names something of the problem,
    `first_wrong_can_next`: whether that could be computed at that point.
    """

    absence: ClassVar[str] = "has no solutions whose steps are checked one by one"

    @property
    @abstractmethod
    def step_marks(self) -> StepMarks:
        """Where steps begin and end."""


# -- entropy -----------------------------------------------------------------------------------------------------------


class HasEntropy(Task[ConfigT]):
    """It tells how likely its texts are, so the least loss that any model can have is known."""

    absence: ClassVar[str] = "doesn't tell the entropy of its texts"

    @abstractmethod
    def floor(self) -> float:
        """Entropy of one fresh instance in nats: no model's loss, summed over an instance, can be lower on average."""

    @abstractmethod
    def surprisal(self, instances: Instances) -> NDArray[np.float64] | None:
        """-ln P of each instance's trained tokens given those before them, by the language itself, float64 [n] in nats.

        Its mean is the floor. None where it can't be told of these instances.
        """

    def end_surprisal(self, instances: Instances) -> NDArray[np.float64]:
        """-ln P that each instance ends where it does, given all of it, float64 [n] in nats; 0 where its tokens tell.

        It is part of the floor, but not of a loss that doesn't count the separator after an instance.
        """
        return np.zeros(len(instances))


# -- knowledge ---------------------------------------------------------------------------------------------------------


class HasWorld(Task[ConfigT]):
    """It has hidden facts that stay the same in all instances."""

    absence: ClassVar[str] = "has no hidden facts"

    @abstractmethod
    def facts(self) -> Mapping[str, NDArray[Any]]:
        """The world: hidden facts as named arrays, stored and checksummed once."""


@dataclass(frozen=True)
class Knowledge:
    """What there is to know about a world of persons, each the subject of one instance of `without_distractors(task)`.

    people          N
    names_possible  N₀, names that a person could have
    values          facts about a person
    attributes      how many of these, the first ones, count for accuracy
    value_bits      log₂ of what the values of one person could be, together
    bits_max        information in the world, in bits
    guess           accuracy of the likeliest values of the attributes
    fact_of         which fact each token of instances spells, int32 [total]: 0 the name, 1 to `values` a value, -1 none
    sets            what must be known of the sets that values are drawn from, if anything
    """

    people: int
    names_possible: int
    values: int
    attributes: int
    value_bits: float
    bits_max: float
    guess: float
    fact_of: Callable[[Instances], NDArray[np.int32]]
    sets: DiversitySets | None = None


@dataclass(frozen=True)
class DiversitySets:
    """Sets of strings that values are made of (Part 3.3, section 2.2, the term in p₃).

    strings  in all sets together, K·D
    bits     log₂(T^L/D), of a string as one of its set
    guess    ln D, the loss in nats on a chunk of which only the set is known
    first    whether each token is of a value's first chunk, bool [total]
    """

    strings: int
    bits: float
    guess: float
    first: Callable[[Instances], NDArray[np.bool_]]


class CountsKnowledge(Task[ConfigT]):
    """It says what there is to know, in bits."""

    absence: ClassVar[str] = "has no facts to count"

    @property
    @abstractmethod
    def knowledge(self) -> Knowledge:
        """What there is to know."""


class Incompressible(HasWorld[ConfigT]):
    """Random strings, `population` of them: what a model predicts better than chance it has memorised."""

    absence: ClassVar[str] = "has rules, so not all that it tells is memorised"

    @property
    @abstractmethod
    def string_length(self) -> int:
        """L, symbols of a string; an instance is the separator and a string."""

    @property
    @abstractmethod
    def string_bits(self) -> float:
        """Information in a string that is known to be a string, in bits."""

    @property
    @abstractmethod
    def memorisable_bits(self) -> float:
        """The most that can be memorised, in bits."""


class HasDistractors(Task[ConfigT]):
    """It may mix in what isn't worth knowing: junk, questions, leaks."""

    absence: ClassVar[str] = "has nothing beside what is worth knowing"

    @property
    @abstractmethod
    def without_distractors(self) -> Task[Any]:
        """The language, with the same facts and vocabulary, of what is worth knowing alone; itself if that is all.

        An exposure of it shows each fact once.
        """


class HasParaphrases(Task[ConfigT]):
    """It can say the same in other words."""

    absence: ClassVar[str] = "says each thing in one way only"

    @abstractmethod
    def paraphrase(self, stream: Stream, indices: NDArray[np.int64], number: int) -> Instances:
        """Paraphrases of the instances at these positions, the number-th of each: the same truth, rendered otherwise.

        What an instance is about and what answers it stay; all that its form leaves free is drawn anew.
        """


# -- probes ------------------------------------------------------------------------------------------------------------


class Probed(Task[ConfigT]):
    """It labels tokens with what is true of them, for probes to read."""

    absence: ClassVar[str] = "has no labels of tokens to read"

    @property
    @abstractmethod
    def probe_targets(self) -> Mapping[str, int]:
        """Names of the labels that probes can be trained for, with their number of classes."""

    @property
    def probe_ends(self) -> Mapping[str, str]:
        """For targets that speak of a span of tokens: the label that is 1 at its last token, where it can be known."""
        return {}

    @property
    def probe_place(self) -> str | None:
        """The label that isn't -1 at the tokens where all targets are to be read; their order numbers the places."""
        return None


@dataclass(frozen=True)
class Questions:
    """What a probe may ask of a model that has read the beginning of an instance: q questions of one kind.

    instance  int64 [q]: whose beginning is shown, by its place among the instances
    shown     int64 [q]: how many of its tokens
    asked     int32 [total]; question i puts asked[offsets[i]:offsets[i + 1]] to it, such as a parameter's name, or none
    offsets   int64 [q + 1]
    answer    int32 [q]: the right class
    distance  int32 [q]: steps from what the instance asks to what is asked here, -1 where there are none; or None
    """

    instance: NDArray[np.int64]
    shown: NDArray[np.int64]
    asked: NDArray[np.int32]
    offsets: NDArray[np.int64]
    answer: NDArray[np.int32]
    distance: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.answer)


class HasProbeQuestions(Task[ConfigT]):
    """It has questions that a probe puts to a model which has read the beginning of an instance."""

    absence: ClassVar[str] = "has no questions for probes"

    @property
    @abstractmethod
    def question_targets(self) -> Mapping[str, int]:
        """Kinds of questions that probes can be trained to answer, with their number of classes."""

    @abstractmethod
    def questions(self, target: str, stream: Stream, indices: NDArray[np.int64]) -> Questions:
        """All questions of a kind about the instances at these positions of the stream, int64 [n]."""


# -- grammars and counterfactuals --------------------------------------------------------------------------------------


class HasGrammar(HasEntropy[ConfigT]):
    """Its instances are sentences of a grammar, each behind its separator."""

    absence: ClassVar[str] = "has no grammar"

    @property
    @abstractmethod
    def grammar(self) -> Grammar:
        """The grammar, by which sentences are drawn and parsed; its tokens are the instances' own."""

    @abstractmethod
    def next_token(self, tokens: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """The true distribution of the next token after every token of n beginnings of instances.

        Beginning i is tokens[offsets[i]:offsets[i + 1]], a separator and any number of tokens. Returns float64
        [total, vocabulary], row j being what follows token j; the separator's column is the sentence's end. Rows are 0
        where no sentence begins so. Raises UserError for a beginning without its separator.
        """


@dataclass(frozen=True)
class Counterfactuals:
    """n pairs of prompts that differ in a few tokens, the carrier, and so in the token that is to be written next.

    Both prompts of a pair are of one length and have the carrier at the same places, all before their last token.

    clean    int32 [n, T], filled with the separator behind a prompt's end
    changed  int32 [n, T]: the same but for what the carrier says
    answer   int32 [n]: the right token after the clean prompt
    other    int32 [n]: the right token after the changed one
    length   int64 [n], tokens of each pair's prompts
    carrier  bool [n, T], all tokens that say what differs, such as a whole name
    """

    clean: NDArray[np.int32]
    changed: NDArray[np.int32]
    answer: NDArray[np.int32]
    other: NDArray[np.int32]
    length: NDArray[np.int64]
    carrier: NDArray[np.bool_]

    @classmethod
    def of_one_length(
        cls, clean: NDArray[np.int32], changed: NDArray[np.int32], answer: NDArray[np.int32], other: NDArray[np.int32]
    ) -> Counterfactuals:
        """Pairs of prompts of T tokens whose carrier is where they differ."""
        length = np.full(len(clean), clean.shape[1], np.int64)
        return cls(clean, changed, answer, other, length, clean != changed)

    @property
    def aligned(self) -> bool:
        """Whether all pairs are alike in length and in the carrier's places: a position then means one thing."""
        return bool((self.length == self.clean.shape[1]).all() and (self.carrier == self.carrier[:1]).all())


class HasCounterfactuals(Task[ConfigT]):
    """It has pairs of prompts that differ in one fact, and so in their answer."""

    absence: ClassVar[str] = "has no pairs of prompts that differ in one fact"

    @abstractmethod
    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        """A pair of prompts for each of these positions of the stream, int64 [n]; the same in any split into batches.

        Like instances, but as far alike as may be: measures say more of pairs that are aligned. Raises UserError where
        the knobs leave no such pairs.
        """


CAPABILITIES: tuple[type[Task[Any]], ...] = (
    Asks,
    ChecksSteps,
    HasEntropy,
    HasWorld,
    CountsKnowledge,
    Incompressible,
    HasDistractors,
    HasParaphrases,
    Probed,
    HasProbeQuestions,
    HasGrammar,
    HasCounterfactuals,
)
