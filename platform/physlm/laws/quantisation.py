r"""Capacity after rounding the weights to b bits (Part 3.3, result 8).

    c(b) = c_f · b^γ / (b^γ + b₀^γ)

bits of knowledge per parameter. The form is ours; published are no loss at 8 bits and less than half at 4.
Measures such as `knowledge_bits@int8` give a run's capacity at 8 bits, beside `knowledge_bits` for exact weights, taken
for 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.capacity import SOFTMIN, saturation, softmin
from physlm.laws.examples import BIOGRAPHIES, Example, TinyExperiment
from physlm.laws.exposures import PER_PARAMETER
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 3.3 (arXiv 2404.05405), result 8"
BITS = Variable("b", "bits of a stored weight", "bits", column="{b}", otherwise=16, levels=3, low=1.0, high=64.0)
ROUNDED = replace(PER_PARAMETER, measure=r"bits_per_parameter(_int(?P<b>\d+))?")
FULL = Parameter("c_f", "capacity with exact weights", "bits per parameter", 1e-2, 100.0, (1.0, 2.0))
_PUBLISHED = {
    8: Anchor(1.0, 1.0, f"{_SOURCE}: no loss at 8 bits"),
    4: Anchor(0.0, 0.5, f"{_SOURCE}: more than 2 times worse at 4 bits"),
}


class _Quantisation(Law):
    response = ROUNDED
    variables = (BITS,)
    size = "b"


class StorageLimit(_Quantisation):
    """Rival: knowledge can fill a fixed share of the stored bits, up to the capacity."""

    name = "share of stored bits"
    title = "Capacity limited by storage"
    latex = r"\operatorname{softmin}(c_f, \kappa b)"
    where = (SOFTMIN, "s = 12")
    parameters = (FULL, Parameter("kappa", "knowledge per stored bit", "1", 1e-3, 10.0, (0.15, 0.3)))

    def predict(self, p: Parameters, x: Variables) -> Array:
        return softmin(p.c_f + 0 * x.b, p.kappa * x.b, np.array(12.0))


class NoLoss(_Quantisation):
    """Rival: rounding costs nothing."""

    name = "no loss"
    title = "Capacity whatever the rounding"
    latex = r"c_f"
    parameters = (FULL,)

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.c_f + 0 * x.b)


@register
class Quantisation(_Quantisation):
    """The law: a threshold in bits below which knowledge is lost."""

    name = "quantisation"
    title = "Rounded weights and capacity"
    latex = r"c(b) = c_f \frac{b^{\gamma}}{b^{\gamma} + b_0^{\gamma}}"
    source = f"{_SOURCE}; the form is ours"
    parameters = (
        FULL,
        Parameter("b_0", "bits at which half the capacity is left", "bits", 0.1, 64.0, (3.0, 5.0)),
        Parameter("gamma", "steepness of the loss", "1", 0.1, 100.0, (3.0, 8.0)),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (StorageLimit, NoLoss)

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.c_f * saturation(x.b, p.b_0, p.gamma))

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """Capacity left at each rounding, relative to exact weights."""
        return {f"r({b:.3g})": saturation(np.array([b]), p.b_0, p.gamma) for b in np.unique(x.b)[::-1]}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        return [
            Quantity(
                f"r({b:.3g})",
                f"capacity left at {b:.3g} bits",
                "1",
                (_PUBLISHED[int(b)],) if b in _PUBLISHED else (),
                scale="logit",
            )
            for b in np.unique(x.b)[::-1]
        ]

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame({"b": [16.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0]})
        experiment = TinyExperiment(
            BIOGRAPHIES,
            ["knowledge_bits", *(f"knowledge_bits@int{bits}" for bits in (8, 6, 5, 4, 3))],
            {"model.width": [8, 12]},
        )
        return Example(design, {"c_f": 2.0, "b_0": 4.3, "gamma": 8.0}, pl.col("b") == 6, experiment)
