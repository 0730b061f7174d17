"""The Law contract: a formula with named parameters, and everything a fit needs to know about it.

A law is one file in this package that defines a `Law`; importing the package registers it, and the contract test
(`tests/contracts/test_law.py`) then tests it. What a fit gives back is a `Fit` (see `physlm.fitting.result`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import Example
from physlm.laws.noise import LogNormal, Noise
from physlm.laws.scales import Array, Scale, from_scale, to_scale
from physlm.laws.values import Parameters, Variables, attribute_of, places_of
from physlm.laws.variables import Variable
from physlm.registry import Registry

_STEP = 1e-6  # of finite differences, in units of a coordinate


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

    def __str__(self) -> str:
        reach = f"{self.low:.4g}" if self.low == self.high else f"{self.low:.4g} to {self.high:.4g}"
        return f"{reach} ({self.source})"


@dataclass(frozen=True)
class Parameter:
    """One parameter within [low, high], searched from each of its guesses.

    On the scale "log" it is positive and its logarithm is fitted; on "linear" it may have any sign.
    """

    name: str
    meaning: str
    unit: str
    low: float
    high: float
    guesses: tuple[float, ...]
    anchors: tuple[Anchor, ...] = ()
    scale: Scale = "log"


@dataclass(frozen=True)
class Quantity:
    """Something derived from the parameters that people want to know."""

    name: str
    meaning: str
    unit: str
    anchors: tuple[Anchor, ...] = ()
    scale: Scale = "log"


class Law(ABC):
    """A formula for a response, with the noise that observations have about it.

    latex    the formula as people read it; it must say what `predict` does (see `physlm.laws.latex`)
    where    further equations that the formula needs to be understood, in LaTeX
    symbols  how parameters and variables are written in LaTeX, where it isn't as they are named
    size     the variable whose values are left out one by one in cross-validation

    levels: for each variable that is a category, its levels; the first is what the others are compared with. Laws
    with such a variable make parameters of the levels.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    latex: ClassVar[str]
    where: ClassVar[Sequence[str]] = ()
    symbols: ClassVar[Mapping[str, str]] = {}
    source: ClassVar[str] = ""
    response: ClassVar[Variable]
    made_from: ClassVar[Variable | None] = None  # what the response is derived from, over all moments of training
    variables: ClassVar[Sequence[Variable]]
    parameters: Sequence[Parameter]
    size: ClassVar[str]
    noise: ClassVar[Noise] = LogNormal()
    rivals: ClassVar[Sequence[type[Law]]] = ()

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        self.levels = dict(levels or {})

    # -- what a law is: formulas over parameters and variables by name -------------------------------------------------

    @abstractmethod
    def predict(self, p: Parameters, x: Variables) -> Array:
        """The response, [..., n]: parameters are [..., 1] and variables [n]."""

    def location(self, p: Parameters, x: Variables) -> Array:
        """The response on the scale of the noise, [..., n]; laws override it where that is more exact."""
        return to_scale(self.noise.scale, self.predict(p, x))

    def slope(self, p: Parameters, x: Variables, location: Array) -> Mapping[str, Array] | None:
        """Derivatives of the location [b, n] with respect to each parameter, by its name, [b, n] each.

        For a parameter on the scale "log" with respect to its logarithm. None: by finite differences.
        """
        return None

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """Further quantities by name, [..., 1] each; they get intervals like parameters."""
        return {}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        """What `derived` gives, in order of interest: the last one answers the question best."""
        return ()

    def starts(self, x: Variables) -> Array:
        """Values to start the search from, [s, k]; the response is among the variables."""
        return np.array(list(product(*(p.guesses for p in self.parameters))))

    def check(self, x: Variables) -> None:
        """Raise LawDataError, naming what is missing, if the design can't identify the parameters."""
        return

    @classmethod
    def example(cls) -> Example:
        """A study that identifies the law; every registered law has one."""
        raise NotImplementedError(f"the law {cls.name} has no example")

    @classmethod
    def derived_rows(cls, table: pl.DataFrame) -> pl.DataFrame:
        """A catalogue's table with the rows of measures that the law makes of others."""
        return table

    # -- what engines ask: the same for arrays of values and columns of a table ----------------------------------------

    def evaluate(self, values: Array, data: Mapping[str, Array]) -> Array:
        """The response. values of the parameters [..., k], each variable [n] -> [..., n]."""
        return self.predict(self.named(values), self.inputs(data))

    def locate(self, values: Array, data: Mapping[str, Array]) -> Array:
        """The response on the scale of the noise, [..., n]."""
        return self.location(self.named(values), self.inputs(data))

    def derive(self, values: Array, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """Derived quantities by name, [...] each."""
        found = self.derived(self.named(values), self.inputs(data))
        return {name: quantity[..., 0] for name, quantity in found.items()}

    def slopes(self, coordinates: Array, location: Array, data: Mapping[str, Array]) -> Array:
        """Derivatives of the location with respect to coordinates [b, k], where it is `location` [b, n]: [b, k, n]."""
        found = np.empty((*coordinates.shape, location.shape[-1]))
        exact = self.slope(self.named(self.values(coordinates)), self.inputs(data), location)
        if exact is not None:
            for i, parameter in enumerate(self.parameters):
                found[:, i] = exact[parameter.name]
            return found
        for i in range(coordinates.shape[1]):
            step = _STEP * np.maximum(1.0, np.abs(coordinates[:, i]))
            moved = coordinates.copy()
            moved[:, i] += step
            found[:, i] = (self.locate(self.values(moved), data) - location) / step[:, None]
        return found

    def named(self, values: Array) -> Parameters:
        """Values of the parameters [..., k] by name."""
        return Parameters(values, self._places, self.name)

    def inputs(self, data: Mapping[str, Array]) -> Variables:
        """Columns of a table by name, [n] each: categories as positions in `levels`."""
        return Variables(data, self._categories, self.name)

    def vector(self, values: Mapping[str, float]) -> Array:
        """Values by name, or by attribute for whole families, as an array [k]. Raises KeyError for a missing one."""
        return np.array([values[p.name] if p.name in values else values[attribute_of(p.name)] for p in self.parameters])

    @cached_property
    def _places(self) -> Mapping[str, slice]:
        return places_of([p.name for p in self.parameters])

    @cached_property
    def _categories(self) -> frozenset[str]:
        return frozenset(v.name for v in self.variables if v.category)

    @cached_property
    def _logarithmic(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.array([p.scale == "log" for p in self.parameters])

    def values(self, coordinates: Array) -> Array:
        """Values of the parameters at the coordinates that are fitted, [..., k]."""
        return np.where(self._logarithmic, np.exp(np.where(self._logarithmic, coordinates, 0.0)), coordinates)

    def coordinates(self, values: Array) -> Array:
        """Inverse of `values`."""
        return np.where(self._logarithmic, np.log(np.where(self._logarithmic, values, 1.0)), values)

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest coordinates, [k] each."""
        low, high = np.array([[p.low, p.high] for p in self.parameters]).T
        return self.coordinates(low), self.coordinates(high)

    def restore(self, location: Array) -> Array:
        """The response at a location."""
        return from_scale(self.noise.scale, location)


def describe(form: Law) -> dict[str, Any]:
    """All that makes a law what it is, as plain JSON: formula, variables, parameters with bounds, noise, rivals."""
    return {
        "law": form.name,
        "title": form.title,
        "latex": form.latex,
        "source": form.source,
        "response": {"name": form.response.name, "unit": form.response.unit},
        "variables": [
            {"name": v.name, "unit": v.unit, "column": v.column, "measure": v.measure} for v in form.variables
        ],
        "parameters": [
            {
                "name": p.name,
                "unit": p.unit,
                "low": p.low,
                "high": p.high,
                "scale": p.scale,
                "published": [str(anchor) for anchor in p.anchors],
            }
            for p in form.parameters
        ],
        "noise": form.noise.to_json(),
        "rivals": [rival.latex for rival in form.rivals],
    }


registry: Registry[type[Law]] = Registry("law", "physlm.laws")
register = registry.register
