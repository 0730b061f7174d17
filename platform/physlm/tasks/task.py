"""The Task contract: what a synthetic language must offer so that models can be trained on it.

A task is one file in this package that defines a `TaskConfig` (the knobs, as they stand in the experiment file)
and a `Task` (the language). Importing the package registers it; `tests/contracts/test_task.py` then tests it.

    class CopyingConfig(TaskConfig):
        type: Literal["copying"] = "copying"
        length: int = Field(64, ge=1, description="tokens to copy")

    @register
    class Copying(Asks[CopyingConfig], HasEntropy[CopyingConfig]):
        config_type = CopyingConfig
        ...

What it can do beyond that (ask questions, tell its entropy, be probed, ...) are the classes of
`physlm.tasks.capabilities` that it inherits from; a task with none of them inherits from `Task[CopyingConfig]` itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from physlm import randomness
from physlm.errors import UnknownName
from physlm.registry import Registry, nearest

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
    truth    what `Asks.verify` needs, one entry for each instance; empty where the task has no question
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
class Axis:
    """One axis of difficulty: a knob of the config, and what it makes harder."""

    knob: str
    kind: Literal["amount", "type", "difficulty", "format"]
    meaning: str
    # Two values of the knob, all else as by default: with the second, instances are longer or answers take more steps
    # (the count `operations` of the verdict on a right answer).
    harder: tuple[Any, Any] | None = None


class Task(ABC, Generic[ConfigT]):
    """A synthetic language. Everything random is drawn from `physlm.randomness`; no global state."""

    config_type: ClassVar[type[TaskConfig]]
    absence: ClassVar[str]  # of a capability: what is said of a task without it, behind the task's name
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
    def clusters(self) -> str | None:
        """The label, one class for each instance, of what several instances may be about, such as a person.

        Such instances are no independent evidence of what a model knows: standard errors are clustered by it, and a
        probe is never tested on what it was trained on. None where instances are independent.
        """
        return None

    def restriction(self, capability: type[Task[Any]]) -> str | None:
        """Why these knobs leave out a capability that the class has, as a sentence; None if they don't.

        Callers ask `capabilities.unsupported_reason`, which knows of the class too.
        """
        return None

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


def from_preset(name: str, preset: str, **knobs: Any) -> Task[Any]:
    """The task with the settings of one of its presets, and these knobs on top. Raises UnknownName."""
    cls = registry[name]
    if preset not in cls.presets:
        raise UnknownName(f"{name} has no preset {preset!r}; {nearest(preset, list(cls.presets))}")
    return cls(cls.config_type.model_validate({**cls.presets[preset], **knobs}))
