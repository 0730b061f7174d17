r"""Capacity and exposures (Part 3.3, results 1 and 4), on worlds too large to be learned whole.

    c(E) = c_∞ · E^γ / (E^γ + E₀^γ)

bits per parameter after E exposures of each fact. The form is ours; at 100 exposures at least 1 is published, at 1,000
about 2. The law `capacity` says the same of worlds that may be learned whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.capacity import CAPACITY, capacities, saturation
from physlm.laws.examples import BIOGRAPHIES, SHOWN_FEW_TIMES, Example, TinyExperiment
from physlm.laws.law import Law, Parameter, Quantity, register
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

PER_PARAMETER = Variable(
    "c", "knowledge learned per parameter", "bits per parameter", measure="bits_per_parameter", high=64.0
)
SHOWN = Variable("E", "times each fact was shown", "exposures", column="training.exposures", levels=4, low=1e-3)


class _Exposures(Law):
    response = PER_PARAMETER
    variables = (SHOWN,)
    size = "E"


class PowerOfExposures(_Exposures):
    """Rival: growth as a power, for ever."""

    name = "power of exposures"
    title = "Capacity as a power of exposures"
    latex = r"c_{1000} (E / 1000)^{\gamma}"
    parameters = (
        Parameter("c_1000", "capacity at 1,000 exposures", "bits per parameter", 1e-3, 100.0, (1.0, 2.0)),
        Parameter("gamma", "exponent", "1", 1e-3, 10.0, (0.2, 0.7)),
    )

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.c_1000 * (x.E / 1000) ** p.gamma)


class Logarithm(_Exposures):
    """Rival: growth with the logarithm of the exposures."""

    name = "logarithm of exposures"
    title = "Capacity as a logarithm of exposures"
    latex = r"\kappa \ln(1 + E / E_0)"
    parameters = (
        Parameter("kappa", "bits per e-fold of exposures", "bits per parameter", 1e-3, 100.0, (0.3, 1.0)),
        Parameter("E_0", "exposures at which growth slows", "exposures", 1e-3, 1e6, (10.0, 100.0)),
    )

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.kappa * np.log1p(x.E / p.E_0))


@register
class Exposures(_Exposures):
    """The law: capacity saturates."""

    name = "exposures"
    title = "Capacity per parameter and exposures"
    latex = r"c(E) = c_{\max} \frac{E^{\gamma}}{E^{\gamma} + E_0^{\gamma}}"
    source = "Part 3.3 (arXiv 2404.05405), results 1 and 4; the form is ours"
    parameters = (
        CAPACITY,
        Parameter("E_0", "exposures for half of c_max", "exposures", 0.01, 1e5, (50.0, 300.0)),
        Parameter("gamma", "steepness of the growth with exposures", "1", 0.05, 20.0, (1.0, 2.0)),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (PowerOfExposures, Logarithm)

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.c_max * saturation(x.E, p.E_0, p.gamma))

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """c(E) at each number of exposures that was observed."""
        return {f"c({e:.0f})": self.predict(p, self.inputs({"E": np.array([e])})) for e in np.unique(x.E)}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        return capacities(x.E)

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame({"E": [10.0, 30.0, 100.0, 200.0, 300.0, 600.0, 1000.0, 3000.0]})
        experiment = TinyExperiment(
            BIOGRAPHIES, ["knowledge_bits"], SHOWN_FEW_TIMES, truth={"c_max": 2.2, "E_0": 2.0, "gamma": 1.5}
        )
        return Example(design, {"c_max": 2.2, "E_0": 110.0, "gamma": 1.3}, pl.col("E") == 3000, experiment)
