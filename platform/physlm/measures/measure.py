"""The Measure contract: numbers taken from trained models, a cohort at a time.

A measure is one file with a `Measure` class in it; importing the package registers it. It declares what it emits:
pages draw it, help tells it and `tests/contracts/test_measure.py` tests it by that, and nothing else names it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from physlm.catalog import Emission, Observation
from physlm.models.model import ModelConfig
from physlm.registry import Registry
from physlm.tasks.task import Task

if TYPE_CHECKING:  # names and versions of measures are needed where there is no torch
    from physlm.models.decoder import Decoder


@dataclass(frozen=True)
class Member:
    """One trained model of a cohort, as a measure sees it."""

    task: Task[Any]
    seed: int
    context_length: int  # tokens in a training window
    parameters_counted: int  # without embedding rows of tokens that never occur
    mask_share: float = 0.15  # share of the tokens trained on that are hidden from it, if it is an encoder


class Measure(ABC):
    """Takes numbers from trained models, those it names in `emits`.

    A file of observations is kept for each measure and version.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the numbers of an unchanged model change
    of_encoders: ClassVar[bool] = False  # whether it can be taken from a model that sees later tokens
    samples: ClassVar[int | None] = None  # fresh instances that it is taken of; None where the task says how many

    @classmethod
    @abstractmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        """The kinds of observations of models trained on this task; without one, all that there may be."""

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        """Why models trained on this task, or these models of it, can't be measured so; None if they can.

        A measure that asks more judges the task first, and leaves the rest to this.
        """
        if model is None or model.causal or cls.of_encoders:
            return None
        right = ", ".join(name for name, measure in registry.items() if measure.of_encoders)
        return (
            f"{model.type} sees later tokens, so it can't predict or write one after the other; leave it out, or "
            f"measure {right}"
        )

    @abstractmethod
    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        """Observations of each member; the decoder holds them in this order."""

    @classmethod
    def source(cls) -> str:
        """Name of its file of observations."""
        return f"{cls.name}-v{cls.version}"


registry: Registry[type[Measure]] = Registry("measure", "physlm.measures")
register = registry.register
