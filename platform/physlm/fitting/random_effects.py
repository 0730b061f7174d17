"""Partial pooling: groups whose parameters differ, but are drawn from one distribution (random effects).

An estimate y_g of a parameter in group g scatters about the group's value θ_g with its standard error s_g, and θ_g is
normal about a mean μ with a spread τ between groups, on the scale of the parameter. τ is fitted by restricted maximum
likelihood (Patterson and Thompson 1971). How sure that is follows from the pivot

    Q(τ²) = Σ (y_g − μ̂(τ²))² / (s_g² + τ²),   chi-squared with as many degrees of freedom as groups less one

(Viechtbauer 2007): its confidence distribution gives τ's interval and, drawn from, those of μ, of each θ_g (shrunken
towards μ) and of a new group, which so allow for τ's uncertainty (Nagashima, Noma and Furukawa 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from physlm.errors import LawDataError
from physlm.laws.law import Interval
from physlm.laws.scales import Array, Scale, from_scale

FEWEST = 4
_DRAWS = 4000
_ROUNDING = 1e-9  # how closely searches end, in units of a coordinate
_GRID = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 1200)])  # of τ, in units of the values' scatter


@dataclass(frozen=True)
class Pooled:
    """One parameter over groups.

    names                groups
    estimates, shrunken  in each alone, and partially pooled, with the intervals `alone` and `pooled`
    mean                 over groups, with its interval
    spread               τ on the parameter's scale: relative where that is logarithmic
    new                  where a new group's value lies with probability `level`
    """

    parameter: str
    scale: Scale
    names: tuple[str, ...]
    estimates: tuple[float, ...]
    alone: tuple[Interval, ...]
    shrunken: tuple[float, ...]
    pooled: tuple[Interval, ...]
    mean: float
    mean_interval: Interval
    spread: float
    spread_interval: Interval
    new: Interval

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, null for an end that is infinite."""
        ends = {
            name: [None if not np.isfinite(x) else x for x in (i.low, i.high)]
            for name, i in (("mean", self.mean_interval), ("spread", self.spread_interval), ("new", self.new))
        }
        groups = {
            name: {"alone": [y, i.low, i.high], "pooled": [s, p.low, p.high]}
            for name, y, i, s, p in zip(self.names, self.estimates, self.alone, self.shrunken, self.pooled, strict=True)
        }
        return {
            "parameter": self.parameter,
            "scale": self.scale,
            "mean": [self.mean, *ends["mean"]],
            "spread": [self.spread, *ends["spread"]],
            "new": ends["new"],
            "groups": groups,
        }

    def summary(self) -> str:
        """One line for people."""
        i, t, n = self.mean_interval, self.spread_interval, self.new
        kind = "relative" if self.scale == "log" else "absolute"
        return (
            f"{self.parameter}: mean {self.mean:.4g} [{i.low:.4g}, {i.high:.4g}], {kind} spread between groups "
            f"{self.spread:.2g} [{t.low:.2g}, {t.high:.2g}], a new group in [{n.low:.4g}, {n.high:.4g}]"
        )


def has_error(values: Array, errors: Array) -> NDArray[np.bool_]:
    """Whether each estimate has a standard error, bool [g]: one that is finite and more than rounding leaves."""
    return np.isfinite(values) & np.isfinite(errors) & (errors > _ROUNDING * np.maximum(1.0, np.abs(values)))


def pool(
    parameter: str,
    scale: Scale,
    names: Sequence[str],
    values: Array,
    errors: Array,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Pooled:
    """Pool the estimates of a parameter in groups. values [g], errors [g]: on the scale, with standard errors.

    Raises LawDataError for fewer than 4 groups, and for a standard error that isn't above 0: an estimate at its bound,
    or of runs that don't scatter, has none.
    """
    unweighed = list(compress(names, ~has_error(values, errors)))
    if unweighed:
        raise LawDataError(
            f"{parameter} has no standard error in {', '.join(unweighed)}, so nothing tells how much such groups "
            "count; leave them out"
        )
    if len(values) < FEWEST:
        raise LawDataError(
            f"{parameter} is identified in {len(values)} groups ({', '.join(names)}); to tell how much groups differ "
            f"it needs at least {FEWEST}"
        )
    unit = float(np.std(values)) + float(np.mean(errors))
    values, errors = values / unit, errors / unit
    grid = _GRID**2
    weight = 1 / (errors**2 + grid[:, None])  # [t, g]
    mean = (weight * values).sum(1) / weight.sum(1)
    cochran = (weight * (values - mean[:, None]) ** 2).sum(1)  # falls with τ²
    likelihood = 0.5 * (np.log(weight).sum(1) - np.log(weight.sum(1)) - cochran)
    best = int(likelihood.argmax())
    freedom = len(values) - 1

    def spread_at(quantile: Array) -> Array:
        """τ² at which Q has this quantile of chi-squared; 0 where it has it nowhere."""
        wanted = stats.chi2.ppf(quantile, freedom)
        return np.asarray(np.interp(-wanted, -cochran, grid, left=0.0))

    rng = np.random.Generator(np.random.Philox(seed))
    drawn = spread_at(rng.random(_DRAWS))
    weights = 1 / (errors**2 + drawn[:, None])  # [d, g]
    total = weights.sum(1)
    center = (weights * values).sum(1) / total + rng.standard_normal(_DRAWS) / np.sqrt(total)
    new = center + np.sqrt(drawn) * rng.standard_normal(_DRAWS)
    own = drawn[:, None] * weights  # how much of a group's own estimate counts
    theta = own * values + (1 - own) * center[:, None]
    theta += np.sqrt(own) * errors * rng.standard_normal(theta.shape)
    tail = (1 - level) / 2

    def interval(draws: Array) -> Interval:
        low, high = from_scale(scale, unit * np.quantile(draws, [tail, 1 - tail]))
        return Interval(float(low), float(high), level)

    def back(value: Array) -> tuple[float, ...]:
        return tuple(float(x) for x in from_scale(scale, unit * value))

    reach = stats.norm.ppf(1 - tail) * errors
    at_best = grid[best] * weight[best]
    low, high = unit * np.sqrt(spread_at(np.array([1 - tail, tail])))
    return Pooled(
        parameter,
        scale,
        tuple(names),
        back(values),
        tuple(Interval(a, b, level) for a, b in zip(back(values - reach), back(values + reach), strict=True)),
        back(at_best * values + (1 - at_best) * mean[best]),
        tuple(interval(column) for column in theta.T),
        back(mean[best : best + 1])[0],
        interval(center),
        float(unit * np.sqrt(grid[best])),
        Interval(float(low), float(high), level),
        interval(new),
    )
