"""Which conditions to run next: those that shrink a chosen interval most for what they cost (Elfving 1952).

The fit is linearised at its estimates, so that a design is as good as the estimates are; run, fit again, ask again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl

from physlm.errors import UserError
from physlm.fitting.result import Fit
from physlm.fitting.simulation import columns_of
from physlm.laws.scales import Array, to_scale

_STEP = 1e-6
_SEEDS = 16


@dataclass(frozen=True)
class Design:
    """Chosen conditions in their order; the interval's width, relative to now, after each of them.

    rows: of the candidates, with repetition where a second seed tells more than another condition.
    """

    rows: tuple[int, ...]
    widths: tuple[float, ...]
    cost: float


def next_conditions(
    fit: Fit, candidates: pl.DataFrame, estimate: str, *, budget: float, cost: str | None = None
) -> Design:
    """Choose from candidates, rows with the law's variables, until the budget is spent.

    estimate  the parameter or derived quantity whose interval is to shrink
    cost      the column with what one run costs; 1 each unless given
    """
    missing = [v.name for v in fit.model.variables if v.name not in candidates.columns]
    if missing or not candidates.height:
        raise UserError(f"the candidates have no column {missing[0]!r}" if missing else "there are no candidates")
    price = np.ones(candidates.height) if cost is None else candidates[cost].cast(pl.Float64).to_numpy()
    if (price <= 0).any():
        raise UserError("every candidate must cost something; a cost is 0 or less")
    inverse, gradient, information = _state(fit, candidates, estimate)
    start = float(gradient @ inverse @ gradient)
    rows: list[int] = []
    widths: list[float] = []
    left = budget
    while True:
        pull = information @ inverse  # [c, k]
        gain = (pull @ gradient) ** 2 / (1 + np.einsum("ck,ck->c", pull, information))
        worth = np.where(price <= left, gain / price, -1.0)
        best = int(np.argmax(worth))
        if worth[best] <= 0:
            break
        step = pull[best]
        inverse = inverse - np.outer(step, step) / (1 + step @ information[best])
        left -= price[best]
        rows.append(best)
        widths.append(float(np.sqrt(max(gradient @ inverse @ gradient, 0.0) / start)))
    if not rows:
        raise UserError(f"no candidate costs at most {budget:.4g}; the cheapest costs {price.min():.4g}")
    return Design(tuple(rows), tuple(widths), budget - left)


def narrow_enough(fit: Fit, estimate: str, ratio: float) -> bool:
    """Whether an interval's half width is at most this share of the estimate: when to stop."""
    e = fit.estimate(estimate)
    return bool(e.identified and (e.interval.high - e.interval.low) / 2 <= ratio * abs(e.value))


def _state(fit: Fit, candidates: pl.DataFrame, estimate: str) -> tuple[Array, Array, Array]:
    """Covariance of the coordinates now, gradient of the estimate, and each candidate's information vector [c, k]."""
    linear = fit.linear
    form, scatter, at = linear.problem.form, linear.problem.likelihood, linear.coordinates
    location = linear.problem.location(at[None])
    outcome, detail = linear.problem.outcome, linear.problem.detail
    dispersion = scatter.dispersion(location[0], outcome, detail, linear.freedom_left)
    scale = scatter.profiled(location[0], outcome, detail, dispersion)
    low, high = form.bounds()
    curvature = scatter.loss(location[0], outcome, detail).curvature
    slope = form.slopes(at[None], location, linear.problem.data)[0]
    # What is known beforehand, that parameters lie within their bounds, keeps the matrix regular.
    matrix = (slope * curvature) @ slope.T / scale + np.diag(12 / (high - low) ** 2)
    data = columns_of(form, candidates)
    there = form.locate(form.values(at), data)[None]
    items = np.full(candidates.height, float(np.median(detail)))
    curved = scatter.loss(there[0], form.restore(there[0]), items).curvature
    information = (form.slopes(at[None], there, data)[0] * np.sqrt(curved / scale)).T
    return np.linalg.inv(matrix), _gradient(fit, estimate), information


def _gradient(fit: Fit, estimate: str) -> Array:
    form, at = fit.model, fit.linear.coordinates
    fit.estimate(estimate)
    names = [p.name for p in form.parameters]
    if estimate in names:
        return np.asarray(np.eye(len(names))[names.index(estimate)], dtype=np.float64)
    data = fit.linear.problem.data
    scale = next(q.scale for q in form.derived_quantities(form.inputs(data)) if q.name == estimate)
    moved = form.values(np.concatenate([at[None], at + _STEP * np.eye(len(at))]))
    found = to_scale(scale, form.derive(moved, data)[estimate])
    return np.asarray((found[1:] - found[0]) / _STEP)


@dataclass(frozen=True)
class Grid:
    """A chosen grid of conditions.

    levels   of each axis, as positions in the order in which the candidates have them
    seeds    runs of each condition
    width    of the interval after them, relative to now
    cost     of all runs
    """

    levels: Mapping[str, tuple[int, ...]]
    seeds: int
    width: float
    cost: float


def next_grid(
    fit: Fit, candidates: pl.DataFrame, axes: Sequence[str], estimate: str, *, budget: float, cost: str
) -> Grid:
    """The grid of conditions, as an experiment file holds them, that shrinks an interval most for its cost.

    It grows from the best single condition by one level of an axis or one seed at a time, whichever narrows the
    interval most for what it adds to the cost, until the budget is spent or the seeds are 16.

    candidates  rows with the law's variables, the positions on each axis as integers, and the cost of one run;
                combinations that are left out can't be run
    estimate    the parameter or derived quantity whose interval is to shrink

    Raises UserError where no candidate costs little enough.
    """
    inverse, gradient, information = _state(fit, candidates, estimate)
    now, start = np.linalg.inv(inverse), float(gradient @ inverse @ gradient)
    price = candidates[cost].cast(pl.Float64).to_numpy()
    where = {place: row for row, place in enumerate(candidates.select(axes).iter_rows())}

    def judged(levels: Sequence[tuple[int, ...]], seeds: int) -> Grid | None:
        places = list(product(*levels))
        if any(place not in where for place in places):
            return None
        rows = [where[place] for place in places]
        total = float(price[rows].sum()) * seeds
        if total > budget:
            return None
        after = np.linalg.solve(now + seeds * information[rows].T @ information[rows], gradient)
        width = float(np.sqrt(max(float(gradient @ after), 0.0) / start))
        return Grid(dict(zip(axes, levels, strict=True)), seeds, width, total)

    singles: list[Grid] = [grid for place in where if (grid := judged([(level,) for level in place], 1))]
    if not singles:
        raise UserError(f"no candidate costs at most {budget:.4g}; the cheapest costs {price.min():.4g}")
    chosen = singles[int(np.argmax([-np.log(grid.width) / grid.cost for grid in singles]))]
    while True:
        levels = [chosen.levels[axis] for axis in axes]
        grown = [judged(levels, chosen.seeds + 1)] if chosen.seeds < _SEEDS else []
        for i, axis in enumerate(axes):
            for level in sorted(set(candidates[axis]) - set(levels[i])):
                wider = [*levels[:i], tuple(sorted((*levels[i], level))), *levels[i + 1 :]]
                grown.append(judged(wider, chosen.seeds))
        narrower = [grid for grid in grown if grid and grid.width < chosen.width]
        if not narrower:
            return chosen
        worth = [np.log(chosen.width / grid.width) / (grid.cost - chosen.cost) for grid in narrower]
        chosen = narrower[int(np.argmax(worth))]
