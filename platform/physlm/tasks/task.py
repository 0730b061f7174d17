"""The Task contract: what a synthetic language must offer so that everything else works with it.

A task is one file in this package that defines a `TaskConfig` (the knobs, as they stand in the experiment file)
and a `Task` (the language). Importing the package registers it; `tests/contracts/test_task.py` then tests it.

    class CopyingConfig(TaskConfig):
        type: Literal["copying"] = "copying"
        length: int = Field(64, ge=1, description="tokens to copy")

    @register
    class Copying(Task[CopyingConfig]):
        config_type = CopyingConfig
        ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from physlm import randomness
from physlm.errors import UserError
from physlm.registry import Registry

_MEASURED = 256  # instances that a mean length is taken of

Split = Literal["train", "validation", "test"]


class TaskConfig(BaseModel):
    """Knobs of a task. Equal configurations are the same language with the same hidden facts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the hidden facts (the world)")


ConfigT = TypeVar("ConfigT", bound=TaskConfig)


@dataclass(frozen=True)
class Stream:
    """An endless sequence of instances: what they are for, and which run's order they are in.

    `Stream("train", 3)` is the training data of the run with seed 3; "test" never shares a draw with it, nor does
    "validation", by which the best of several trainings is chosen, with either.
    """

    split: Split = "train"
    seed: int = 0

    def key(self, *purpose: str | int) -> int:
        """64-bit key for `physlm.randomness` of one purpose within this stream."""
        return randomness.key(*purpose, self.split, self.seed)


@dataclass(frozen=True)
class Instances:
    """A ragged batch of n instances with `total` tokens together.

    tokens   int32 [total]; instance i is tokens[offsets[i]:offsets[i + 1]]
    offsets  int64 [n + 1]
    loss     bool [total]: the token is trained on (predicted from those before it)
    labels   per-token ground truth for probes, int32 [total] each; -1 where there is none
    truth    what `Task.verify` needs, one entry for each instance; empty where the task has no question
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    loss: NDArray[np.bool_]
    labels: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    truth: Sequence[Any] = ()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each instance, int64 [n]."""
        return np.diff(self.offsets)

    def __getitem__(self, i: int) -> NDArray[np.int32]:
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]


@dataclass(frozen=True)
class Knowledge:
    """What there is to know about a world of persons, each told of in one instance of `Task.without_distractors`.

    people          N
    names_possible  N₀, names that a person could have
    values          facts about a person
    attributes      how many of these, the first ones, count for accuracy
    value_bits      log₂ of what the values of one person could be, together
    bits_max        information in the world, in bits
    guess           accuracy of the likeliest values of the attributes
    told            what each token of instances tells, int32 [total]: 0 the name, 1 to `values` a value, -1 nothing
    sets            what must be known of the sets that values are drawn from, if anything
    """

    people: int
    names_possible: int
    values: int
    attributes: int
    value_bits: float
    bits_max: float
    guess: float
    told: Callable[[Instances], NDArray[np.int32]]
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


@dataclass(frozen=True)
class Questions:
    """What a probe may ask of a model that has read the beginning of an instance: q questions of one kind.

    instance  int64 [q]: whose beginning is shown, by its place among the instances
    shown     int64 [q]: how many of its tokens
    asked     int32 [total]; question i puts asked[offsets[i]:offsets[i + 1]] to it, such as a parameter's name, or none
    offsets   int64 [q + 1]
    answer    int32 [q]: the right class
    distance  int32 [q]: steps from what the instance asks to what is asked here, -1 where there are none; if told
    """

    instance: NDArray[np.int64]
    shown: NDArray[np.int64]
    asked: NDArray[np.int32]
    offsets: NDArray[np.int64]
    answer: NDArray[np.int32]
    distance: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.answer)


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


@dataclass(frozen=True)
class Axis:
    """One axis of difficulty: a knob of the config, and what it makes harder."""

    knob: str
    kind: Literal["amount", "type", "difficulty", "format"]
    meaning: str
    # Two values of the knob, all else as by default: with the second, instances are longer or answers take more steps
    # (the count `operations` of the verdict on a right answer).
    harder: tuple[Any, Any] | None = None


@dataclass(frozen=True)
class Verdict:
    """Outcome of checking one completion: right or wrong, why, and task-specific counts."""

    correct: bool
    reason: str = ""
    counts: Mapping[str, float] = field(default_factory=dict)


class Task(ABC, Generic[ConfigT]):
    """A synthetic language. Everything random is drawn from `physlm.randomness`; no global state."""

    config_type: ClassVar[type[TaskConfig]]
    version: ClassVar[int] = 1  # raise it when the data of an unchanged config changes: runs are keyed by it
    # Settings by name, as overrides of the config: the published ones, and `tiny`, learnt on a CPU within minutes.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @property
    def name(self) -> str:
        """The task's name in the experiment file."""
        return self.config.type

    @property
    def revision(self) -> int:
        """What runs are keyed by: the version, and for a task around another one also that one's."""
        return self.version

    @property
    @abstractmethod
    def vocabulary(self) -> Sequence[str]:
        """Every token by id, as printable text; its length is the model's vocabulary size."""

    @property
    @abstractmethod
    def separator(self) -> int:
        """Token that starts every window and fills what is left of it; never trained on as filling."""

    @abstractmethod
    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """The instances at these positions of the stream, int64 [n]; the same in any split into batches.

        An instance begins with the separator where the language has one between instances.
        """

    @property
    def population(self) -> int | None:
        """Facts that are shown over and over: instances in one exposure; None for endless fresh data."""
        return None

    @property
    def without_distractors(self) -> Task[Any]:
        """The language, with the same facts and vocabulary, of what is worth knowing alone: without junk or questions.

        An exposure of it shows each fact once.
        """
        return self

    def paraphrase(self, stream: Stream, indices: NDArray[np.int64], number: int) -> Instances:
        """Paraphrases of the instances at these positions, the number-th of each: the same truth, rendered otherwise.

        What an instance is about and what answers it stay; all that its form leaves free is drawn anew. Optional.
        """
        raise UserError(f"{self.name} says each thing in one way only: it has no paraphrases")

    @property
    def used_tokens(self) -> int:
        """Distinct tokens that can occur: embedding rows that count as parameters."""
        return len(self.vocabulary)

    @property
    @abstractmethod
    def max_length(self) -> int:
        """Upper bound on the tokens of one instance."""

    @cached_property
    def mean_length(self) -> float:
        """Mean tokens of an instance, estimated from 256 of the training data."""
        return float(self.sample(Stream("train"), np.arange(_MEASURED, dtype=np.int64)).lengths.mean())

    @property
    def axes(self) -> Sequence[Axis]:
        """The axes of difficulty."""
        return ()

    @property
    def chance(self) -> float | None:
        """Accuracy of the best answer that ignores the question; None where nothing is asked."""
        return None

    def floor(self) -> float | None:
        """Entropy of one fresh instance in nats: no model's loss, summed over an instance, can be lower on average."""
        return None

    def end_surprisal(self, instances: Instances) -> NDArray[np.float64]:
        """-ln P that each instance ends where it does, given all of it, float64 [n] in nats; 0 where its tokens tell.

        It is part of the floor, but not of a loss that doesn't count the separator after an instance.
        """
        return np.zeros(len(instances))

    def surprisal(self, instances: Instances) -> NDArray[np.float64] | None:
        """-ln P of each instance's trained tokens given those before them, by the language itself, float64 [n] in nats.

        Its mean is the floor. None where it can't be told exactly.
        """
        return None

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """Published conditions of evaluation by name: overrides of the config that leave the vocabulary as it is."""
        return {}

    @property
    def knowledge(self) -> Knowledge | None:
        """What there is to know, for the measure knowledge_bits; None where that isn't counted."""
        return None

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The tokens of instance i up to where a model must answer, int32 [m]."""
        raise UserError(f"{self.name} asks no questions: it has no prompts to complete")

    @property
    def temperature(self) -> float:
        """At which answers are drawn from a model; 0: always the likeliest token."""
        return 0.0

    def completion(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The right answer to the prompt of instance i, int32 [m]."""
        start = len(self.prompt(instances, i))
        return instances[i][start:]

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Check a completion of any tokens and any length exactly; never raises for a bad completion."""
        raise UserError(f"{self.name} asks no questions: it has nothing to verify")

    @property
    def probe_targets(self) -> Mapping[str, int]:
        """Names of the labels that probes can be trained for, with their number of classes."""
        return {}

    @property
    def probe_ends(self) -> Mapping[str, str]:
        """For targets that speak of a span of tokens: the label that is 1 at its last token, where it can be known."""
        return {}

    @property
    def probe_place(self) -> str | None:
        """The label that isn't -1 at the tokens where all targets are to be read; their order numbers the places."""
        return None

    @property
    def clusters(self) -> str | None:
        """The label, one class for each instance, that must not be both in a probe's training and in its test.

        A person, for instance, of whom many instances speak. None where instances are independent.
        """
        return None

    @property
    def question_targets(self) -> Mapping[str, int]:
        """Kinds of questions that probes can be trained to answer, with their number of classes."""
        return {}

    def questions(self, target: str, stream: Stream, indices: NDArray[np.int64]) -> Questions:
        """All questions of a kind about the instances at these positions of the stream, int64 [n]."""
        raise UserError(f"{self.name} has no questions for probes")

    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        """A pair of prompts for each of these positions of the stream, int64 [n]; the same in any split into batches.

        Optional. Like instances, but as far alike as may be: measures say more of pairs that are aligned. Raises
        UserError where the knobs leave no such pairs.
        """
        raise UserError(f"{self.name} has no pairs of prompts that differ in one fact")

    def facts(self) -> Mapping[str, NDArray[Any]]:
        """The world: hidden facts as named arrays, stored and checksummed once; empty for endless fresh data."""
        return {}

    def text(self, tokens: NDArray[np.int32]) -> str:
        """Tokens as people read them."""
        vocabulary = self.vocabulary
        return " ".join(vocabulary[t] if 0 <= t < len(vocabulary) else f"<{t}?>" for t in tokens.tolist())

    def parse(self, text: str) -> NDArray[np.int32]:
        """Tokens of a text written by `text`; -1 stands for words that are no tokens."""
        return np.array([self._ids.get(word, -1) for word in text.split()], np.int32)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.vocabulary)}


registry: Registry[type[Task[Any]]] = Registry(
    "task", "physlm.tasks", lambda cls: str(cls.config_type.model_fields["type"].default)
)
register = registry.register


def build(config: TaskConfig) -> Task[Any]:
    """The task of a config."""
    return registry[config.type](config)
