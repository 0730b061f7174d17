"""A law turned around: what to do under a budget, or to reach a goal, and how sure that is.

Nothing is extrapolated silently: beyond the values that the law was fitted to or tested on, advice is refused unless
asked for, and then says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import polars as pl

from physlm.errors import UserError
from physlm.fitting.intervals import reach
from physlm.fitting.result import Fit
from physlm.fitting.tables import condition
from physlm.laws.law import Interval
from physlm.laws.scales import Array
from physlm.laws.variables import Variable

_POINTS = 4000  # of a grid, over all free variables
_BEYOND = 10.0  # how many times beyond the tested range one may ask to go


@dataclass(frozen=True)
class Advice:
    """A condition with what the law predicts for one run of it.

    at         each variable's value
    interval   where the response of one run will lie, noise included
    cost       of the condition, in the unit of the budget; None without one
    tested     for each variable, between which values the law was fitted or tested
    beyond     variables whose value is outside of that: the advice extrapolates
    at_edge    variables at the end of what was tested: better may lie beyond
    """

    at: Mapping[str, float | str]
    predicted: float
    interval: Interval
    cost: float | None
    tested: Mapping[str, tuple[float, float]]
    beyond: tuple[str, ...]
    at_edge: tuple[str, ...]


@dataclass(frozen=True)
class Inverse:
    """The value of a variable at which the response is reached, with its interval from the bootstrap."""

    variable: str
    value: float
    interval: Interval
    beyond: bool


def tested_range(fit: Fit) -> dict[str, tuple[float, float]]:
    """Between which values of each variable, categories left out, the law was fitted or tested."""
    return {v.name: (min(fit.data[v.name]), max(fit.data[v.name])) for v in fit.model.variables if not v.category}


def foretell(fit: Fit, data: Mapping[str, Array], items: float = 1000.0) -> list[Interval]:
    """Where the response of one new run will lie, for each row of data; items: of a share that is to be observed."""
    linear = fit.linear
    form, scatter = linear.problem.form, linear.problem.likelihood
    outcome, detail = linear.problem.outcome, linear.problem.detail
    fitted = linear.problem.location(linear.coordinates[None])[0]
    dispersion = scatter.dispersion(fitted, outcome, detail, linear.freedom_left)

    def location(coordinates: Array) -> Array:
        return form.locate(form.values(coordinates), data)

    center = location(linear.coordinates)
    below, above = reach(location(form.coordinates(np.array(fit.draws))) - center, fit.level, linear.freedom(location))
    found = []
    for i in range(len(center)):
        row = slice(i, i + 1)
        low, high = scatter.predictive(
            center[row], below[row], above[row], items, dispersion, linear.freedom_left, fit.level
        )
        found.append(Interval(low, high, fit.level))
    return found


def advise(
    fit: Fit,
    goal: Literal["max", "min"],
    *,
    free: Sequence[str],
    at: Mapping[str, float | str] | None = None,
    cost: str | None = None,
    budget: float | None = None,
    extrapolate: bool = False,
) -> Advice:
    """The condition with the largest or smallest response that the budget allows.

    free  variables to choose; the others are given by `at`, or are the same in all data
    cost  an expression of the variables, such as `6 * N * D`

    Raises UserError where the answer is beyond what was tested, unless `extrapolate`.
    """
    law, tested = fit.model, tested_range(fit)
    known = {v.name: v for v in law.variables}
    given = dict(at or {})
    for name in (*free, *given):
        if name not in known:
            raise UserError(f"the law {law.name} has no variable {name!r}; it has {', '.join(known)}")
    if (cost is None) != (budget is None):
        raise UserError("a budget needs a cost, such as `6 * N * D`, and a cost needs a budget")
    columns: dict[str, Array] = {}
    for v in law.variables:
        if v.name in free:
            columns[v.name] = _choices(v, fit, tested, len(free), extrapolate)
        elif v.name in given:
            columns[v.name] = np.array([_given(v, given[v.name], fit, tested, extrapolate)])
        elif len(set(fit.data[v.name])) == 1:
            columns[v.name] = np.array([fit.data[v.name][0]])
        else:
            raise UserError(f"{v.name} ({v.meaning}) is neither free nor given; say which value it has, or free it")
    grid = pl.DataFrame(list(product(*columns.values())), list(columns), orient="row")
    if cost is not None:
        try:
            grid = grid.with_columns(condition(cost).alias("cost")).filter(pl.col("cost") <= budget)
        except pl.exceptions.PolarsError as error:
            raise UserError(f"{cost!r} is no cost of {', '.join(columns)}: {str(error).splitlines()[0]}") from None
        if not grid.height:
            ranges = "; ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in tested.items())
            raise UserError(f"nothing within what was tested ({ranges}) costs at most {budget:.4g}; raise the budget")
    data = {name: grid[name].cast(pl.Float64).to_numpy() for name in columns}
    predicted, _, _ = fit.predict(data)
    best = int(np.nanargmax(predicted) if goal == "max" else np.nanargmin(predicted))
    chosen = {name: float(values[best]) for name, values in data.items()}
    numbers = [name for name in tested if name in chosen]
    return Advice(
        at={name: fit.levels[name][int(x)] if known[name].category else x for name, x in chosen.items()},
        predicted=float(predicted[best]),
        interval=foretell(fit, {name: np.array([x]) for name, x in chosen.items()})[0],
        cost=float(grid["cost"][best]) if cost is not None else None,
        tested=tested,
        beyond=tuple(name for name in numbers if _outside(chosen[name], tested[name])),
        at_edge=tuple(
            name for name in free if name in tested and np.isclose(chosen[name], tested[name], rtol=1e-9).any()
        ),
    )


def invert(
    fit: Fit, variable: str, response: float, at: Mapping[str, float | str], *, extrapolate: bool = False
) -> Inverse:
    """The value of one variable at which the law gives this response, the others being given.

    Raises UserError where the response isn't reached within what was tested, unless `extrapolate`.
    """
    law, tested = fit.model, tested_range(fit)
    known = {v.name: v for v in law.variables}
    if variable not in tested:
        raise UserError(f"the law {law.name} has no number {variable!r}; it has {', '.join(tested)}")
    others = {}
    for v in law.variables:
        if v.name == variable:
            continue
        if v.name not in at:
            raise UserError(f"{v.name} ({v.meaning}) isn't given; say which value it has")
        others[v.name] = _given(v, at[v.name], fit, tested, extrapolate)
    grid = _spaced(known[variable], tested[variable], 400, extrapolate)
    data = {**{name: np.full(len(grid), x) for name, x in others.items()}, variable: grid}
    curve = law.evaluate(fit.values, data)
    value = _crossing(grid, curve, response)
    if value is None:
        reached = f"from {np.nanmin(curve):.4g} to {np.nanmax(curve):.4g}"
        raise UserError(
            f"with {variable} from {grid[0]:.4g} to {grid[-1]:.4g} the law gives {law.response.meaning} {reached}, "
            f"not {response:.4g}" + ("" if extrapolate else "; beyond that it was not tested")
        )
    crossings = [_crossing(grid, each, response) for each in law.evaluate(np.array(fit.draws), data)]
    ends = [grid[-1] if x is None else x for x in crossings]  # not reached: further than one can see
    tail = (1 - fit.level) / 2
    low, high = np.quantile(ends, [tail, 1 - tail])
    return Inverse(
        variable, value, Interval(float(low), float(high), fit.level), bool(_outside(value, tested[variable]))
    )


def _crossing(grid: Array, curve: Array, goal: float) -> float | None:
    """The first value at which a curve crosses the goal, between points by a straight line."""
    side = np.sign(curve - goal)
    at = np.flatnonzero((side[1:] * side[:-1]) <= 0)
    if not len(at):
        return None
    i = at[0]
    share = (goal - curve[i]) / (curve[i + 1] - curve[i]) if curve[i + 1] != curve[i] else 0.0
    return float(grid[i] + share * (grid[i + 1] - grid[i]))


def _spaced(v: Variable, reach_: tuple[float, float], points: int, extrapolate: bool) -> Array:
    low, high = reach_
    if low > 0 and high > 2 * low:
        factor = _BEYOND if extrapolate else 1.0
        low, high = low / factor, high * factor
        grid = np.geomspace(low, high, points)
    else:
        wide = (high - low) if extrapolate else 0.0
        low, high = low - wide, high + wide
        grid = np.linspace(low, high, points)
    return np.unique(np.clip(grid, v.low, v.high))


def _choices(v: Variable, fit: Fit, tested: Mapping[str, tuple[float, float]], count: int, extrapolate: bool) -> Array:
    if v.category:
        return np.arange(len(fit.levels[v.name]), dtype=float)
    return _spaced(v, tested[v.name], max(12, round(_POINTS ** (1 / count))), extrapolate)


def _given(
    v: Variable, value: float | str, fit: Fit, tested: Mapping[str, tuple[float, float]], extrapolate: bool
) -> float:
    if v.category:
        if str(value) not in fit.levels[v.name]:
            raise UserError(f"{v.name} was never {value}; it was {', '.join(fit.levels[v.name])}")
        return float(fit.levels[v.name].index(str(value)))
    try:
        number = float(value)
    except ValueError:
        raise UserError(f"{v.name} must be a number, got {value!r}") from None
    if _outside(number, tested[v.name]) and not extrapolate:
        low, high = tested[v.name]
        raise UserError(
            f"{v.name} = {number:.4g} is beyond what the law was tested on, {low:.4g} to {high:.4g}; "
            "say --extrapolate to go there all the same"
        )
    return number


def _outside(value: float, reach_: tuple[float, float]) -> bool:
    low, high = reach_
    return not low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
