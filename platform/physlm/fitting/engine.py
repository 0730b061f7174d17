"""Fit a law, say how sure that is, compare it with its rivals, and test it on what it never saw.

Intervals are those of `physlm.fitting.intervals`; the tests check their coverage by simulation, law by law. Where the
form itself misfits, so that seeds of one condition err together, they are too narrow unless conditions are the
clusters; `Fit.misfit` tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from physlm.errors import LawDataError
from physlm.fitting import baseline
from physlm.fitting.data import Observed, check_design, observed
from physlm.fitting.intervals import Linear, bootstrap, interval, reach
from physlm.fitting.noise import likelihood
from physlm.fitting.optimizer import Problem, Solution, solve
from physlm.fitting.profile import crossing, profiles
from physlm.fitting.result import Comparison, Estimate, Fit, HeldOut
from physlm.fitting.verdict import judge
from physlm.laws.law import Interval, Law, registry
from physlm.laws.noise import Censored, Noise
from physlm.laws.scales import Array, to_scale

_DRAWS_KEPT = 200  # of the bootstrap, for bands around curves
ENOUGH = 12  # observations beyond the parameters that tell noise from misfit well enough without seeds
_FOLDS = 12  # sizes left out one by one; more are put together
_ITERATIONS = 500  # robust losses converge slowly
_ROUNDS = 100  # of fitting the noise's own parameters


@np.errstate(all="ignore")  # the search turns back from what isn't finite
def fit(
    law: str | type[Law],
    table: pl.DataFrame,
    *,
    hold_out: pl.Expr | str | None = None,
    columns: Mapping[str, str] | None = None,
    cluster: Sequence[str] = (),
    noise: Noise | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    compare: bool = True,
) -> Fit:
    """Fit a law to a catalogue's table, or to any table with `columns` mapped to the law's variables.

    hold_out  rows to test the law on, by an expression or the name of a boolean column
    cluster   columns whose values tell observations that may err together; runs unless given
    noise     the scatter to assume, the law's own unless given
    compare   whether to fit its rivals too

    Raises LawDataError, with one sentence, for a table that can't identify the law.
    """
    kind = _known(law) if isinstance(law, str) else law
    scatter = noise or kind.noise
    chosen = pl.col(hold_out) if isinstance(hold_out, str) else hold_out
    try:
        runs = observed(kind, scatter, table, chosen, columns or {}, cluster)
    except pl.exceptions.PolarsError as error:
        raise LawDataError(f"the table can't be read: {str(error).splitlines()[0]}") from None
    form = kind(runs.levels)
    used = ~runs.held_out
    if not used.any():
        raise LawDataError("every row is held out; there is nothing to fit")
    problem = Problem(form, likelihood(scatter), runs.take(used), runs.detail[used])
    check_design(form, problem.data)
    form.check(form.inputs(problem.data))
    _check_seeds(form, runs.condition[used])
    fitted = Fitted(problem, runs.cluster[used])
    draws = bootstrap(fitted.linear, resamples, seed)
    estimates = tuple(_estimates(fitted, draws, level))
    derived = tuple(_derived(fitted, draws, level))
    held_out = tuple(_test(fitted, draws, runs, level))
    rivals = [*(rival(runs.levels) for rival in form.rivals), baseline.constant(form)] if compare else []
    comparisons = tuple(_compare(fitted, form, *rivals))
    headline = derived[-1] if derived else estimates[0]
    verdict, reason = judge(held_out, comparisons, headline, fitted.solution.converged[0], level, scatter.share)
    return Fit(
        law=form.name,
        levels=runs.levels,
        noise=fitted.problem.noise.to_json(),
        level=level,
        estimates=estimates,
        derived=derived,
        comparisons=comparisons,
        held_out=held_out,
        verdict=verdict,
        reason=reason,
        converged=bool(fitted.solution.converged[0]),
        runs=len(fitted.problem.outcome),
        conditions=len(np.unique(runs.condition[used])),
        seed_noise=runs.seed_noise,
        left_out=runs.left_out,
        misfit=_misfit(fitted, runs.condition[used]),
        data={
            **{name: tuple(map(float, values)) for name, values in runs.data.items()},
            "held_out": tuple(map(float, runs.held_out)),
            "cluster": tuple(map(float, runs.cluster)),
            "detail": tuple(map(float, runs.detail)),
        },
        draws=tuple(tuple(map(float, row)) for row in form.values(draws[:_DRAWS_KEPT])),
    )


def _known(name: str) -> type[Law]:
    if name not in registry:
        raise LawDataError(f"there is no law {name!r}; there are {', '.join(registry)}")
    return registry[name]


def _check_seeds(form: Law, condition: NDArray[np.int64]) -> None:
    rows, parameters = len(condition), len(form.parameters)
    if rows <= parameters:
        raise LawDataError(
            f"{rows} runs can't determine {parameters} parameters with an interval; use at least {parameters + 1}"
        )
    if len(np.unique(condition)) == rows and rows - parameters < ENOUGH:
        raise LawDataError(
            "there is one run of each condition, so noise can't be told from misfit; use at least 2 seeds, or "
            f"{parameters + ENOUGH} conditions"
        )


class Fitted:
    """The best coordinates of a form on some runs."""

    def __init__(self, problem: Problem, cluster: NDArray[np.int64], start: Array | None = None) -> None:
        form = problem.form
        starts = form.coordinates(form.starts(form.inputs(problem.data))) if start is None else start
        found = solve(problem, starts, iterations=_ITERATIONS)
        for _ in range(_ROUNDS):
            best = int(np.argmin(found.cost))
            at = found.coordinates[best : best + 1]
            self.solution = Solution(at, found.cost[best : best + 1], found.converged[best : best + 1])
            self.location = problem.location(at[0])
            freedom = max(1, len(problem.outcome) - len(form.parameters))
            scatter = problem.likelihood.updated(self.location, problem.outcome, problem.detail, freedom)
            settled = scatter == problem.likelihood or _close(scatter.noise, problem.noise)
            problem = replace(problem, likelihood=scatter)
            if settled:
                break
            found = solve(problem, at, iterations=_ITERATIONS)
        if not np.isfinite(self.solution.cost[0]):
            raise LawDataError(f"the law {form.name} gives no finite prediction for these values; check their units")
        self.problem = problem
        self.linear = Linear(problem, at[0], cluster)
        self.dispersion = problem.likelihood.dispersion(
            self.location, problem.outcome, problem.detail, self.linear.freedom_left
        )

    @property
    def coordinates(self) -> Array:
        """Best coordinates, [k]."""
        return np.asarray(self.solution.coordinates[0])


def _close(one: Noise, other: Noise) -> bool:
    return isinstance(one, Censored) and isinstance(other, Censored) and abs(one.spread / other.spread - 1) < 1e-4


def _estimates(fitted: Fitted, draws: Array, level: float) -> Iterator[Estimate]:
    form = fitted.problem.form
    freedom = fitted.linear.freedom(lambda coordinates: coordinates)
    values, drawn = form.values(fitted.coordinates), form.values(draws)
    low, high = form.bounds()
    curves = profiles(fitted.linear, fitted.dispersion)
    for i, p in enumerate(form.parameters):
        found = interval(p.scale, values[i], drawn[:, i], level, freedom[i])
        inside = p.low < found.low and found.high < p.high
        yield Estimate(
            p.name,
            p.meaning,
            p.unit,
            float(values[i]),
            Interval(max(found.low, p.low), min(found.high, p.high), level),
            at_bound=bool(np.isclose(fitted.coordinates[i], [low[i], high[i]], atol=1e-9).any()),
            identified=bool(inside and not fitted.linear.unidentified[i]),
            anchors=tuple(p.anchors),
            profile=crossing(curves[i], fitted.linear, level, p.low, p.high),
        )


def _derived(fitted: Fitted, draws: Array, level: float) -> Iterator[Estimate]:
    form, data = fitted.problem.form, fitted.problem.data
    now, drawn = form.derive(form.values(fitted.coordinates), data), form.derive(form.values(draws), data)
    quantities = form.derived_quantities(form.inputs(data))
    if not quantities:
        return
    scales = [q.scale for q in quantities]

    def located(coordinates: Array) -> Array:
        values = form.derive(form.values(coordinates), data)
        return np.stack([to_scale(s, values[q.name]) for s, q in zip(scales, quantities, strict=True)], axis=-1)

    for quantity, freedom in zip(quantities, fitted.linear.freedom(located), strict=True):
        found = interval(quantity.scale, now[quantity.name], drawn[quantity.name], level, freedom)
        yield Estimate(
            quantity.name,
            quantity.meaning,
            quantity.unit,
            float(now[quantity.name]),
            found,
            identified=bool(np.isfinite([found.low, found.high]).all()),
            anchors=tuple(quantity.anchors),
        )


def _deviations(fitted: Fitted) -> Array:
    """How far each response lies from the law: a difference of logarithms, or of the response itself."""
    problem = fitted.problem
    if problem.noise.scale == "log":
        return np.asarray(fitted.location - np.log(problem.outcome))
    return np.asarray(problem.form.restore(fitted.location) - problem.outcome)


def _misfit(fitted: Fitted, condition: NDArray[np.int64]) -> float:
    """Spread of the conditions' mean deviations beyond what the noise of their seeds gives them."""
    _, condition = np.unique(condition, return_inverse=True)
    deviation, count = _deviations(fitted), np.bincount(condition)
    mean = np.bincount(condition, deviation) / count
    within = deviation - mean[condition]
    noise = (within**2).sum() / max(1, len(deviation) - len(count))
    return float(np.sqrt(max(0.0, (mean**2).mean() - noise * (1 / count).mean())))


def _test(fitted: Fitted, draws: Array, runs: Observed, level: float) -> Iterator[HeldOut]:
    """Predict each held-out condition, and compare with the mean of its seeds on the scale of the noise."""
    form, noise, scatter = fitted.problem.form, fitted.problem.noise, fitted.problem.likelihood
    for condition in np.unique(runs.condition[runs.held_out]):
        chosen = (runs.condition == condition) & runs.held_out
        data, detail = runs.take(chosen), runs.detail[chosen]
        point = {v.name: data[v.name][:1] for v in form.variables}

        def located(coordinates: Array, point: Mapping[str, Array] = point) -> Array:
            return form.locate(form.values(coordinates), point)

        center = located(fitted.coordinates)
        below, above = reach(located(draws) - center, level, fitted.linear.freedom(located))
        freedom = fitted.linear.freedom_left
        low, high = scatter.predictive(center, below, above, float(detail.sum()), fitted.dispersion, freedom, level)
        outcome = data[form.response.name]
        if noise.scale == "log":
            found = float(np.exp(np.log(outcome).mean()))
        else:
            found = float(np.average(outcome, weights=detail))
        yield HeldOut(
            variables={name: float(value[0]) for name, value in point.items()},
            observed=found,
            predicted=float(form.restore(center)[0]),
            interval=Interval(low, high, level),
            seeds=len(outcome),
            scale=abs(found) if noise.scale == "log" else 1.0,
            at_least=isinstance(noise, Censored) and bool((detail > 0).any()),
        )


def _compare(fitted: Fitted, *forms: Law) -> Iterator[Comparison]:
    """Fit each form, the law's own first, to the same runs, and to those without each size in turn."""
    own = fitted.problem
    for form in forms:
        n, k = len(own.outcome), len(form.parameters) + 1  # with the dispersion
        if n < k:
            continue
        whole = fitted if form is own.form else Fitted(replace(own, form=form), fitted.linear.cluster)
        lack = whole.problem.likelihood.lack(float(whole.solution.cost[0]), own.detail, fitted.dispersion)
        yield Comparison(
            form.name,
            form.latex,
            len(form.parameters),
            lack + 2 * k + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else None,
            lack + k * float(np.log(n)),
            _left_out_error(whole),
        )


def _left_out_error(whole: Fitted) -> float | None:
    problem = whole.problem
    form, outcome = problem.form, problem.outcome
    _, fold = np.unique(problem.data[form.size], return_inverse=True)
    if fold.max() >= _FOLDS:
        fold = fold * _FOLDS // (fold.max() + 1)
    left = np.arange(fold.max() + 1)[:, None] == fold  # [fold, n]
    left = left[(~left).sum(1) > len(form.parameters)]
    if not len(left):
        return None
    start = np.repeat(whole.coordinates[None], len(left), axis=0)
    parts = solve(problem, start, weights=(~left).astype(float), tolerance=1e-7)
    predicted = form.restore(problem.location(parts.coordinates))
    error = np.abs(predicted - outcome) / (np.abs(outcome) if problem.noise.scale == "log" else 1.0)
    return float(error[left].mean())
