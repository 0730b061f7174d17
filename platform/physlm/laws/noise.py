"""How observations scatter about a law: what a fit minimises, observation by observation.

Each kind of noise gives, for a location η on its scale, the loss ℓ(η), its slope and a positive curvature: the expected
one where ℓ is a likelihood, a majorising one where it is robust (Holland and Welsch 1977). The engine needs no more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from scipy import stats
from scipy.special import expit, log_ndtr

from physlm.laws.scales import Array, Scale, from_scale
from physlm.laws.variables import Variable

_TINY = 1e-300


class Loss(NamedTuple):
    """Of each observation at its location: value, slope and curvature, [..., n] each."""

    value: Array
    slope: Array
    curvature: Array


@dataclass(frozen=True)
class Noise(ABC):
    """The scatter of a response.

    scale    on which the location is, and on which noise is alike everywhere
    detail   what must be known of each observation beside the response, such as the number of items it is a share of
    robust   whether outliers are expected, so that resampling whole runs is safer than their residuals
    share    whether the response is a share, so that errors are differences rather than ratios
    ties     whether runs may agree in their response by chance
    """

    kind: ClassVar[str]
    scale: ClassVar[Scale]
    detail: ClassVar[Variable | None] = None
    robust: ClassVar[bool] = False
    share: ClassVar[bool] = False
    ties: ClassVar[bool] = False

    @abstractmethod
    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        """Loss at location [..., n] of outcomes [n] on the scale of the response."""

    def updated(self, location: Array, outcome: Array, detail: Array, freedom: int) -> Self:
        """This noise with its own parameters, if it has some, fitted at the location."""
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
        return float(from_scale(self.scale, low)[0]), float(from_scale(self.scale, high)[0])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `noise_from_json` reads it back."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class LogNormal(Noise):
    """Relative noise: least squares of logarithms, so that small and large responses weigh alike."""

    kind = "lognormal"
    scale: ClassVar[Scale] = "log"

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        residual = location - np.log(outcome)
        return Loss(residual**2 / 2, residual, np.ones_like(residual))


@dataclass(frozen=True)
class Normal(Noise):
    """Absolute noise: least squares."""

    kind = "normal"
    scale: ClassVar[Scale] = "linear"

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        residual = location - outcome
        return Loss(residual**2 / 2, residual, np.ones_like(residual))


@dataclass(frozen=True)
class Huber(Noise):
    """Relative noise with outliers: Huber's loss of the logarithm (Hoffmann et al. 2022, with delta 10⁻³)."""

    kind = "huber"
    scale: ClassVar[Scale] = "log"
    robust = True
    delta: float = 1e-3

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        residual = location - np.log(outcome)
        size = np.abs(residual)
        inside = size <= self.delta
        weight = np.where(inside, 1.0, self.delta / np.maximum(size, self.delta))
        value = np.where(inside, residual**2 / 2, self.delta * (size - self.delta / 2))
        return Loss(value, residual * weight, weight)

    def dispersion(self, location: Array, outcome: Array, detail: Array, freedom: int) -> float:
        return float(((location - np.log(outcome)) ** 2).sum() / freedom)

    def profiled(self, location: Array, outcome: Array, detail: Array, dispersion: float) -> float:
        # The true curvature is the share of residuals within delta; a wider window tells it from a few of them.
        residual = np.abs(location - np.log(outcome))
        window = max(self.delta, float(np.quantile(residual, 0.3)))
        density = float((residual <= window).mean()) / window * self.delta
        square = np.minimum(residual, self.delta) ** 2
        return float(square.mean() / max(min(density, 1.0), 1e-9))

    def lack(self, total: float, detail: Array, dispersion: float) -> float:
        n = len(detail)
        return 2 * n * float(np.log(max(total / (n * self.delta), _TINY)))  # Laplace: almost all are beyond delta


@dataclass(frozen=True)
class Envelope(Huber):
    """The upper edge of a cloud: a smoothed quantile of the logarithm (Koenker and Bassett 1978), by default 90 %."""

    kind = "envelope"
    delta: float = 1e-2
    quantile: float = 0.9

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        plain = super().loss(location, outcome, detail)
        weight = np.where(plain.slope < 0, self.quantile, 1 - self.quantile)
        return Loss(weight * plain.value, weight * plain.slope, weight * plain.curvature)


@dataclass(frozen=True)
class Binomial(Noise):
    """Shares of items that are right, with more scatter between runs than items alone would give (quasi-binomial)."""

    kind = "binomial"
    scale: ClassVar[Scale] = "logit"
    share = True
    ties = True
    detail = Variable("n", "items scored", "items", column="n", low=1.0)

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


@dataclass(frozen=True)
class Censored(Noise):
    """Times until something happens, some only known to be longer: log-normal, censored (Tobin 1958)."""

    kind = "censored"
    scale: ClassVar[Scale] = "log"
    ties = True
    detail = Variable(
        "censored", "1 where the time is only known to be longer", "1", column="censored", low=0.0, high=1.0
    )
    spread: float = 0.3

    def loss(self, location: Array, outcome: Array, detail: Array) -> Loss:
        residual = (location - np.log(outcome)) / self.spread
        hazard = np.exp(stats.norm.logpdf(residual) - log_ndtr(residual))
        censored = detail > 0
        curvature = np.where(censored, hazard * (hazard + residual), 1.0)
        return Loss(
            np.where(censored, -log_ndtr(residual), residual**2 / 2),
            np.where(censored, -hazard, residual) / self.spread,
            np.maximum(curvature, 1e-9) / self.spread**2,
        )

    def updated(self, location: Array, outcome: Array, detail: Array, freedom: int) -> Censored:
        """One step of expectation and maximisation for the spread."""
        residual = np.log(outcome) - location
        depth = residual / self.spread
        hazard = np.exp(stats.norm.logpdf(depth) - log_ndtr(-depth))
        square = np.where(detail > 0, self.spread**2 * (1 + depth * hazard), residual**2)
        return replace(self, spread=float(np.sqrt(max(square.sum() / freedom, 1e-12))))

    def dispersion(self, location: Array, outcome: Array, detail: Array, freedom: int) -> float:
        return self.spread**2

    def profiled(self, location: Array, outcome: Array, detail: Array, dispersion: float) -> float:
        return 1.0  # losses are in units of the spread already

    def lack(self, total: float, detail: Array, dispersion: float) -> float:
        return 2 * total + 2 * float((detail <= 0).sum() * np.log(self.spread))


KINDS: dict[str, type[Noise]] = {c.kind: c for c in (LogNormal, Normal, Huber, Envelope, Binomial, Censored)}


def noise_from_json(value: Mapping[str, Any]) -> Noise:
    """The noise that `to_json` has written."""
    return KINDS[value["kind"]](**{k: v for k, v in value.items() if k != "kind"})
