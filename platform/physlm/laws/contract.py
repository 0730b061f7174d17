"""The Law contract: a formula with named parameters, and everything a fit needs to know about it.

A law is one file in this package that defines a `Law`; importing the package registers it, and the contract test
(`tests/contracts/test_law.py`) then tests it. What a fit gives back is a `Fit` (see `physlm.laws.fitting`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Where a quantity lies with probability `level`, in the quantity's unit."""

    low: float
    high: float
    level: float = 0.95

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Anchor:
    """What others have published about a parameter or a derived quantity."""

    low: float
    high: float  # equal to low for a single number
    source: str


@dataclass(frozen=True)
class Parameter:
    """One parameter: fitted as its logarithm, so positive, within [low, high]."""

    name: str
    meaning: str
    unit: str
    low: float
    high: float
    guesses: tuple[float, ...]
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True)
class Quantity:
    """Something derived from the parameters that people want to know."""

    name: str
    meaning: str
    unit: str
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True)
class Variable:
    """One input of the formula, and where a catalogue table has it: a column, or a measure's value."""

    name: str
    meaning: str
    unit: str
    column: str | None = None
    measure: str | None = None


class Law(ABC):
    """A formula for a positive response, fitted to the logarithm of what was observed."""

    name: ClassVar[str]
    title: ClassVar[str]
    latex: ClassVar[str]
    response: ClassVar[Variable]
    variables: ClassVar[Sequence[Variable]]
    parameters: ClassVar[Sequence[Parameter]]
    size: ClassVar[str]  # the variable whose values are left out one by one in cross-validation
    rivals: ClassVar[Sequence[type[Law]]] = ()

    @abstractmethod
    def predict(self, parameters: Array, data: Mapping[str, Array]) -> Array:
        """The response. parameters [..., k], each variable [n] -> [..., n]."""

    def check(self, data: Mapping[str, Array]) -> None:
        """Raise LawDataError, naming what is missing, if the design can't identify the parameters."""
        return

    def derived(self, parameters: Array, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """Further quantities by name, each [...]; they get intervals like parameters."""
        return {}

    def derived_meaning(self, name: str) -> str:
        """What the derived quantity of this name is, as it follows "the" in a sentence."""
        return name

    def derived_quantities(self, data: Mapping[str, Array]) -> Sequence[Quantity]:
        """What `derived` gives, in order of interest: the last one answers the question best."""
        return ()


_REGISTRY: dict[str, type[Law]] = {}
LawT = TypeVar("LawT", bound=type[Law])


def register(cls: LawT) -> LawT:
    """Make a law known by its name."""
    _REGISTRY[cls.name] = cls
    return cls


def registry() -> Mapping[str, type[Law]]:
    """All laws by name."""
    import physlm.laws  # importing the package registers its files

    assert physlm.laws
    return dict(sorted(_REGISTRY.items()))
