"""Thousands of small least-squares problems at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_STEP = 1e-6  # of the finite differences, in units of the logarithm of a parameter


@dataclass(frozen=True)
class Solution:
    """values [B, k], cost [B] (half the sum of squares), converged bool [B]."""

    values: Array
    cost: Array
    converged: NDArray[np.bool_]


def jacobian(residuals: Callable[[Array], Array], values: Array, at: Array) -> Array:
    """Derivatives of the residuals `at` [B, n] with respect to values [B, k]: [B, n, k]."""
    columns = []
    for i in range(values.shape[1]):
        moved = values.copy()
        moved[:, i] += _STEP
        columns.append((residuals(moved) - at) / _STEP)
    return np.stack(columns, axis=2)


def solve(
    residuals: Callable[[Array], Array], start: Array, low: Array, high: Array, *, iterations: int = 80
) -> Solution:
    """Levenberg-Marquardt (Marquardt 1963) for B problems in one vectorised program, within bounds [k].

    residuals: values [B, k] -> [B, n]. A problem has converged when a step lowers its cost by less than a part in 10⁹.
    """
    values = np.clip(start, low, high)
    current = residuals(values)
    cost = 0.5 * (current**2).sum(1)
    damping = np.full(len(values), 1e-3)
    converged = np.zeros(len(values), np.bool_)
    for _ in range(iterations):
        if converged.all():
            break
        slope = jacobian(residuals, values, current)
        gradient = np.einsum("bnk,bn->bk", slope, current)
        # A parameter at its bound that is pushed further out is held there.
        held = ((values <= low) & (gradient > 0)) | ((values >= high) & (gradient < 0))
        slope = np.where(held[:, None, :], 0.0, slope)
        gradient = np.where(held, 0.0, gradient)
        curvature = np.einsum("bnk,bnl->bkl", slope, slope)
        scale = np.maximum(np.einsum("bkk->bk", curvature), 1e-12)
        system = curvature + np.eye(values.shape[1]) * (damping[:, None] * scale + 1e-15)[:, None, :]
        trial = np.clip(values - np.linalg.solve(system, gradient[..., None])[..., 0], low, high)
        found = residuals(trial)
        trial_cost = 0.5 * (found**2).sum(1)
        better = trial_cost < cost
        converged |= better & (cost - trial_cost <= 1e-9 * cost + 1e-300)
        converged |= ~better & (damping > 1e8)
        accept = better & np.isfinite(trial_cost)
        values = np.where(accept[:, None], trial, values)
        current = np.where(accept[:, None], found, current)
        cost = np.where(accept, trial_cost, cost)
        damping = np.clip(np.where(accept, damping / 5, damping * 5), 1e-12, 1e12)
    return Solution(values, cost, converged)
