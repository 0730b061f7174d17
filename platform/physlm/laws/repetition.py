r"""Repeated tokens are worth less than fresh ones (Muennighoff et al. 2023).

    L = E + A/N^α + B/D'^β,    D' = U + U·R*·(1 − e^(−R/R*)),    R = D/U − 1

for D tokens of training of which U are different. R* is after how many repetitions the worth has fallen to 1/e;
published are about 15, and that up to 4 epochs are as good as fresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.errors import LawDataError
from physlm.laws.cfg_kl import FreeFloor
from physlm.laws.chinchilla import ALPHA, BETA, DATA_TERM, FLOOR, LOSS, SIZE, SIZE_TERM, TOKENS, AboveFloor, decay
from physlm.laws.examples import BIOGRAPHIES, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.noise import Huber, Noise
from physlm.laws.scales import Array
from physlm.laws.separable import SeparableLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Muennighoff et al. 2023 (arXiv 2305.16264)"
UNIQUE = Variable(
    "U",
    "different tokens",
    "tokens",
    column="unique_tokens",
    made="CASE WHEN exposures > 1 THEN tokens / exposures ELSE tokens END",
    levels=2,
    low=1.0,
)


class _Repetition(Law):
    response = LOSS
    variables = (SIZE, TOKENS, UNIQUE)
    size = "N"
    noise: ClassVar[Noise] = Huber()


class AllFresh(_Repetition, AboveFloor):
    """Rival: repeated tokens are as good as fresh ones."""

    name = "as good as fresh"
    title = "Loss whatever the repetition"
    latex = r"E + A N^{-\alpha} + B D^{-\beta}"
    parameters = FreeFloor.parameters


@register
class Repetition(_Repetition, SeparableLaw):
    """The law: the worth of a repetition decays exponentially."""

    name = "repetition"
    title = "Repeated data"
    latex = (
        r"L = E + \frac{A}{N^{\alpha}} + \frac{B}{D'^{\beta}}, \quad "
        r"D' = U + U R^{*} \left( 1 - e^{-R / R^{*}} \right), \quad R = D/U - 1"
    )
    source = f"{_SOURCE}, equation 5, for the data alone"
    parameters = (
        FLOOR,
        SIZE_TERM,
        DATA_TERM,
        ALPHA,
        BETA,
        Parameter(
            "R*",
            "repetitions after which the worth has decayed",
            "repetitions",
            0.05,
            1e5,
            (5.0, 15.0),
            (Anchor(15.0, 15.4, _SOURCE),),
        ),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (AllFresh,)
    linear = ("E", "A", "B")
    grids = (np.geomspace(0.05, 1.5, 20), np.geomspace(0.05, 1.5, 20), np.array([1.0, 4.0, 15.0, 60.0]))

    def worth(self, p: Parameters, x: Variables) -> Array:
        """D', the fresh tokens that those of training are worth, [..., n]."""
        repeated = x.D / x.U - 1
        return np.asarray(x.U * (1 - p.R_star * np.expm1(-repeated / p.R_star)))

    def terms(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        return {"E": np.ones(1), "A": decay(p.alpha, x.N), "B": np.exp(-p.beta * np.log(self.worth(p, x)))}

    def term_slopes(self, p: Parameters, x: Variables, terms: Mapping[str, Array]) -> Mapping[tuple[str, str], Array]:
        worth = self.worth(p, x)
        ratio = (x.D / x.U - 1) / p.R_star
        worth_slope = x.U * (-np.expm1(-ratio) - ratio * np.exp(-ratio))  # dD'/dR*
        return {
            ("A", "alpha"): -np.log(x.N) * terms["A"],
            ("B", "beta"): -np.log(worth) * terms["B"],
            ("B", "R*"): -p.beta * worth_slope / worth * terms["B"],
        }

    def check(self, x: Variables) -> None:
        if (x.U > 1.001 * x.D).any():
            raise LawDataError(
                "U (different tokens) is larger than D (tokens of training) in one row; swap the columns"
            )
        if (x.D < 1.5 * x.U).all():
            raise LawDataError(
                "no run repeats its data, so what a repetition is worth can't be told; train for more epochs"
            )

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """What four epochs are worth, relative to as many fresh tokens."""
        return {"worth(4)": self.worth(p, self.inputs({"D": np.array([4.0]), "U": np.ones(1)})) / 4}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        anchor = Anchor(0.9, 1.0, f"{_SOURCE}: up to 4 epochs are almost as good as fresh")
        return [Quantity("worth(4)", "worth of four epochs relative to fresh data", "1", (anchor,), scale="logit")]

    @classmethod
    def example(cls) -> Example:
        rows = [
            (n, u * epochs, u)
            for n in (1e6, 3e6, 1e7, 3e7)
            for u in (1e7, 1e8, 1e9)
            for epochs in (1.0, 4.0, 16.0, 64.0)
        ]
        truth = {"E": 1.8, "A": 480.0, "B": 2000.0, "alpha": 0.35, "beta": 0.37, "R*": 15.0}
        experiment = TinyExperiment(
            BIOGRAPHIES,
            ["loss"],
            {"model.width": [8, 12, 16], "task.people": [40, 80, 160], "training.exposures": [1, 4, 16]},
            training={"context_length": 64},
            seeds=(0,),
            truth={"E": 0.5, "A": 3.0, "B": 30.0, "alpha": 0.4, "beta": 0.45, "R*": 5.0},
        )
        return Example(
            pl.DataFrame(rows, ["N", "D", "U"], orient="row"), truth, pl.col("N") == 3e7, experiment, spread=0.002
        )
