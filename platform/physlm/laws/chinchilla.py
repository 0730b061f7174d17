r"""Loss, parameters and tokens (Hoffmann et al. 2022; Besiroglu et al. 2024).

    L(N, D) = E + A/N^α + B/D^β

nats per token after training N parameters on D tokens. With a compute of C = 6·N·D the best size is
N_opt = G·(C/6)^a with a = β/(α+β) and G = (αA/(βB))^(1/(α+β)). Fitted as practice has it, with Huber's loss of the
logarithm, delta 10⁻³, summed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import GRAMMAR, SIZES_AND_TOKENS, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.noise import Huber, Noise
from physlm.laws.scales import Array
from physlm.laws.separable import SeparableLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

REFIT = "Besiroglu et al. 2024 (arXiv 2404.10102), refit of Hoffmann et al."
HOFFMANN = "Hoffmann et al. 2022 (arXiv 2203.15556), approach 3"

LOSS = Variable("L", "loss", "nats per token", measure="loss", high=50.0)
SIZE = Variable("N", "parameters", "parameters", column="parameters_counted", levels=3, low=1.0)
TOKENS = Variable("D", "tokens of training", "tokens", column="tokens", levels=3, low=1.0)


def _published(refit: float, error: float, hoffmann: float) -> tuple[Anchor, ...]:
    reach = 1.96 * error
    return Anchor(refit - reach, refit + reach, REFIT), Anchor(hoffmann, hoffmann, HOFFMANN)


FLOOR = Parameter(
    "E", "loss of a perfect model", "nats per token", 1e-4, 20.0, (0.5, 1.5), _published(1.8169, 0.026, 1.69)
)
SIZE_TERM = Parameter(
    "A",
    "loss for want of size, at one parameter",
    "nats per token",
    1e-4,
    1e15,
    (1e2,),
    _published(482.0, 124.5, 406.4),
)
DATA_TERM = Parameter(
    "B", "loss for want of data, at one token", "nats per token", 1e-4, 1e15, (1e3,), _published(2085.4, 1293.0, 410.7)
)
ALPHA = Parameter("alpha", "exponent of size", "1", 0.01, 3.0, (0.3,), _published(0.3478, 0.015, 0.339), scale="linear")
BETA = Parameter("beta", "exponent of data", "1", 0.01, 3.0, (0.35,), _published(0.3658, 0.021, 0.285), scale="linear")

# 67 by 68 pairs of exponents; each stands for all values of E, A and B.
EXPONENTS = (np.geomspace(0.02, 2.5, 67), np.geomspace(0.02, 2.5, 68))


def decay(exponent: Array, amount: Array) -> Array:
    """amount^(−exponent), for an exponent [..., 1] and amounts [n]: [..., n]."""
    found: Array = exponent * -np.log(amount)
    return np.exp(found, out=found)


class _Losses(Law):
    response = LOSS
    variables = (SIZE, TOKENS)
    size = "N"
    noise: ClassVar[Noise] = Huber()


class Kaplan(_Losses):
    """Rival: the form of Kaplan et al. 2020 (arXiv 2001.08361), equation 1.5, without a floor."""

    name = "Kaplan"
    title = "Loss as Kaplan et al. have it"
    latex = r"\left[ \left( \frac{N_c}{N} \right)^{\alpha_N / \alpha_D} + \frac{D_c}{D} \right]^{\alpha_D}"
    parameters = (
        Parameter("N_c", "size of a loss of 1 nat", "parameters", 1.0, 1e30, (1e6, 1e10, 1e14)),
        Parameter("D_c", "tokens of a loss of 1 nat", "tokens", 1.0, 1e30, (1e8, 1e13)),
        Parameter(
            "alpha_N", "exponent of size", "1", 1e-3, 3.0, (0.08, 0.3), (Anchor(0.076, 0.076, "Kaplan et al. 2020"),)
        ),
        Parameter(
            "alpha_D", "exponent of data", "1", 1e-3, 3.0, (0.1, 0.3), (Anchor(0.103, 0.103, "Kaplan et al. 2020"),)
        ),
    )

    def location(self, p: Parameters, x: Variables) -> Array:
        model = p.alpha_N / p.alpha_D * (np.log(p.N_c) - np.log(x.N))
        return np.asarray(p.alpha_D * np.logaddexp(model, np.log(p.D_c) - np.log(x.D)))

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(np.exp(self.location(p, x)))


class IsoFlop(_Losses):
    """Rival: a parabola in ln N at each compute, about the best size; biased by wide or lopsided grids."""

    name = "isoFLOP parabolas"
    title = "Loss as parabolas at equal compute"
    latex = (
        r"E + k (C / C_0)^{-\gamma} + \kappa \ln^2\!\left( \frac{N}{g\,(C / C_0)^{a}} \right), C = 6 N D, C_0 = 10^{18}"
    )
    parameters = (
        FLOOR,
        Parameter("k", "reducible loss at C_0", "nats per token", 1e-4, 1e3, (0.5,)),
        Parameter("gamma", "exponent of compute", "1", 1e-3, 2.0, (0.1, 0.2)),
        Parameter("kappa", "curvature", "nats per token", 1e-5, 10.0, (0.02, 0.1)),
        Parameter("g", "best size at C_0", "parameters", 1.0, 1e15, (1e6, 1e8)),
        Parameter(
            "a",
            "exponent of the best size",
            "1",
            0.0,
            1.0,
            (0.5,),
            (Anchor(0.49, 0.49, "Hoffmann et al. 2022, approach 2"),),
            scale="linear",
        ),
    )

    def predict(self, p: Parameters, x: Variables) -> Array:
        compute = np.log(6 * x.N * x.D / 1e18)
        away = np.log(x.N) - np.log(p.g) - p.a * compute
        return np.asarray(p.E + p.k * np.exp(-p.gamma * compute) + p.kappa * away**2)


class AboveFloor(SeparableLaw):
    """E + A·N^-α + B·D^-β: linear in its floor and its two coefficients."""

    linear = ("E", "A", "B")
    grids = EXPONENTS

    def terms(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        return {"E": np.ones(1), "A": decay(p.alpha, x.N), "B": decay(p.beta, x.D)}

    def term_slopes(self, p: Parameters, x: Variables, terms: Mapping[str, Array]) -> Mapping[tuple[str, str], Array]:
        return {("A", "alpha"): -np.log(x.N) * terms["A"], ("B", "beta"): -np.log(x.D) * terms["B"]}


@register
class Chinchilla(_Losses, AboveFloor):
    """The law: what size and data lack adds up, above a floor."""

    name = "chinchilla"
    title = "Loss, parameters and tokens"
    latex = r"L(N, D) = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}"
    source = f"{HOFFMANN}; {REFIT}"
    parameters = (FLOOR, SIZE_TERM, DATA_TERM, ALPHA, BETA)
    rivals: ClassVar[Sequence[type[Law]]] = (Kaplan, IsoFlop)

    def predict(self, p: Parameters, x: Variables) -> Array:
        found = decay(p.alpha, x.N)
        found *= p.A
        data = decay(p.beta, x.D)
        data *= p.B
        found += data
        found += p.E
        return found

    def slope(self, p: Parameters, x: Variables, location: Array) -> Mapping[str, Array]:
        scale = np.exp(-location)
        size = decay(p.alpha, x.N) * p.A
        size *= scale
        data = decay(p.beta, x.D) * p.B
        data *= scale
        scale *= p.E
        return {"E": scale, "A": size, "B": data, "alpha": size * -np.log(x.N), "beta": data * -np.log(x.D)}

    def optimum(self, p: Parameters, compute: Array) -> tuple[Array, Array]:
        """The best size and number of tokens for compute in FLOPs [c]: [..., c]."""
        ratio = p.alpha * p.A / (p.beta * p.B)
        size = ratio ** (1 / (p.alpha + p.beta)) * (compute / 6) ** (p.beta / (p.alpha + p.beta))
        return np.asarray(size), np.asarray(compute / (6 * size))

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """Tokens for each parameter at the most compute observed, and the exponent of the best size."""
        size, tokens = self.optimum(p, np.array([(6 * x.N * x.D).max()]))
        return {"D/N": tokens / size, "a": p.beta / (p.alpha + p.beta)}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        compute = (6 * x.N * x.D).max()
        return [
            Quantity("D/N", f"best tokens for each parameter at {compute:.2g} FLOPs", "tokens per parameter"),
            Quantity(
                "a", "exponent of the best size with compute", "1", (Anchor(0.474, 0.552, f"{REFIT}: 0.513"),), "linear"
            ),
        ]

    @classmethod
    def example(cls) -> Example:
        """240 runs around the best sizes of budgets like those of Hoffmann et al.: 15 sizes by 16 budgets."""
        budgets = np.geomspace(6e18, 3e21, 16)
        truth = {"E": 1.8169, "A": 482.0, "B": 2085.4, "alpha": 0.3478, "beta": 0.3658}
        best, _ = cls().optimum(cls().named(cls().vector(truth)), budgets)
        size = best[:, None] * np.geomspace(1 / 8, 8, 15)
        tokens = budgets[:, None] / (6 * size)
        largest = np.repeat(budgets == budgets[-1], 15)
        design = pl.DataFrame({"N": size.ravel(), "D": tokens.ravel(), "largest": largest})
        experiment = TinyExperiment(
            GRAMMAR, ["loss"], SIZES_AND_TOKENS, truth={"E": 0.5, "A": 3.0, "B": 30.0, "alpha": 0.5, "beta": 0.45}
        )
        return Example(design, truth, pl.col("largest"), experiment, spread=0.002)
