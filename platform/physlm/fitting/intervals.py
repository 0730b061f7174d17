"""How sure a fit is: the bootstrap, and the degrees of freedom that clusters give to a quantity.

Residuals are inflated to what they would be on unseen clusters (MacKinnon and White 1985; Bell and McCaffrey 2002) and
multiplied by Webb's six-point weights (2014): the wild bootstrap, for any loss by tilting each observation's slope
(Kline and Santos 2012). Where outliers are expected, whole clusters are drawn again instead. The percentiles' distances
from the estimate are then stretched by t/z with the degrees of freedom that the clusters give to the quantity at hand
(Bell and McCaffrey 2002): what four runs decide gets the interval of four runs, however many others there are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from physlm.errors import LawDataError
from physlm.fitting.optimizer import Problem, solve
from physlm.laws.law import Interval
from physlm.laws.scales import Array, Scale, from_scale, to_scale

_WEBB = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])
_LEVERAGE = 0.9  # more would divide a residual by almost nothing
_SINGULAR = 1e-5  # of the largest singular value: what finite differences can't tell from zero
_LOADING = 0.3  # a parameter with so much of an unidentified direction isn't identified
_STEP = 1e-6  # of derivatives with respect to coordinates
_EXACT = 300  # clusters up to which degrees of freedom are computed exactly
_REFITTED = 50_000_000  # resamples times observations up to which each resample is fitted anew


class Linear:
    """A fit linearised at its coordinates [k]: what each cluster does to them.

    unidentified: bool [k], parameters in a direction along which nothing changes.
    """

    def __init__(self, problem: Problem, coordinates: Array, cluster: NDArray[np.int64]) -> None:
        self.problem, self.coordinates = problem, coordinates
        location = problem.location(coordinates[None])
        loss = problem.likelihood.loss(location[0], problem.outcome, problem.detail)
        self.root = np.sqrt(loss.curvature)
        self.residual = loss.slope / self.root  # whitened, [n]
        slope = problem.form.slopes(coordinates[None], location, problem.data)[0].T * self.root[:, None]  # [n, k]
        low, high = problem.form.bounds()
        slope[:, (coordinates <= low) | (coordinates >= high)] = 0.0  # a parameter at its bound doesn't move
        if not np.isfinite(slope).all():
            raise LawDataError(f"the law {problem.form.name} has no finite slope for these values; check their units")
        length = np.linalg.norm(slope, axis=0)
        moving = length > 1e-12
        left, size, right = np.linalg.svd(slope / np.where(moving, length, 1.0), full_matrices=False)
        sound = size > _SINGULAR * size.max(initial=1e-300)
        self.unidentified = (np.abs(right[~sound]) > _LOADING).any(0) | ~moving
        left, size, right = left[:, sound], size[sound], right[sound]
        self.inverse = (right.T / size) @ left.T / np.where(moving, length, np.inf)[:, None]  # [k, n]
        self.basis = left  # of the fitted values, [n, rank]
        _, self.cluster = np.unique(cluster, return_inverse=True)
        order = np.argsort(self.cluster, kind="stable")
        self.members = np.split(order, np.cumsum(np.bincount(self.cluster))[:-1])

    @property
    def freedom_left(self) -> int:
        """Observations less parameters that they determine."""
        return max(1, len(self.residual) - int(self.basis.shape[1]))

    def unseen(self, values: Array) -> Array:
        """(I − H_cc)⁻¹ v_c for each cluster c: residuals [n] as they would be had their cluster not been fitted."""
        if len(self.members) == len(values):
            leverage = np.minimum((self.basis**2).sum(1), _LEVERAGE)
            return np.asarray(values / (1 - leverage))
        found = np.empty_like(values)
        for members in self.members:
            share, vectors = np.linalg.eigh(self.basis[members] @ self.basis[members].T)
            inflated = (vectors / (1 - np.clip(share, 0.0, _LEVERAGE))) @ vectors.T
            found[members] = inflated @ values[members]
        return found

    def freedom(self, quantity: Callable[[Array], Array]) -> Array:
        """Degrees of freedom of quantities of the coordinates, [..., k] -> [..., q]; gives [q]."""
        step = _STEP * np.maximum(1.0, np.abs(self.coordinates))
        gradient = (quantity(self.coordinates + np.diag(step)) - quantity(self.coordinates)) / step[:, None]  # [k, q]
        found = []
        for influence in gradient.T @ self.inverse:
            pull = self.unseen(influence)
            if len(self.members) > _EXACT:
                variance = np.bincount(self.cluster, pull**2)
                square = float((variance**2).sum())
            else:
                spread = np.zeros((len(pull), len(self.members)))
                spread[np.arange(len(pull)), self.cluster] = pull
                spread -= self.basis @ (self.basis.T @ spread)  # what each cluster's disturbance leaves in residuals
                product = spread.T @ spread
                variance, square = np.diag(product), float((product**2).sum())
            found.append(variance.sum() ** 2 / square if square > 0 else 1.0)
        return np.asarray(np.maximum(1.0, np.array(found)))


def bootstrap(linear: Linear, resamples: int, seed: int) -> Array:
    """Draws of the coordinates, [resamples, k]."""
    problem, at = linear.problem, linear.coordinates
    rng = np.random.Generator(np.random.Philox(seed))
    low, high = problem.form.bounds()
    start = np.repeat(at[None], resamples, axis=0)
    groups = len(linear.members)
    refitted = resamples * len(linear.residual) <= _REFITTED
    if problem.noise.robust and refitted:
        counts = rng.multinomial(groups, np.full(groups, 1 / groups), resamples)
        return solve(problem, start, weights=counts[:, linear.cluster].astype(float), tolerance=1e-7).coordinates
    signs = _WEBB[rng.integers(0, 6, (resamples, groups))]
    unseen = linear.unseen(linear.residual)
    if not refitted:  # one step of each fit
        return np.asarray(np.clip(at - (signs[:, linear.cluster] * unseen) @ linear.inverse.T, low, high))
    tilt = (signs[:, linear.cluster] * unseen - linear.residual) * linear.root
    return solve(problem, start, tilt=tilt, tolerance=1e-7).coordinates


def reach(deviations: Array, level: float, freedom: Array) -> tuple[Array, Array]:
    """How far intervals go below and above, from bootstrap deviations [resamples, ...] and their freedom [...]."""
    tail = (1 - level) / 2
    stretch = stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail)
    low, high = np.quantile(deviations, [tail, 1 - tail], axis=0)
    return np.asarray(np.maximum(-low, 0.0) * stretch), np.asarray(np.maximum(high, 0.0) * stretch)


def interval(scale: Scale, value: Array, draws: Array, level: float, freedom: Array) -> Interval:
    """Interval of one quantity: its value [], its bootstrap draws [resamples] and freedom [], symmetric on a scale."""
    center = to_scale(scale, value)
    below, above = reach(to_scale(scale, draws) - center, level, freedom)
    return Interval(float(from_scale(scale, center - below)), float(from_scale(scale, center + above)), level)
