"""Thousands of small fits at once: damped scoring within bounds.

All fits of a `Problem` share their data and differ in where they start, in the weights of their observations (to leave
some out or count some twice), in a tilt of the losses (the wild bootstrap) and in bounds (to hold a parameter fixed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm.fitting.noise import Likelihood
from physlm.laws.law import Law
from physlm.laws.noise import Noise
from physlm.laws.scales import Array

_BLOCK = 4_000_000  # numbers in the derivatives of the fits that move together


@dataclass(frozen=True)
class Problem:
    """What fits have in common: a form, the likelihood of its noise, and data with the response, [n] each.

    detail: of each observation, as the noise asks for, [n].
    """

    form: Law
    likelihood: Likelihood[Any]
    data: Mapping[str, Array]
    detail: Array

    @property
    def noise(self) -> Noise:
        """The noise as the law declares it, with what was fitted of its own parameters."""
        declared: Noise = self.likelihood.noise
        return declared

    @property
    def outcome(self) -> Array:
        """The response, [n]."""
        return self.data[self.form.response.name]

    def location(self, coordinates: Array) -> Array:
        """Location of each observation at coordinates [..., k]: [..., n]."""
        return self.form.locate(self.form.values(coordinates), self.data)


@dataclass(frozen=True)
class Solution:
    """coordinates [b, k], cost [b] and whether the fit has converged, bool [b]."""

    coordinates: Array
    cost: Array
    converged: NDArray[np.bool_]


def solve(
    problem: Problem,
    start: Array,
    *,
    weights: Array | None = None,
    tilt: Array | None = None,
    low: Array | None = None,
    high: Array | None = None,
    iterations: int = 100,
    tolerance: float = 1e-9,
) -> Solution:
    """Minimise Σ weights·loss + tilt·location from start [b, k]: Fisher scoring with Marquardt's damping (1963).

    weights, tilt: [b, n] or None. low, high: coordinates [k] or [b, k], the form's own unless given. A fit has
    converged when a step lowers its cost by less than `tolerance` of its loss.
    """
    lowest, highest = problem.form.bounds()
    low = np.broadcast_to(lowest if low is None else low, start.shape)
    high = np.broadcast_to(highest if high is None else high, start.shape)
    block = max(1, _BLOCK // (start.shape[1] * len(problem.outcome)))
    parts = [slice(i, i + block) for i in range(0, len(start), block)]
    found = [
        _solve(
            problem,
            np.clip(start[part], low[part], high[part]),
            None if weights is None else weights[part],
            None if tilt is None else tilt[part],
            low[part],
            high[part],
            iterations,
            tolerance,
        )
        for part in parts
    ]
    return Solution(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _solve(
    problem: Problem,
    at: Array,
    weights: Array | None,
    tilt: Array | None,
    low: Array,
    high: Array,
    iterations: int,
    tolerance: float,
) -> tuple[Array, Array, NDArray[np.bool_]]:
    size = at.shape[1]
    best, best_cost = at.copy(), np.full(len(at), np.inf)
    converged = np.zeros(len(at), np.bool_)
    moving = np.arange(len(at))  # fits that have not converged; everything below is of these
    weights = None if weights is None else weights.copy()
    tilt = None if tilt is None else tilt.copy()
    location = problem.location(at)
    origin = location  # tilts are about it, so that large numbers don't cancel
    cost, total, pull, curvature = _cost(problem, location, weights, tilt, origin)
    damping = np.full(len(at), 1e-3)
    for _ in range(iterations):
        slope = problem.form.slopes(at, location, problem.data)  # [b, k, n]
        gradient = (slope @ pull[..., None])[..., 0]
        # A parameter at its bound that is pushed further out is held there.
        held = ((at <= low) & (gradient > 0)) | ((at >= high) & (gradient < 0))
        gradient[held] = 0.0
        hessian = (slope * curvature[:, None]) @ slope.transpose(0, 2, 1)
        hessian[held[:, :, None] | held[:, None, :]] = 0.0
        diagonal = np.einsum("bkk->bk", hessian)
        scale = np.maximum(diagonal, 1e-12 * diagonal.max(1, keepdims=True) + 1e-30)
        hessian[:, range(size), range(size)] += damping[:, None] * scale + np.where(held, 1.0, 0.0)
        trial = np.clip(at - _solved(hessian, gradient), low, high)
        new_location = problem.location(trial)
        new_cost, new_total, new_pull, new_curvature = _cost(problem, new_location, weights, tilt, origin)
        better = new_cost < cost  # false where it isn't a number
        done = better & (cost - new_cost <= tolerance * new_total)
        done |= ~better & (damping > 1e7)
        at = np.where(better[:, None], trial, at)
        location = np.where(better[:, None], new_location, location)
        pull = np.where(better[:, None], new_pull, pull)
        curvature = np.where(better[:, None], new_curvature, curvature)
        cost, total = np.where(better, new_cost, cost), np.where(better, new_total, total)
        damping = np.where(better, np.maximum(damping / 10, 1e-12), np.maximum(damping * 6, 1e-6))
        if done.any():
            best[moving[done]], best_cost[moving[done]] = at[done], cost[done]
            converged[moving[done]] = True
            on = ~done
            moving, at, low, high = moving[on], at[on], low[on], high[on]
            location, pull, curvature = location[on], pull[on], curvature[on]
            cost, total, damping = cost[on], total[on], damping[on]
            weights = None if weights is None else weights[on]
            tilt, origin = (None, origin) if tilt is None else (tilt[on], origin[on])
            if not len(moving):
                break
    best[moving], best_cost[moving] = at, cost
    return best, np.where(np.isnan(best_cost), np.inf, best_cost), converged


def _cost(
    problem: Problem, location: Array, weights: Array | None, tilt: Array | None, origin: Array
) -> tuple[Array, Array, Array, Array]:
    """Cost and loss [b]; its slope and curvature with respect to each location, [b, n]."""
    value, slope, curvature = problem.likelihood.loss(location, problem.outcome, problem.detail)
    if weights is not None:
        value, slope, curvature = weights * value, weights * slope, weights * curvature
    total = value.sum(-1)
    if tilt is None:
        return total, total, slope, curvature
    return total + np.einsum("bn,bn->b", tilt, location - origin), total, slope + tilt, curvature


def _solved(matrix: Array, vector: Array) -> Array:
    """Solutions of b small systems; no step where a matrix is singular or not finite."""
    sound = np.asarray(np.isfinite(matrix).all((1, 2)) & np.isfinite(vector).all(1))
    matrix = np.where(sound[:, None, None], matrix, np.eye(matrix.shape[1]))
    vector = np.where(sound[:, None], vector, 0.0)
    try:
        return np.asarray(np.linalg.solve(matrix, vector[..., None])[..., 0], dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.asarray((np.linalg.pinv(matrix) @ vector[..., None])[..., 0], dtype=np.float64)
