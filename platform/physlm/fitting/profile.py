"""Profile likelihood: how much worse the best fit gets with one parameter held elsewhere (Venzon and Moolgavkar 1988).

A second opinion beside the bootstrap: it follows curved valleys, but takes runs for independent and the noise for what
the law says it is. For robust losses the deviance is scaled as Wald's statistic would be (Heritier and Ronchetti 1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from physlm.fitting.intervals import Linear
from physlm.fitting.optimizer import solve
from physlm.laws.law import Interval
from physlm.laws.scales import Array

_STEPS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0])  # standard errors to either side


@dataclass(frozen=True)
class Profile:
    """One parameter's curve. values [p], rising; root [p]: signed root of the deviance, in standard deviations."""

    name: str
    values: Array
    root: Array


def profiles(linear: Linear, dispersion: float) -> list[Profile]:
    """The curves of all parameters, found in one batch from a fit linearised at its best."""
    problem, best = linear.problem, linear.coordinates
    form, count = problem.form, len(linear.coordinates)
    scale = problem.likelihood.profiled(problem.location(best[None])[0], problem.outcome, problem.detail, dispersion)
    covariance = linear.inverse @ linear.inverse.T * scale
    error = np.sqrt(np.diag(covariance))
    low, high = form.bounds()
    reach = np.concatenate([-_STEPS[::-1], _STEPS])
    start, lower, upper = (np.repeat(x[None], count * len(reach), axis=0) for x in (best, low, high))
    for i in range(count):
        rows = slice(i * len(reach), (i + 1) * len(reach))
        moved = reach * (error[i] if error[i] > 0 else 0.1)
        if error[i] > 0:
            start[rows] += moved[:, None] * covariance[i] / covariance[i, i]
        held = np.clip(best[i] + moved, low[i], high[i])
        start[rows, i] = lower[rows, i] = upper[rows, i] = held
    found = solve(problem, start, low=lower, high=upper, iterations=200)
    least = problem.likelihood.loss(problem.location(best[None])[0], problem.outcome, problem.detail).value.sum()
    curves = []
    for i, p in enumerate(form.parameters):
        rows = slice(i * len(reach), (i + 1) * len(reach))
        at = np.insert(lower[rows, i], len(_STEPS), best[i])
        deviance = np.insert(2 * np.maximum(found.cost[rows] - least, 0.0) / scale, len(_STEPS), 0.0)
        root = np.sqrt(deviance) * np.sign(at - best[i])
        values = np.exp(at) if p.scale == "log" else at
        curves.append(Profile(p.name, values, np.where(np.isfinite(root), root, np.nan)))
    return curves


def crossing(curve: Profile, linear: Linear, level: float, low: float, high: float) -> Interval:
    """Where a curve crosses the level; low and high, the parameter's bounds, where it never does."""
    goal = float(stats.t.ppf(0.5 + level / 2, linear.freedom_left))
    middle = len(_STEPS)
    root = np.abs(curve.root)
    ends = []
    for order, bound in ((range(middle, -1, -1), low), (range(middle, len(root)), high)):
        end = bound
        for near, far in zip(list(order), list(order)[1:], strict=False):
            if root[far] >= goal > root[near]:
                share = (goal - root[near]) / (root[far] - root[near])
                end = float(curve.values[near] + share * (curve.values[far] - curve.values[near]))
                break
        ends.append(end)
    return Interval(ends[0], ends[1], level)
