r"""Loss, parameters and tokens (Hoffmann et al. 2022; Besiroglu et al. 2024; law 14 of the catalogue).

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

from physlm.laws.law import Anchor, Example, Law, Parameter, Quantity, register
from physlm.laws.noise import Huber, Noise
from physlm.laws.scales import Array
from physlm.laws.separable import SeparableLaw
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


def powers(exponents: Array, *inputs: Array) -> Array:
    """x_i^(−p_i) for exponents [..., m] and as many inputs [n]: [..., m, n]."""
    found: Array = exponents[..., None] * -np.log(np.stack(inputs))
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

    def location(self, parameters: Array, data: Mapping[str, Array]) -> Array:
        size, tokens, alpha, beta = np.moveaxis(parameters[..., None], -2, 0)
        model = alpha / beta * (np.log(size) - np.log(data["N"]))
        return np.asarray(beta * np.logaddexp(model, np.log(tokens) - np.log(data["D"])))

    def predict(self, parameters: Array, data: Mapping[str, Array]) -> Array:
        return np.asarray(np.exp(self.location(parameters, data)))


class IsoFlop(_Losses):
    """Rival: a parabola in ln N at each compute, about the best size; biased by wide or lopsided grids."""

    name = "isoFLOP parabolas"
    title = "Loss as parabolas at equal compute"
    latex = r"E + k C^{-\gamma} + \kappa \ln^2\!\left( \frac{N}{g\,(C / C_0)^{a}} \right), C = 6 N D, C_0 = 10^{18}"
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

    def predict(self, parameters: Array, data: Mapping[str, Array]) -> Array:
        floor, k, gamma, curvature, best, a = np.moveaxis(parameters[..., None], -2, 0)
        compute = np.log(6 * data["N"] * data["D"] / 1e18)
        away = np.log(data["N"]) - np.log(best) - a * compute
        return np.asarray(floor + k * np.exp(-gamma * compute) + curvature * away**2)


class AboveFloor(SeparableLaw):
    """E + A·N^-α + B·D^-β: linear in its floor and its two coefficients."""

    linear = 3
    grids = EXPONENTS

    def basis(self, shape: Array, data: Mapping[str, Array]) -> Array:
        terms = np.ones((*shape.shape[:-1], 3, len(data["N"])))
        terms[..., 1:, :] = powers(shape, data["N"], data["D"])
        return terms

    def basis_slope(self, shape: Array, basis: Array, data: Mapping[str, Array]) -> Array:
        found = np.zeros((*shape.shape, *basis.shape[-2:]))
        found[..., 0, 1, :] = -np.log(data["N"]) * basis[..., 1, :]
        found[..., 1, 2, :] = -np.log(data["D"]) * basis[..., 2, :]
        return found


@register
class Chinchilla(_Losses, AboveFloor):
    """The law: what size and data lack adds up, above a floor."""

    name = "chinchilla"
    title = "Loss, parameters and tokens"
    latex = r"L(N, D) = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}"
    source = f"{HOFFMANN}; {REFIT}"
    parameters = (FLOOR, SIZE_TERM, DATA_TERM, ALPHA, BETA)
    rivals: ClassVar[Sequence[type[Law]]] = (Kaplan, IsoFlop)

    def predict(self, parameters: Array, data: Mapping[str, Array]) -> Array:
        terms = powers(parameters[..., 3:], data["N"], data["D"])
        terms *= parameters[..., 1:3, None]
        found: Array = terms[..., 0, :]
        found += terms[..., 1, :]
        found += parameters[..., :1]
        return found

    def slope(self, coordinates: Array, location: Array, data: Mapping[str, Array]) -> Array:
        values = self.values(coordinates)
        found = np.empty((*coordinates.shape, location.shape[-1]))
        found[:, :1] = values[:, :1, None]
        found[:, 1:3] = powers(values[:, 3:], data["N"], data["D"])
        found[:, 1:3] *= values[:, 1:3, None]
        found[:, :3] *= np.exp(-location)[:, None]
        np.multiply(found[:, 1:3], -np.log(np.stack([data["N"], data["D"]])), out=found[:, 3:])
        return found

    def optimum(self, parameters: Array, compute: Array) -> tuple[Array, Array]:
        """The best size and number of tokens for compute in FLOPs: parameters [..., 5], compute [c] -> [..., c]."""
        _, a, b, alpha, beta = np.moveaxis(parameters[..., None], -2, 0)
        size = (alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (compute / 6) ** (beta / (alpha + beta))
        return np.asarray(size), np.asarray(compute / (6 * size))

    def derived(self, parameters: Array, data: Mapping[str, Array]) -> Mapping[str, Array]:
        """Tokens for each parameter at the most compute observed, and the exponent of the best size."""
        size, tokens = self.optimum(parameters, np.array([(6 * data["N"] * data["D"]).max()]))
        return {"D/N": (tokens / size)[..., 0], "a": parameters[..., 4] / (parameters[..., 3] + parameters[..., 4])}

    def derived_quantities(self, data: Mapping[str, Array]) -> Sequence[Quantity]:
        compute = (6 * data["N"] * data["D"]).max()
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
        best, _ = cls().optimum(np.array(list(truth.values())), budgets)
        size = best[:, None] * np.geomspace(1 / 8, 8, 15)
        tokens = budgets[:, None] / (6 * size)
        largest = np.repeat(budgets == budgets[-1], 15)
        design = pl.DataFrame({"N": size.ravel(), "D": tokens.ravel(), "largest": largest})
        return Example(design, truth, pl.col("largest"), spread=0.002)
