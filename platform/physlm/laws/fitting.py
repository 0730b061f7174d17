"""Fit a law, say how sure that is, compare it with its rivals, and test it on what it never saw.

Method. The response's logarithm is fitted by least squares over conditions (geometric means over seeds, weighted by
their number), from several starts. Intervals are percentiles of a wild cluster bootstrap with conditions as clusters:
residuals are inflated to what they would be on unseen conditions (r / (1 − leverage), MacKinnon and White 1985) and
multiplied by Webb's six-point weights (2014). The percentiles' distances from the estimate are then stretched by t/z,
with as many degrees of freedom as there are conditions beyond parameters. So misfit counts as uncertainty, and few
conditions give wide intervals; plain percentiles cover too little there. `tests/laws/test_capacity.py` checks the
coverage by simulation.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy import stats

from physlm.errors import LawDataError
from physlm.laws.contract import Anchor, Array, Interval, Law, registry
from physlm.laws.least_squares import jacobian, solve
from physlm.laws.observed import Conditions, conditions

WEBB = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])
_DRAWS_KEPT = 200  # of the bootstrap, for bands around curves
_LEVERAGE = 0.9  # more would divide a residual by almost nothing

Verdict = Literal["supported", "refuted", "undecided"]


@dataclass(frozen=True)
class Estimate:
    """A parameter or derived quantity with its interval, and what others have published."""

    name: str
    meaning: str
    unit: str
    value: float
    interval: Interval
    at_bound: bool = False
    identified: bool = True
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """How a form does: parameters, AICc and BIC of the fit, mean relative error on a size left out."""

    form: str
    latex: str
    parameters: int
    aicc: float | None
    bic: float
    left_out_error: float | None


@dataclass(frozen=True)
class HeldOut:
    """One held-out condition: its variables, what was observed and what the law had predicted."""

    variables: Mapping[str, float]
    observed: float
    predicted: float
    interval: Interval
    seeds: int

    @property
    def error_ratio(self) -> float:
        """|predicted / observed − 1|."""
        return abs(self.predicted / self.observed - 1)

    @property
    def inside(self) -> bool:
        """Whether the observation lies in the prediction interval."""
        return self.observed in self.interval


@dataclass(frozen=True)
class Fit:
    """What a fit has found.

    conditions   number fitted; seeds_noise: relative spread between seeds; misfit: relative residual per condition
    data         what was fitted and, with `held_out` true, what was not: a column for each variable and the response
    draws        bootstrap draws of the parameters, for bands
    """

    law: str
    level: float
    estimates: tuple[Estimate, ...]
    derived: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]
    held_out: tuple[HeldOut, ...]
    verdict: Verdict
    reason: str
    converged: bool
    conditions: int
    seed_noise: float
    misfit: float
    data: Mapping[str, tuple[float, ...]]
    draws: tuple[tuple[float, ...], ...]

    @property
    def model(self) -> Law:
        """The law that was fitted."""
        return registry()[self.law]()

    @property
    def headline(self) -> Estimate:
        """The quantity that answers the question: the last derived one, or the first parameter."""
        return self.derived[-1] if self.derived else self.estimates[0]

    @property
    def heldout_error_ratio(self) -> float | None:
        """Mean relative error on held-out conditions."""
        return float(np.mean([h.error_ratio for h in self.held_out])) if self.held_out else None

    def predict(self, data: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """The law's curve with its band, without the noise of a single condition: value, low, high, each [n]."""
        law = self.model
        values = np.array([e.value for e in self.estimates])
        center = np.log(law.predict(values, data))
        deviations = np.log(law.predict(np.array(self.draws), data)) - center
        below, above = _reach(deviations, self.level, self.conditions - len(values))
        return np.exp(center), np.exp(center - below), np.exp(center + above)

    def summary(self) -> str:
        """A few lines for people."""
        lines = [f"{self.model.title}: {self.verdict} ({self.reason})"]
        for e in (*self.estimates, *self.derived):
            note = " (not identified)" if not e.identified else " (at its bound)" if e.at_bound else ""
            lines.append(f"  {e.name:<8} {e.value:10.4g}  [{e.interval.low:.4g}, {e.interval.high:.4g}] {e.unit}{note}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fit:
        """The fit that `to_json` has written."""

        def estimate(e: Mapping[str, Any]) -> Estimate:
            anchors = tuple(Anchor(**a) for a in e["anchors"])
            return Estimate(**{**e, "interval": Interval(**e["interval"]), "anchors": anchors})

        return cls(
            **{
                **value,
                "estimates": tuple(map(estimate, value["estimates"])),
                "derived": tuple(map(estimate, value["derived"])),
                "comparisons": tuple(Comparison(**c) for c in value["comparisons"]),
                "held_out": tuple(HeldOut(**{**h, "interval": Interval(**h["interval"])}) for h in value["held_out"]),
                "data": {name: tuple(column) for name, column in value["data"].items()},
                "draws": tuple(map(tuple, value["draws"])),
            }
        )


def fit(
    law: str | Law,
    table: pl.DataFrame,
    *,
    hold_out: pl.Expr | None = None,
    columns: Mapping[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Fit:
    """Fit a law to a catalogue's table, or to any table with `columns` mapped to the law's variables.

    Raises LawDataError, with one sentence, for a table that can't identify the law.
    """
    form = registry()[law]() if isinstance(law, str) else law
    grouped = conditions(form, table, hold_out, columns or {})
    fitted = _Fitted(form, grouped.take(~grouped.held_out), grouped.seeds[~grouped.held_out])
    form.check(fitted.data)
    draws = fitted.bootstrap(resamples, seed)

    def estimate(name: str, meaning: str, unit: str, value: float, logs: Array, anchors: Sequence[Anchor]) -> Estimate:
        below, above = _reach(logs - np.log(value), level, fitted.freedom)
        interval = Interval(float(value * np.exp(-below)), float(value * np.exp(above)), level)
        return Estimate(name, meaning, unit, float(value), interval, anchors=tuple(anchors))

    estimates = []
    for i, p in enumerate(form.parameters):
        value = float(np.exp(fitted.values[i]))
        e = estimate(p.name, p.meaning, p.unit, value, draws[:, i], p.anchors)
        wide = e.interval.low < p.low or e.interval.high > p.high
        clipped = Interval(max(e.interval.low, p.low), min(e.interval.high, p.high), level)
        bound = bool(np.isclose(value, p.low) or np.isclose(value, p.high))
        estimates.append(Estimate(p.name, p.meaning, p.unit, value, clipped, bound, not wide, tuple(p.anchors)))
    unit = form.parameters[0].unit
    now, later = form.derived(np.exp(fitted.values), fitted.data), form.derived(np.exp(draws), fitted.data)
    published = form.derived_anchors()
    derived = [
        estimate(name, f"{form.parameters[0].meaning.split()[0]} at this point", unit, float(now[name]),
                 np.log(later[name]), published.get(name, ()))
        for name in now
    ]  # fmt: skip
    held_out = _test(form, fitted, draws, grouped, level)
    verdict, reason = judge(held_out, level)
    return Fit(
        law=form.name,
        level=level,
        estimates=tuple(estimates),
        derived=tuple(derived),
        comparisons=tuple(_compare(f(), fitted) for f in (type(form), *form.rivals)),
        held_out=tuple(held_out),
        verdict=verdict,
        reason=reason,
        converged=fitted.converged,
        conditions=len(fitted.log_response),
        seed_noise=grouped.spread,
        misfit=fitted.misfit,
        data={
            **{name: tuple(map(float, values)) for name, values in grouped.data.items()},
            "seeds": tuple(map(float, grouped.seeds)),
            "held_out": tuple(map(float, grouped.held_out)),
        },
        draws=tuple(tuple(map(float, row)) for row in np.exp(draws[:_DRAWS_KEPT])),
    )


def _reach(deviations: Array, level: float, freedom: int) -> tuple[Array, Array]:
    """How far the interval goes below and above, from bootstrap deviations [resamples, ...]: two arrays [...]."""
    tail = (1 - level) / 2
    stretch = stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail)
    low, high = np.quantile(deviations, [tail, 1 - tail], axis=0)
    return np.asarray(np.maximum(-low, 0.0) * stretch), np.asarray(np.maximum(high, 0.0) * stretch)


class _Fitted:
    """Best parameters (as logarithms) of one form on some conditions."""

    def __init__(self, form: Law, data: Mapping[str, Array], seeds: Array) -> None:
        self.form, self.data, self.seeds = form, data, seeds
        self.log_response = np.log(data[form.response.name])
        self.weights = np.sqrt(seeds / seeds.mean())
        self.freedom = len(self.log_response) - len(form.parameters)
        if self.freedom < 1:
            raise LawDataError(
                f"{len(self.log_response)} conditions can't determine {len(form.parameters)} parameters with an "
                f"interval; use at least {len(form.parameters) + 1}"
            )
        self.low, self.high = (np.log([getattr(p, side) for p in form.parameters]) for side in ("low", "high"))
        starts = np.log(list(itertools.product(*(p.guesses for p in form.parameters))))
        solution = solve(self._residuals(self.log_response), starts, self.low, self.high)
        best = int(np.nanargmin(solution.cost))
        self.values, self.converged = solution.values[best], bool(solution.converged[best])
        self.residual = self._residuals(self.log_response)(self.values[None])[0]
        self.misfit = float(np.sqrt((self.residual**2).sum() / self.freedom))

    def _residuals(self, log_response: Array) -> Any:
        """Weighted residuals for log_response [G] or [B, G]."""
        return lambda values: self.weights * (np.log(self.form.predict(np.exp(values), self.data)) - log_response)

    def leverage(self) -> Array:
        """How much each condition draws the curve to itself, [G]; parameters at a bound don't move."""
        slope = jacobian(self._residuals(self.log_response), self.values[None], self.residual[None])[0]
        free = (self.values > self.low) & (self.values < self.high)
        basis, sizes, _ = np.linalg.svd(slope[:, free], full_matrices=False)
        kept = basis[:, sizes > 1e-8 * max(sizes.max(initial=0.0), 1e-300)]
        return np.clip((kept**2).sum(1), 0.0, _LEVERAGE)

    def bootstrap(self, resamples: int, seed: int) -> Array:
        """Wild cluster bootstrap of the parameters' logarithms, [resamples, k]."""
        rng = np.random.Generator(np.random.Philox(seed))
        weights = WEBB[rng.integers(0, 6, (resamples, len(self.residual)))]
        center = self.log_response + self.residual / self.weights
        moved = center - weights * (self.residual / (1 - self.leverage())) / self.weights
        start = np.repeat(self.values[None], resamples, axis=0)
        return solve(self._residuals(moved), start, self.low, self.high).values


def _test(form: Law, fitted: _Fitted, draws: Array, grouped: Conditions, level: float) -> list[HeldOut]:
    if not grouped.held_out.any():
        return []
    data = grouped.take(grouped.held_out)
    center = np.log(form.predict(np.exp(fitted.values), data))
    seeds = grouped.seeds[grouped.held_out]
    below, above = _reach(np.log(form.predict(np.exp(draws), data)) - center, level, fitted.freedom)
    # A new condition deviates from the curve as those that were fitted do.
    noise = stats.t.ppf(0.5 + level / 2, fitted.freedom) * fitted.misfit * np.sqrt(fitted.seeds.mean() / seeds)
    below, above = np.hypot(below, noise), np.hypot(above, noise)
    return [
        HeldOut(
            {v.name: float(data[v.name][i]) for v in form.variables},
            float(data[form.response.name][i]),
            float(np.exp(center[i])),
            Interval(float(np.exp(center[i] - below[i])), float(np.exp(center[i] + above[i])), level),
            int(seeds[i]),
        )
        for i in range(len(center))
    ]


def judge(held_out: Sequence[HeldOut], level: float) -> tuple[Verdict, str]:
    """A law's verdict from its held-out conditions, with the reason."""
    if not held_out:
        return "undecided", "nothing was held out to test it on"
    outside = sum(not h.inside for h in held_out)
    share = f"{len(held_out) - outside} of {len(held_out)} held-out conditions lie in their prediction intervals"
    # How likely so many or more outside are, if the law and its intervals are right.
    chance = float(stats.binom.sf(outside - 1, len(held_out), 1 - level))
    if chance < 0.05:
        return "refuted", share
    if outside:
        return "undecided", f"{share}: one miss may be chance"
    widest = max(h.interval.high / h.interval.low for h in held_out)
    if widest > 4:
        return "undecided", f"{share}, but an interval spans a factor of {widest:.1f}: too wide to test anything"
    return "supported", share


def _compare(form: Law, fitted: _Fitted) -> Comparison:
    """Fit a form to the same conditions, and to those without each size in turn."""
    n = len(fitted.log_response)
    whole = _Fitted(form, fitted.data, fitted.seeds)
    k = len(form.parameters) + 1  # with the residual's variance
    likelihood = n * np.log(max(float((whole.residual**2).sum()), 1e-300) / n)
    errors = []
    sizes = fitted.data[form.size]
    for size in np.unique(sizes):
        rest = sizes != size
        try:
            part = _Fitted(form, {name: v[rest] for name, v in fitted.data.items()}, fitted.seeds[rest])
        except LawDataError:
            continue
        left = {name: v[~rest] for name, v in fitted.data.items()}
        errors += list(np.abs(form.predict(np.exp(part.values), left) / left[form.response.name] - 1))
    return Comparison(
        form.name,
        form.latex,
        len(form.parameters),
        float(likelihood + 2 * k + 2 * k * (k + 1) / (n - k - 1)) if n > k + 1 else None,
        float(likelihood + k * np.log(n)),
        float(np.mean(errors)) if errors else None,
    )
