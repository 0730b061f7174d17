r"""Knowledge capacity and its growth with exposures (Part 3.3, results 1 and 4).

A model with P parameters that has seen every fact E times has learned

    bits(P, E) = softmin(c(E)·P, B),    c(E) = c_max · E^γ / (E^γ + E₀^γ),    softmin(x, y) = (x^-s + y^-s)^(-1/s)

bits of a world that holds B. At 1,000 exposures c is about 2 bits per parameter, at 100 about 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.errors import LawDataError
from physlm.laws.examples import BIOGRAPHIES, SHOWN_FEW_TIMES, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

PART_3_3 = "Part 3.3 (arXiv 2404.05405)"

SIZE = Variable("P", "parameters in use", "parameters", column="parameters_counted", levels=2)
EXPOSURES = Variable("E", "times each fact was shown", "exposures", column="training.exposures", levels=3)
WORLD = Variable("B", "information in the world", "bits", measure="bits_max")
LEARNED = Variable("bits", "knowledge learned", "bits", measure="learned_bits")

# Below 3 a world would have to be several times too small before a model knew it; published models know 95 % of a world
# that asks for nine tenths of their capacity. Above 60 the transition is a corner.
SHARPNESS = Parameter("s", "sharpness of the transition to all there is to know", "1", 3.0, 60.0, (6.0, 20.0))
CAPACITY = Parameter(
    "c_max",
    "capacity after endless exposures",
    "bits per parameter",
    0.01,
    100.0,
    (1.5, 3.0),
    (
        Anchor(2.0, 2.3, f"{PART_3_3}: at least 2, at most 2.3"),
        Anchor(3.6, 3.6, "Morris et al. 2025 (all bits of random data, not knowledge)"),
    ),
)

# What is published about c(E), at its number of exposures.
PUBLISHED = (
    (100, Anchor(1.0, 1.0, f"{PART_3_3}: at least 1 at 100 exposures")),
    (1000, Anchor(2.0, 2.3, f"{PART_3_3}: 2 at 1,000 exposures, never above 2.3")),
)


SOFTMIN = r"\operatorname{softmin}(x, y) = (x^{-s} + y^{-s})^{-1/s}"


def softmin(x: Array, y: Array, sharpness: Array) -> Array:
    """(x^-s + y^-s)^(-1/s), without overflow; it is below both, and close to the smaller one for large s."""
    ratio = np.log(x) - np.log(y)
    smooth: Array = np.minimum(x, y) * np.exp(-np.log1p(np.exp(-sharpness * np.abs(ratio))) / sharpness)
    return smooth


def saturation(exposures: Array, half: Array, steepness: Array) -> Array:
    """E^γ / (E^γ + E₀^γ)."""
    share: Array = 1 / (1 + np.exp(-steepness * (np.log(exposures) - np.log(half))))
    return share


def capacities(exposures: Array) -> Sequence[Quantity]:
    """c(E) at each number of exposures that occurs, with what is published of it."""
    return [
        Quantity(
            f"c({e:.0f})",
            f"capacity after {e:,.0f} exposures",
            "bits per parameter",
            tuple(anchor for at, anchor in PUBLISHED if at == e),
        )
        for e in np.unique(exposures)
    ]


class _Capacity(Law):
    """What the law and its rivals share: the data, and that knowledge can't exceed the world."""

    response = LEARNED
    variables = (SIZE, EXPOSURES, WORLD)
    size = "P"
    where: ClassVar[Sequence[str]] = (SOFTMIN,)

    def per_parameter(self, p: Parameters, exposures: Array) -> Array:
        """c(E) in bits per parameter, at exposures [n]: [..., n]."""
        raise NotImplementedError

    def predict(self, p: Parameters, x: Variables) -> Array:
        return softmin(self.per_parameter(p, x.E) * x.P, x.B, p.s)


class ConstantCapacity(_Capacity):
    """Rival: exposures don't matter, c is a constant."""

    name = "constant capacity"
    title = "Capacity without exposures"
    latex = r"\operatorname{softmin}(c P, B)"
    symbols: ClassVar[Mapping[str, str]] = {"c_max": "c"}
    parameters = (CAPACITY, SHARPNESS)

    def per_parameter(self, p: Parameters, exposures: Array) -> Array:
        return p.c_max + 0 * exposures


class LogLinearExposures(_Capacity):
    """Rival: c grows as a power of the exposures, for ever."""

    name = "power law in exposures"
    title = "Capacity as a power of exposures"
    latex = r"\operatorname{softmin}(c_{1000} (E/1000)^{\gamma} P, B)"
    parameters = (
        Parameter("c_1000", "capacity at 1,000 exposures", "bits per parameter", 0.01, 100.0, (1.0, 2.0)),
        Parameter("gamma", "exponent", "1", 1e-3, 10.0, (0.2, 0.7)),
        SHARPNESS,
    )

    def per_parameter(self, p: Parameters, exposures: Array) -> Array:
        return p.c_1000 * (exposures / 1000) ** p.gamma


class PowerOfSize(_Capacity):
    """Rival: learned bits grow as a power of the parameters."""

    name = "power law in size"
    title = "Capacity as a power of size"
    latex = r"\operatorname{softmin}(c(E) P_0 (P/P_0)^{\beta}, B), P_0 = 10^4"
    where = (SOFTMIN, r"c(E) = c_{\max} \frac{E^{\gamma}}{E^{\gamma} + E_0^{\gamma}}")
    parameters = (
        CAPACITY,
        Parameter("E_0", "exposures for half of c_max", "exposures", 0.01, 1e5, (50.0, 300.0)),
        Parameter("gamma", "steepness", "1", 0.05, 20.0, (1.0, 2.0)),
        Parameter("beta", "exponent of the size", "1", 0.05, 5.0, (1.0,)),
        SHARPNESS,
    )

    def per_parameter(self, p: Parameters, exposures: Array) -> Array:
        return p.c_max * saturation(exposures, p.E_0, p.gamma)

    def predict(self, p: Parameters, x: Variables) -> Array:
        size = 1e4 * (x.P / 1e4) ** p.beta
        return softmin(self.per_parameter(p, x.E) * size, x.B, p.s)


@register
class Capacity(_Capacity):
    """The law: a capacity per parameter that saturates with exposures, and a world that may be too small."""

    name = "capacity"
    title = "Knowledge capacity and exposures"
    latex = (
        r"\mathrm{bits}(P, E) = \operatorname{softmin}(c(E)\,P,\ B), \quad "
        r"c(E) = c_{\max} \frac{E^{\gamma}}{E^{\gamma} + E_0^{\gamma}}"
    )
    parameters = (
        CAPACITY,
        Parameter("E_0", "exposures for half of c_max", "exposures", 0.01, 1e5, (50.0, 300.0)),
        Parameter("gamma", "steepness of the growth with exposures", "1", 0.05, 20.0, (1.0, 2.0)),
        SHARPNESS,
    )
    rivals: ClassVar[Sequence[type[Law]]] = (ConstantCapacity, LogLinearExposures, PowerOfSize)

    def per_parameter(self, p: Parameters, exposures: Array) -> Array:
        return p.c_max * saturation(exposures, p.E_0, p.gamma)

    def check(self, x: Variables) -> None:
        filled = x.bits / x.B
        if (filled > 1.2).any():  # a little more than all may be noise
            raise LawDataError(
                f"{filled.max():.2f} times the world's information was learned in one run; check that both are in bits"
            )
        if (filled > 0.95).all():
            raise LawDataError("every run has learned all there is to know, so none shows its capacity; use more facts")

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """c(E) at each number of exposures that was observed."""
        return {f"c({e:.0f})": self.per_parameter(p, np.array([e])) for e in np.unique(x.E)}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        return capacities(x.E)

    @classmethod
    def example(cls) -> Example:
        rows = [(p, e, 20_112.0) for p in (4620.0, 7696.0, 11540.0, 16152.0) for e in (100.0, 300.0, 1000.0)]
        truth = {"c_max": 1.9, "E_0": 180.0, "gamma": 1.8, "s": 12.0}
        experiment = TinyExperiment(
            BIOGRAPHIES,
            ["knowledge_bits"],
            {"model.width": [8, 12], **SHOWN_FEW_TIMES},
            truth={"c_max": 2.5, "E_0": 2.0, "gamma": 1.5, "s": 8.0},
        )
        return Example(pl.DataFrame(rows, ["P", "E", "B"], orient="row"), truth, pl.col("P") == 16152, experiment)
