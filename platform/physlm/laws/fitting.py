"""Fit a law, say how sure that is, compare it with its rivals, and test it on what it never saw.

Method. The response's logarithm is fitted by least squares over runs, from several starts. Intervals are percentiles of
a wild bootstrap with runs as clusters: residuals are inflated to what they would be on unseen runs (r / (1 − leverage),
MacKinnon and White 1985) and multiplied by Webb's six-point weights (2014). The percentiles' distances from the
estimate are then stretched by t/z with the degrees of freedom that the runs give the quantity at hand (Bell and
McCaffrey 2002): a capacity that four runs decide gets the interval of four runs, however many others there are. Plain
percentiles cover too little. `tests/laws/test_capacity.py` checks the coverage by simulation. Where the form itself
misfits, so that seeds of one condition err together, intervals are too narrow; `Fit.misfit` tells.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from physlm.errors import LawDataError
from physlm.laws.contract import Anchor, Array, Interval, Law, registry
from physlm.laws.least_squares import jacobian, solve
from physlm.laws.observed import Observed, observed

WEBB = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])
_DRAWS_KEPT = 200  # of the bootstrap, for bands around curves
_STEP = 1e-6  # of derivatives with respect to logarithms
_VACUOUS = 10.0  # a prediction that is right within an order of magnitude tests nothing
_STRONG = 10.0  # a difference in BIC that is very strong evidence (Kass and Raftery 1995)
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

    runs, conditions   numbers of those fitted
    seed_noise         relative spread between seeds of a condition
    misfit             relative deviation of the conditions from the law, beside the noise of their seeds
    data               what was fitted and, with `held_out` 1, what was not: a column for each variable and the response
    draws              bootstrap draws of the parameters, for bands
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
    runs: int
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
        values = np.log([e.value for e in self.estimates])
        fitted = _Linear(
            law, {n: np.array(c)[np.array(self.data["held_out"]) == 0] for n, c in self.data.items()}, values
        )
        center = np.log(law.predict(np.exp(values), data))
        deviations = np.log(law.predict(np.array(self.draws), data)) - center
        freedom = fitted.freedom(lambda logs: np.log(law.predict(np.exp(logs), data)))
        below, above = _reach(deviations, self.level, freedom)
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
    table_of_runs = observed(form, table, hold_out, columns or {})
    fitted = _Fitted(form, table_of_runs.take(~table_of_runs.held_out))
    form.check(fitted.data)
    draws = fitted.bootstrap(resamples, seed)
    held_out = _test(fitted, draws, table_of_runs, level)
    comparisons = tuple(_compare(f(), fitted) for f in (type(form), *form.rivals))
    verdict, reason = judge(held_out, comparisons, level)
    condition = table_of_runs.condition[~table_of_runs.held_out]
    return Fit(
        law=form.name,
        level=level,
        estimates=tuple(_estimates(fitted, draws, level)),
        derived=tuple(_derived(fitted, draws, level)),
        comparisons=comparisons,
        held_out=tuple(held_out),
        verdict=verdict,
        reason=reason,
        converged=fitted.converged,
        runs=len(condition),
        conditions=len(np.unique(condition)),
        seed_noise=table_of_runs.seed_noise,
        misfit=_misfit(fitted.residual, condition),
        data={
            **{name: tuple(map(float, values)) for name, values in table_of_runs.data.items()},
            "held_out": tuple(map(float, table_of_runs.held_out)),
        },
        draws=tuple(tuple(map(float, row)) for row in np.exp(draws[:_DRAWS_KEPT])),
    )


def _interval(value: float, logs: Array, level: float, freedom: Array) -> Interval:
    below, above = _reach(logs - np.log(value), level, freedom)
    return Interval(float(value * np.exp(-below)), float(value * np.exp(above)), level)


def _estimates(fitted: _Fitted, draws: Array, level: float) -> Iterator[Estimate]:
    freedom = fitted.linear.freedom(lambda logs: logs)
    for i, p in enumerate(fitted.form.parameters):
        value = float(np.exp(fitted.values[i]))
        found = _interval(value, draws[:, i], level, freedom[i])
        yield Estimate(
            p.name,
            p.meaning,
            p.unit,
            value,
            Interval(max(found.low, p.low), min(found.high, p.high), level),
            at_bound=bool(np.isclose(value, p.low) or np.isclose(value, p.high)),
            identified=p.low < found.low and found.high < p.high,
            anchors=tuple(p.anchors),
        )


def _derived(fitted: _Fitted, draws: Array, level: float) -> Iterator[Estimate]:
    form = fitted.form
    now, later = form.derived(np.exp(fitted.values), fitted.data), form.derived(np.exp(draws), fitted.data)
    for quantity in form.derived_quantities(fitted.data):
        name = quantity.name

        def log(logs: Array, name: str = name) -> Array:
            return np.log(form.derived(np.exp(logs), fitted.data)[name])[..., None]

        value = float(now[name])
        found = _interval(value, np.log(later[name]), level, fitted.linear.freedom(log)[0])
        yield Estimate(name, quantity.meaning, quantity.unit, value, found, anchors=tuple(quantity.anchors))


def _misfit(residual: Array, condition: NDArray[np.int64]) -> float:
    """Spread of the conditions' mean residuals beyond what the noise of their seeds gives them."""
    count = np.bincount(condition)
    present = count > 0
    mean = np.bincount(condition, residual)[present] / count[present]
    within = residual - (np.bincount(condition, residual) / np.maximum(count, 1))[condition]
    noise = (within**2).sum() / max(1, len(residual) - present.sum())
    return float(np.sqrt(max(0.0, (mean**2).mean() - noise * (1 / count[present]).mean())))


def _reach(deviations: Array, level: float, freedom: Array) -> tuple[Array, Array]:
    """How far intervals go below and above, from bootstrap deviations [resamples, ...] and their freedom [...]."""
    tail = (1 - level) / 2
    stretch = stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail)
    low, high = np.quantile(deviations, [tail, 1 - tail], axis=0)
    return np.asarray(np.maximum(-low, 0.0) * stretch), np.asarray(np.maximum(high, 0.0) * stretch)


class _Linear:
    """A form linearised at its parameters: what each run does to them."""

    def __init__(self, form: Law, data: Mapping[str, Array], values: Array) -> None:
        def residuals(logs: Array) -> Array:
            return np.asarray(np.log(form.predict(np.exp(logs), data)) - np.log(data[form.response.name]))

        low, high = bounds(form)
        slope = jacobian(residuals, values[None], residuals(values[None]))[0]
        slope[:, (values <= low) | (values >= high)] = 0.0  # a parameter at its bound doesn't move
        self.values = values
        self.inverse = np.linalg.pinv(slope, rcond=1e-6)  # [k, n]
        self.remainder = np.eye(len(slope)) - slope @ self.inverse  # residuals of a disturbance, [n, n]
        self.leverage = np.clip(1 - np.diag(self.remainder), 0.0, _LEVERAGE)  # a run's pull on its own prediction

    def freedom(self, quantity: Callable[[Array], Array]) -> Array:
        """Degrees of freedom (Bell and McCaffrey 2002) of log quantities: logs [..., k] -> [..., q]; gives [q]."""
        moved = quantity(self.values + _STEP * np.eye(len(self.values)))  # [k, q]
        gradient = (moved - quantity(self.values)) / _STEP
        influence = gradient.T @ self.inverse  # [q, n]
        found = []
        for row in influence:
            spread = (row / (1 - self.leverage))[:, None] * self.remainder
            square = spread @ spread.T  # has the eigenvalues of the variance estimate's quadratic form
            trace = np.trace(square)
            found.append(trace**2 / (square**2).sum() if trace > 0 else 1.0)
        return np.asarray(np.maximum(1.0, np.array(found)))


def bounds(form: Law) -> tuple[Array, Array]:
    """Lowest and highest logarithms of a form's parameters, [k] each."""
    return np.log([p.low for p in form.parameters]), np.log([p.high for p in form.parameters])


class _Fitted:
    """Best parameters (as logarithms) of one form on some runs."""

    def __init__(self, form: Law, data: Mapping[str, Array]) -> None:
        self.form, self.data = form, data
        self.log_response = np.log(data[form.response.name])
        freedom = len(self.log_response) - len(form.parameters)
        if freedom < 1:
            raise LawDataError(
                f"{len(self.log_response)} runs can't determine {len(form.parameters)} parameters with an interval; "
                f"use at least {len(form.parameters) + 1}"
            )
        self.low, self.high = bounds(form)
        starts = np.log(list(itertools.product(*(p.guesses for p in form.parameters))))
        solution = solve(self._residuals(self.log_response), starts, self.low, self.high)
        best = int(np.nanargmin(solution.cost))
        self.values, self.converged = solution.values[best], bool(solution.converged[best])
        self.residual = self._residuals(self.log_response)(self.values[None])[0]
        self.deviation = float(np.sqrt((self.residual**2).sum() / freedom))

    @cached_property
    def linear(self) -> _Linear:
        """The form linearised at the best parameters."""
        return _Linear(self.form, self.data, self.values)

    def _residuals(self, log_response: Array) -> Callable[[Array], Array]:
        """Residuals for log_response [n] or [B, n]."""
        return lambda logs: np.log(self.form.predict(np.exp(logs), self.data)) - log_response

    def bootstrap(self, resamples: int, seed: int) -> Array:
        """Wild bootstrap of the parameters' logarithms, [resamples, k]."""
        rng = np.random.Generator(np.random.Philox(seed))
        weights = WEBB[rng.integers(0, 6, (resamples, len(self.residual)))]
        moved = self.log_response + self.residual - weights * self.residual / (1 - self.linear.leverage)
        start = np.repeat(self.values[None], resamples, axis=0)
        return solve(self._residuals(moved), start, self.low, self.high).values


def _test(fitted: _Fitted, draws: Array, runs: Observed, level: float) -> list[HeldOut]:
    """Predict each held-out condition, and compare with the geometric mean of its seeds."""
    form, found = fitted.form, []
    for condition in np.unique(runs.condition[runs.held_out]):
        data = runs.take(runs.condition == condition)
        point = {v.name: data[v.name][:1] for v in form.variables}
        observed_mean = float(np.exp(np.log(data[form.response.name]).mean()))

        def log(logs: Array, point: Mapping[str, Array] = point) -> Array:
            return np.log(form.predict(np.exp(logs), point))

        center = log(fitted.values)
        below, above = _reach(log(draws) - center, level, fitted.linear.freedom(log))
        # A new condition deviates from the curve as the runs that were fitted do.
        noise = stats.t.ppf(0.5 + level / 2, len(fitted.residual) - len(fitted.values)) * fitted.deviation
        low, high = np.exp(center - np.hypot(below, noise)), np.exp(center + np.hypot(above, noise))
        variables = {name: float(value[0]) for name, value in point.items()}
        interval = Interval(float(low[0]), float(high[0]), level)
        seeds = len(data[form.response.name])
        found.append(HeldOut(variables, observed_mean, float(np.exp(center[0])), interval, seeds))
    return found


def judge(held_out: Sequence[HeldOut], comparisons: Sequence[Comparison], level: float) -> tuple[Verdict, str]:
    """A law's verdict with the reason: from its held-out conditions, and from rivals that do clearly better.

    comparisons: the law's own first.
    """
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
    if widest > _VACUOUS:
        return "undecided", f"{share}, but an interval spans a factor of {widest:.0f}: too wide to test anything"
    own, *rivals = comparisons
    better = [r for r in rivals if own.bic - r.bic > _STRONG and _beats(r, own)]
    if better:
        best = min(better, key=lambda r: r.bic)
        return "undecided", (
            f"{share}, but a rival form, {best.form}, fits better and errs by {best.left_out_error:.0%} on a size "
            f"left out, against {own.left_out_error:.0%}"
        )
    return "supported", share


def _beats(rival: Comparison, own: Comparison) -> bool:
    """Whether the rival predicts sizes left out better."""
    if rival.left_out_error is None or own.left_out_error is None:
        return False
    return rival.left_out_error < own.left_out_error


def _compare(form: Law, fitted: _Fitted) -> Comparison:
    """Fit a form to the same conditions, and to those without each size in turn."""
    n = len(fitted.log_response)
    whole = _Fitted(form, fitted.data)
    k = len(form.parameters) + 1  # with the residual's variance
    likelihood = n * np.log(max(float((whole.residual**2).sum()), 1e-300) / n)
    errors = []
    sizes = fitted.data[form.size]
    for size in np.unique(sizes):
        rest = sizes != size
        try:
            part = _Fitted(form, {name: v[rest] for name, v in fitted.data.items()})
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
