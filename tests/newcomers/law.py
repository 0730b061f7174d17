# A newcomer's law, which tests/test_one_file.py tries in a copy.
# Belongs to platform/physlm/laws/broken_power.py
r"""Loss against tokens with a break: one power until D₀, a steeper one beyond (Caballero et al. 2023).

    L(D) = E + A·(D/D₀)^(−α)·(1 + (D/D₀)^(1/s))^(−s·c)

nats per token after training on D tokens. A is the loss above the floor at D₀, were there no break; the exponent is α
well below D₀ and α + c well above. Equation 1 of the paper with one break; its sharpness s is fixed, since few grids
tell it from c.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.errors import LawDataError
from physlm.laws.examples import GRAMMAR, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

SOURCE = "Caballero et al. 2023 (arXiv 2210.14891), equation 1 with one break"
LOSS = Variable("L", "loss", "nats per token", measure="loss", high=50.0)
TOKENS = Variable("D", "tokens of training", "tokens", column="tokens", levels=6, low=1.0)
_SHARPNESS = 0.5
_FLOOR = Parameter("E", "loss after endless training", "nats per token", 1e-4, 20.0, (0.5, 1.5))
_AT_BREAK = Parameter("A", "loss above the floor at the break", "nats per token", 1e-4, 1e3, (0.5, 2.0))
_EXPONENT = Parameter("alpha", "exponent before the break", "1", 0.001, 3.0, (0.1, 0.4))


class _Broken(Law):
    response = LOSS
    variables = (TOKENS,)
    size = "D"


class OnePower(_Broken):
    """Rival: one power of the tokens, without a break."""

    name = "one power"
    title = "Loss as one power of tokens"
    latex = r"E + A (D / 10^6)^{-\alpha}"
    parameters = (_FLOOR, _AT_BREAK, _EXPONENT)

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.E + p.A * (x.D / 1e6) ** -p.alpha)


@register
class BrokenPower(_Broken):
    """The law: the exponent changes at so many tokens."""

    name = "broken_power"
    title = "Loss and tokens with a break"
    latex = r"L(D) = E + A (D / D_0)^{-\alpha} \left( 1 + (D / D_0)^{1/s} \right)^{-s c}"
    where = (r"s = 0.5",)
    source = SOURCE
    parameters = (
        _FLOOR,
        _AT_BREAK,
        _EXPONENT,
        Parameter("D_0", "tokens at the break", "tokens", 1.0, 1e15, (1e6, 1e7, 1e8)),
        Parameter("c", "what the break adds to the exponent", "1", 0.001, 3.0, (0.2, 0.6)),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (OnePower,)

    def predict(self, p: Parameters, x: Variables) -> Array:
        ratio = x.D / p.D_0
        return np.asarray(p.E + p.A * ratio**-p.alpha * (1 + ratio ** (1 / _SHARPNESS)) ** (-_SHARPNESS * p.c))

    def check(self, x: Variables) -> None:
        if x.D.max() < 10 * x.D.min():
            raise LawDataError("tokens span less than a factor of 10, where no break can be told; train for longer")

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """The exponent beyond the break."""
        return {"alpha + c": p.alpha + p.c}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        return [Quantity("alpha + c", "exponent after the break", "1", (Anchor(0.0, 1.0, SOURCE),))]

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame({"D": np.geomspace(1e4, 1e10, 25)})
        experiment = TinyExperiment(
            GRAMMAR,
            ["loss"],
            {"training.tokens": [100, 200, 400, 800, 1600, 3200, 6400, 12800]},
            truth={"E": 0.5, "A": 0.3, "alpha": 0.3, "D_0": 1000.0, "c": 0.6},
        )
        truth = {"E": 1.2, "A": 0.3, "alpha": 0.2, "D_0": 1e7, "c": 0.4}
        return Example(design, truth, pl.col("D") > 9e9, experiment, spread=0.001)
