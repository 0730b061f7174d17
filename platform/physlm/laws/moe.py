r"""Capacity of mixtures of experts, per parameter of all experts (Part 3.3, result 9).

    c(X, E) = c₁(E) · X^(−κ(E))

for X experts of which one is active for each token, after E exposures. The form is ours. Published for 32 experts are
1.3 times worse at 1,000 exposures and 1.5 times at 100, but in Part 4.1 up to 10 times at 100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.architecture import SHOWN
from physlm.laws.examples import BIOGRAPHIES, Example, TinyExperiment
from physlm.laws.exposures import PER_PARAMETER
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

EXPERTS = Variable(
    "X",
    "experts in each layer",
    "experts",
    column="experts",
    made="""CASE WHEN "model.mlp" = 'experts' THEN "model.experts" ELSE 1 END""",
    levels=3,
    low=1.0,
    high=1e6,
)
_PUBLISHED = {
    "1000": (Anchor(1.3, 1.3, "Part 3.3 (arXiv 2404.05405), result 9: 1.3 times worse"),),
    "100": (
        Anchor(1.5, 1.5, "Part 3.3 (arXiv 2404.05405), result 9: 1.5 times worse"),
        Anchor(10.0, 10.0, "Part 4.1 (SSRN 5240330): as much as 10 times worse"),
    ),
}


class _Moe(Law):
    response = PER_PARAMETER
    variables = (EXPERTS, SHOWN)
    size = "X"

    def _dense(self) -> list[Parameter]:
        return [
            Parameter(
                f"c_1[{e}]", f"capacity of the dense model at {e} exposures", "bits per parameter", 1e-3, 1e2, (1.5,)
            )
            for e in self.levels.get("E", ())
        ]


class NoCost(_Moe):
    """Rival: experts cost no capacity."""

    name = "experts cost nothing"
    title = "Capacity whatever the experts"
    latex = r"c_1(E)"

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        self.parameters = self._dense()

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.c_1[..., x.E])


class OneExponent(_Moe):
    """Rival: the cost doesn't depend on exposures."""

    name = "one exponent"
    title = "Cost of experts whatever the exposures"
    latex = r"c_1(E)\, X^{-\kappa}"

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        self.parameters = [
            *self._dense(),
            Parameter("kappa", "exponent of the cost", "1", -5.0, 5.0, (0.1,), scale="linear"),
        ]

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.c_1[..., x.E] * x.X**-p.kappa)


@register
class MixtureOfExperts(_Moe):
    """The law: a power of the number of experts, at each number of exposures."""

    name = "moe"
    title = "Mixtures of experts and capacity"
    latex = r"c(X, E) = c_1(E)\, X^{-\kappa(E)}"
    source = "Part 3.3 (arXiv 2404.05405), result 9; the form is ours"
    rivals: ClassVar[Sequence[type[Law]]] = (OneExponent, NoCost)

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        self.parameters = [
            *self._dense(),
            *(
                Parameter(
                    f"kappa[{e}]", f"exponent of the cost at {e} exposures", "1", -5.0, 5.0, (0.1,), scale="linear"
                )
                for e in self.levels.get("E", ())
            ),
        ]

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.c_1[..., x.E] * x.X ** -p.kappa[..., x.E])

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """How many times less 32 experts store than one."""
        return {f"x_32[{e}]": 32.0 ** p.kappa[..., [i]] for i, e in enumerate(self.levels["E"])}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        return [
            Quantity(f"x_32[{e}]", f"times less that 32 experts store at {e} exposures", "1", _PUBLISHED.get(e, ()))
            for e in self.levels["E"]
        ]

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame(
            [(x, e) for x in (1.0, 4.0, 8.0, 16.0, 32.0) for e in (100, 1000)], ["X", "E"], orient="row"
        )
        kappa = {e: float(np.log(ratio) / np.log(32)) for e, ratio in (("100", 1.5), ("1000", 1.3))}
        truth = {"c_1[100]": 1.1, "c_1[1000]": 2.0, **{f"kappa[{e}]": k for e, k in kappa.items()}}
        experiment = TinyExperiment(
            BIOGRAPHIES,
            ["knowledge_bits"],
            {"model.experts": [2, 4, 8], "training.exposures": [1, 2]},
            model={"mlp": "experts"},
            truth={"c_1[1]": 1.0, "c_1[2]": 2.0, "kappa[1]": 0.1, "kappa[2]": 0.05},
        )
        return Example(design, truth, pl.col("X") == 32, experiment)
