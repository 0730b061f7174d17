"""How observations scatter about a law: what a law declares. What follows for a fit is in `physlm.fitting.noise`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from physlm.laws.scales import Scale
from physlm.laws.variables import Variable


@dataclass(frozen=True)
class Noise:
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

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `noise_from_json` reads it back."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class LogNormal(Noise):
    """Relative noise, so that small and large responses weigh alike."""

    kind = "lognormal"
    scale: ClassVar[Scale] = "log"


@dataclass(frozen=True)
class Normal(Noise):
    """Absolute noise."""

    kind = "normal"
    scale: ClassVar[Scale] = "linear"


@dataclass(frozen=True)
class Huber(Noise):
    """Relative noise with outliers: Huber's loss of the logarithm (Hoffmann et al. 2022, with delta 10⁻³)."""

    kind = "huber"
    scale: ClassVar[Scale] = "log"
    robust = True
    delta: float = 1e-3


@dataclass(frozen=True)
class Envelope(Huber):
    """The upper edge of a cloud: a smoothed quantile of the logarithm (Koenker and Bassett 1978), by default 90 %."""

    kind = "envelope"
    delta: float = 1e-2
    quantile: float = 0.9


@dataclass(frozen=True)
class Binomial(Noise):
    """Shares of items that are right, with more scatter between runs than items alone would give (quasi-binomial)."""

    kind = "binomial"
    scale: ClassVar[Scale] = "logit"
    share = True
    ties = True
    detail = Variable("n", "items scored", "items", column="n", low=1.0)


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


KINDS: dict[str, type[Noise]] = {c.kind: c for c in (LogNormal, Normal, Huber, Envelope, Binomial, Censored)}


def noise_from_json(value: Mapping[str, Any]) -> Noise:
    """The noise that `to_json` has written."""
    return KINDS[value["kind"]](**{k: v for k, v in value.items() if k != "kind"})
