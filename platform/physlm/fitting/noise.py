"""What a law's noise means for a fit: the loss that is minimised, observation by observation, and what follows from it.

Each kind of noise gives, for a location η on its scale, the loss ℓ(η), its slope and a positive curvature: the expected
one where ℓ is a likelihood, a majorising one where it is robust (Holland and Welsch 1977). The engine needs no more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np
from scipy import stats
from scipy.special import expit, log_ndtr

from physlm.laws.noise import Binomial, Censored, Envelope, Huber, LogNormal, Noise, Normal
from physlm.laws.scales import Array, from_scale

N = TypeVar("N", bound=Noise)
HuberT = TypeVar("HuberT", bound=Huber)
_TINY = 1e-300


class Loss(NamedTuple):
    """Of each observation at its location: value, slope and curvature, [..., n] each."""

    value: Array
    slope: Array
    curvature: Array


@dataclass(frozen=True)
class Likelihood(ABC, Generic[N]):
    """What a fit under a noise minimises."""

    noise: N

    @abstractmethod
    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        """Loss at location [..., n] of outcomes [n] on the scale of the response."""

    def updated(self, location: Array, outcome: Array, detail: Array, freedom: int) -> Self:
        """This likelihood with the noise's own parameters, if it has some, fitted at the location."""
        return self

    def dispersion(self, location: Array, outcome: Array, detail: Array, freedom: int) -> float:
        """Variance of an observation, in units of what the loss takes for granted; freedom: of the residuals."""
        _, slope, curvature = self.loss(location, outcome, detail)
        return float((slope**2 / curvature).sum() / freedom)

    def profiled(self, location: Array, outcome: Array, detail: Array, dispersion: float) -> float:
        """By what a difference of losses is divided to be half a square of standard deviations."""
        return dispersion

    def lack(self, total: float, detail: Array, dispersion: float) -> float:
        """Minus twice the logarithm of the likelihood, up to a constant; total: the sum of the losses."""
        return len(detail) * float(np.log(max(2 * total / len(detail), _TINY)))

    def predictive(
        self, location: Array, below: Array, above: Array, detail: float, dispersion: float, freedom: int, level: float
    ) -> tuple[float, float]:
        """Interval of a new response at a location [1] whose own interval reaches so far below and above."""
        wobble = stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(dispersion)
        low, high = location - np.hypot(below, wobble), location + np.hypot(above, wobble)
        return float(from_scale(self.noise.scale, low)[0]), float(from_scale(self.noise.scale, high)[0])


class RelativeSquares(Likelihood[LogNormal]):
    """Least squares of logarithms."""

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        residual = location - np.log(outcome)
        return Loss(residual**2 / 2, residual, np.ones_like(residual))


class Squares(Likelihood[Normal]):
    """Least squares."""

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        residual = location - outcome
        return Loss(residual**2 / 2, residual, np.ones_like(residual))


class HuberLoss(Likelihood[HuberT], Generic[HuberT]):
    """Squares of small deviations of the logarithm, absolute values of large ones."""

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        residual = location - np.log(outcome)
        size = np.abs(residual)
        inside = size <= self.noise.delta
        weight = np.where(inside, 1.0, self.noise.delta / np.maximum(size, self.noise.delta))
        value = np.where(inside, residual**2 / 2, self.noise.delta * (size - self.noise.delta / 2))
        return Loss(value, residual * weight, weight)

    def dispersion(self, location: Array, outcome: Array, detail: Array, freedom: int) -> float:
        return float(((location - np.log(outcome)) ** 2).sum() / freedom)

    def profiled(self, location: Array, outcome: Array, detail: Array, dispersion: float) -> float:
        # The true curvature is the share of residuals within delta; a wider window tells it from a few of them.
        residual = np.abs(location - np.log(outcome))
        window = max(self.noise.delta, float(np.quantile(residual, 0.3)))
        density = float((residual <= window).mean()) / window * self.noise.delta
        square = np.minimum(residual, self.noise.delta) ** 2
        return float(square.mean() / max(min(density, 1.0), 1e-9))

    def lack(self, total: float, detail: Array, dispersion: float) -> float:
        n = len(detail)
        return 2 * n * float(np.log(max(total / (n * self.noise.delta), _TINY)))  # Laplace: almost all are beyond delta


class SmoothedQuantile(HuberLoss[Envelope]):
    """Huber's loss, tilted so that a share of the observations lies below the law."""

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        plain = super().loss(location, outcome, detail)
        weight = np.where(plain.slope < 0, self.noise.quantile, 1 - self.noise.quantile)
        return Loss(weight * plain.value, weight * plain.slope, weight * plain.curvature)


class Counts(Likelihood[Binomial]):
    """The binomial likelihood of shares of items."""

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        chance = expit(location)
        value = np.logaddexp(0.0, location) - outcome * location
        return Loss(detail * value, detail * (chance - outcome), detail * np.maximum(chance * (1 - chance), 1e-12))

    def dispersion(self, location: Array, outcome: Array, detail: Array, freedom: int) -> float:
        return max(1.0, super().dispersion(location, outcome, detail, freedom))

    def lack(self, total: float, detail: Array, dispersion: float) -> float:
        return 2 * total / dispersion

    def predictive(
        self, location: Array, below: Array, above: Array, detail: float, dispersion: float, freedom: int, level: float
    ) -> tuple[float, float]:
        # Counts are skewed near 0 and 1: quantiles of so many items as would scatter like the runs do.
        items = max(1, round(detail / dispersion))
        tail = (1 - level) / 2
        low = stats.binom.ppf(tail, items, expit(location - below)[0]) / items
        high = stats.binom.ppf(1 - tail, items, expit(location + above)[0]) / items
        return float(low), float(high)


class CensoredTimes(Likelihood[Censored]):
    """The likelihood of log-normal times, of which some are only known to be longer."""

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        residual = (location - np.log(outcome)) / self.noise.spread
        hazard = np.exp(stats.norm.logpdf(residual) - log_ndtr(residual))
        censored = detail > 0
        curvature = np.where(censored, hazard * (hazard + residual), 1.0)
        return Loss(
            np.where(censored, -log_ndtr(residual), residual**2 / 2),
            np.where(censored, -hazard, residual) / self.noise.spread,
            np.maximum(curvature, 1e-9) / self.noise.spread**2,
        )

    def updated(self, location: Array, outcome: Array, detail: Array, freedom: int) -> Self:
        """One step of expectation and maximisation for the spread."""
        residual = np.log(outcome) - location
        depth = residual / self.noise.spread
        hazard = np.exp(stats.norm.logpdf(depth) - log_ndtr(-depth))
        square = np.where(detail > 0, self.noise.spread**2 * (1 + depth * hazard), residual**2)
        spread = float(np.sqrt(max(square.sum() / freedom, 1e-12)))
        return type(self)(replace(self.noise, spread=spread))

    def dispersion(self, location: Array, outcome: Array, detail: Array, freedom: int) -> float:
        return self.noise.spread**2

    def profiled(self, location: Array, outcome: Array, detail: Array, dispersion: float) -> float:
        return 1.0  # losses are in units of the spread already

    def lack(self, total: float, detail: Array, dispersion: float) -> float:
        return 2 * total + 2 * float((detail <= 0).sum() * np.log(self.noise.spread))


_LIKELIHOODS: dict[type[Noise], type[Likelihood[Any]]] = {
    LogNormal: RelativeSquares,
    Normal: Squares,
    Huber: HuberLoss,
    Envelope: SmoothedQuantile,
    Binomial: Counts,
    Censored: CensoredTimes,
}


def likelihood(noise: Noise) -> Likelihood[Any]:
    """What a fit under this noise minimises."""
    return _LIKELIHOODS[type(noise)](noise)
