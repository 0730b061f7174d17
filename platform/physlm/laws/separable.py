"""Laws that are linear in some of their parameters: variable projection (Golub and Pereyra 1973).

    response = offset + Σ_j c_j · φ_j(θ),    c_j > 0

For any θ the best c are found at once, so that a search goes over a grid of θ alone: thousands of starts of all
parameters cost as much as a few hundred. What it finds is then polished with everything free.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from itertools import product
from typing import ClassVar

import numpy as np

from physlm.laws.law import Law
from physlm.laws.scales import Array

_POLISHED = 12  # starts handed on to the search with all parameters free
_ROUNDS = 3  # of reweighting towards least absolute errors, of the better quarter each time
_BLOCK = 4_000_000  # numbers of the basis at a time


class SeparableLaw(Law):
    """A law whose first parameters, on the scale "log", are linear; responses are positive, their noise relative.

    linear  how many parameters are linear
    grids   for each other parameter, the values from which the search starts
    """

    linear: ClassVar[int]
    grids: ClassVar[tuple[Array, ...]]

    @abstractmethod
    def basis(self, shape: Array, data: Mapping[str, Array]) -> Array:
        """φ. shape: the other parameters, [..., m] -> [..., linear, n]."""

    @abstractmethod
    def basis_slope(self, shape: Array, basis: Array, data: Mapping[str, Array]) -> Array:
        """Derivatives of φ with respect to each other parameter: [..., m, linear, n]; basis: φ there."""

    def offset(self, data: Mapping[str, Array]) -> Array:
        """What the linear part is added to, [n]."""
        return np.zeros(1)

    def predict(self, parameters: Array, data: Mapping[str, Array]) -> Array:
        basis = self.basis(parameters[..., self.linear :], data)
        return np.asarray(self.offset(data) + (parameters[..., None, : self.linear] @ basis)[..., 0, :])

    def slope(self, coordinates: Array, location: Array, data: Mapping[str, Array]) -> Array:
        if self.noise.scale != "log":
            return super().slope(coordinates, location, data)
        values = self.values(coordinates)
        shape = values[..., self.linear :]
        basis = self.basis(shape, data)
        terms = values[..., : self.linear, None] * basis
        moved = self.basis_slope(shape, basis, data)
        bent = (values[..., None, None, : self.linear] @ moved)[..., 0, :]
        bent *= np.where(self._logarithmic[self.linear :], shape, 1.0)[..., None]
        found = np.concatenate([terms, bent], axis=-2)
        found *= np.exp(-location)[..., None, :]
        return np.asarray(found)

    def starts(self, data: Mapping[str, Array]) -> Array:
        grid = np.array(list(product(*self.grids)))
        size = max(1, _BLOCK // (self.linear * len(data[self.response.name])))
        parts = [self.project(grid[i : i + size], data) for i in range(0, len(grid), size)]
        coefficients, cost = (np.concatenate(column) for column in zip(*parts, strict=True))
        best = np.argsort(cost, kind="stable")[:_POLISHED]
        return np.concatenate([coefficients[best], grid[best]], axis=1)

    def project(self, shape: Array, data: Mapping[str, Array]) -> tuple[Array, Array]:
        """The best linear parameters [s, linear] at each shape [s, m], and the sum of absolute relative errors [s]."""
        response = data[self.response.name]
        basis = self.basis(shape, data) / response
        size = np.maximum(basis.max(-1), 1e-300)
        basis /= size[..., None]
        goal = 1 - self.offset(data) / response * np.ones(len(response))
        found = _nonnegative(basis @ basis.transpose(0, 2, 1), basis @ goal)
        cost = np.empty(len(shape))
        going = np.arange(len(shape))
        for left in reversed(range(_ROUNDS)):
            part = basis[going]
            error = (found[going, None] @ part)[:, 0]
            error -= goal
            np.abs(error, out=error)
            cost[going] = error.sum(1)
            if not left:
                break
            better = np.argsort(cost[going], kind="stable")[: max(_POLISHED, len(going) // 4)]
            going, part, error = going[better], part[better], error[better]
            weighted = part / np.maximum(error, 0.3 * error.mean(1, keepdims=True) + 1e-9)[:, None]
            found[going] = _nonnegative(weighted @ part.transpose(0, 2, 1), weighted @ goal)
        low = np.array([p.low for p in self.parameters[: self.linear]])
        return np.maximum(found / size, low), cost


def _nonnegative(matrix: Array, vector: Array) -> Array:
    """Least squares with coefficients of at least 0, for [s, k, k] and [s, k]: negative ones are left out in turn."""
    count = vector.shape[1]
    used = np.ones(vector.shape, np.bool_)
    eye = np.eye(count)
    found = np.zeros_like(vector)
    for _ in range(count):
        both = used[:, :, None] & used[:, None, :]
        ridge = 1e-12 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] * eye + np.where(both, 0.0, eye)
        found = np.linalg.solve(np.where(both, matrix, 0.0) + ridge, np.where(used, vector, 0.0)[..., None])[..., 0]
        negative = (found < 0) & used
        if not negative.any():
            break
        used &= ~(negative & (found <= found.min(1, keepdims=True)))
    return np.asarray(np.maximum(found, 0.0))
