"""The Measure contract: numbers taken from trained models, a cohort at a time.

A measure is one file with a `Measure` class in it; importing the package registers it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from physlm.catalog import Observation
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
    """Takes numbers from trained models; a file of observations is kept for each measure and version."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the numbers of an unchanged model change
    of_encoders: ClassVar[bool] = False  # whether it can be taken from a model that sees later tokens

    @classmethod
    def suits(cls, task: Task[Any]) -> str | None:
        """None if the task can be measured so, else the reason why not."""
        return None

    @classmethod
    def fits(cls, model: ModelConfig) -> str | None:
        """None if models of this architecture can be measured so, else the reason why not."""
        if model.causal or cls.of_encoders:
            return None
        right = ", ".join(name for name, measure in registry.items() if measure.of_encoders)
        return (
            f"{model.type} sees later tokens, so it can't predict or write one after the other; leave it out, or "
            f"measure {right}"
        )

    @abstractmethod
    def take(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        """Observations of each member; the decoder holds them in this order."""

    @classmethod
    def source(cls) -> str:
        """Name of its file of observations."""
        return f"{cls.name}-v{cls.version}"


registry: Registry[type[Measure]] = Registry("measure", "physlm.measures")
register = registry.register
