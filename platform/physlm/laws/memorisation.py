r"""Total memorisation of random data (Morris et al. 2025).

    bits(P, B) = softmin(c·P, B)

of a data set of B random bits. Published: about 3.6 bits per parameter, of all bits rather than of knowledge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import polars as pl

from physlm.errors import LawDataError
from physlm.laws.capacity import SHARPNESS, SIZE, SOFTMIN, softmin
from physlm.laws.examples import Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

DATA = Variable("B", "information in the data", "bits", column="ceiling")
MEMORISED = Variable("bits", "bits memorised", "bits", measure="memorised_bits")
_SOURCE = "Morris et al. 2025 (arXiv 2505.24832)"


class _Memorisation(Law):
    response = MEMORISED
    variables = (SIZE, DATA)
    size = "P"
    where = (SOFTMIN,)


class PowerOfParameters(_Memorisation):
    """Rival: memory grows as a power of the parameters."""

    name = "power of parameters"
    title = "Memory as a power of size"
    latex = r"\operatorname{softmin}(c P_0 (P/P_0)^{\beta}, B), P_0 = 10^4"
    parameters = (
        Parameter("c", "memory at 10,000 parameters", "bits per parameter", 1e-2, 100.0, (2.0, 4.0)),
        Parameter("beta", "exponent", "1", 0.05, 5.0, (1.0,)),
        SHARPNESS,
    )

    def predict(self, p: Parameters, x: Variables) -> Array:
        size = 1e4 * (x.P / 1e4) ** p.beta
        return softmin(p.c * size, x.B, p.s)


@register
class Memorisation(_Memorisation):
    """The law: so many bits for each parameter, until there are no more."""

    name = "memorisation"
    title = "Total memorisation"
    latex = r"\mathrm{bits}(P, B) = \operatorname{softmin}(c\,P,\ B)"
    source = _SOURCE
    parameters = (
        Parameter(
            "c", "memory", "bits per parameter", 1e-2, 100.0, (2.0, 4.0), (Anchor(3.5, 3.6, f"{_SOURCE}: 3.5 to 3.6"),)
        ),
        SHARPNESS,
    )
    rivals: ClassVar[Sequence[type[Law]]] = (PowerOfParameters,)

    def predict(self, p: Parameters, x: Variables) -> Array:
        return softmin(p.c * x.P, x.B, p.s)

    def check(self, x: Variables) -> None:
        filled = x.bits / x.B
        if (filled > 1.2).any():
            raise LawDataError(
                f"{filled.max():.2f} times all bits there are were memorised; check that both are in bits"
            )
        if (filled > 0.95).all():
            raise LawDataError("every run has memorised all there is, so none shows its capacity; use more data")

    @classmethod
    def example(cls) -> Example:
        rows = [(p, b) for p in (1e4, 3e4, 1e5, 3e5) for b in (2e4, 8e4, 2.5e5, 8e5, 2.5e6)]
        experiment = TinyExperiment(
            {"type": "strings", "length": 8, "symbols": 16},
            ["memorised_bits"],
            {"task.strings": [50, 200, 800], "model.width": [8, 12]},
        )
        return Example(
            pl.DataFrame(rows, ["P", "B"], orient="row"), {"c": 3.6, "s": 8.0}, pl.col("P") == 3e5, experiment
        )
