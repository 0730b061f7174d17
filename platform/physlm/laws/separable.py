"""Laws that are linear in some of their parameters: variable projection (Golub and Pereyra 1973).

    response = offset + Σ_j c_j · φ_j(θ),    c_j > 0

For any θ the best c are found at once, so that a search goes over a grid of θ alone: thousands of starts of all
parameters cost as much as a few hundred. What it finds is then polished with everything free.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from itertools import product
from typing import ClassVar

import numpy as np

from physlm.laws.law import Law
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables, attribute_of, places_of

_POLISHED = 12  # starts handed on to the search with all parameters free
_ROUNDS = 3  # of reweighting towards least absolute errors, of the better quarter each time
_BLOCK = 4_000_000  # numbers of the basis at a time


class SeparableLaw(Law):
    """A law whose first parameters, on the scale "log", are linear; responses are positive, their noise relative.

    linear  the first parameters, by name, in which the law is linear
    grids   for each other parameter, the values from which the search starts
    """

    linear: ClassVar[tuple[str, ...]]
    grids: ClassVar[tuple[Array, ...]]

    @abstractmethod
    def terms(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """φ by the name of its coefficient, [..., n] or [1] each; p holds the other parameters alone."""

    @abstractmethod
    def term_slopes(self, p: Parameters, x: Variables, terms: Mapping[str, Array]) -> Mapping[tuple[str, str], Array]:
        """Derivatives of φ by the names of its coefficient and of the other parameter; those left out are 0.

        terms: what `terms` has given there.
        """

    def offset(self, x: Variables) -> Array:
        """What the linear part is added to, [n]."""
        return np.zeros(1)

    def predict(self, p: Parameters, x: Variables) -> Array:
        terms = self.terms(p, x)
        linear = np.concatenate([getattr(p, attribute_of(name)) for name in self.linear], axis=-1)
        return np.asarray(self.offset(x) + (linear[..., None, :] @ self._stacked(terms, x))[..., 0, :])

    def slopes(self, coordinates: Array, location: Array, data: Mapping[str, Array]) -> Array:
        if self.noise.scale != "log" or type(self).slope is not Law.slope:
            return super().slopes(coordinates, location, data)
        count, x = len(self.linear), self.inputs(data)
        values = self.values(coordinates)
        shape = values[..., count:]
        p = self._shape(shape)
        named = self.terms(p, x)
        basis = self._stacked(named, x)
        terms = values[..., :count, None] * basis
        moved = np.zeros((*shape.shape, *basis.shape[-2:]))
        places = {parameter.name: i for i, parameter in enumerate(self.parameters)}
        for (coefficient, other), found in self.term_slopes(p, x, named).items():
            moved[..., places[other] - count, places[coefficient], :] = found
        bent = (values[..., None, None, :count] @ moved)[..., 0, :]
        bent *= np.where(self._logarithmic[count:], shape, 1.0)[..., None]
        slopes = np.concatenate([terms, bent], axis=-2)
        slopes *= np.exp(-location)[..., None, :]
        return np.asarray(slopes)

    def _shape(self, shape: Array) -> Parameters:
        return Parameters(shape, self._shape_places, self.name)

    @cached_property
    def _shape_places(self) -> Mapping[str, slice]:
        return places_of([p.name for p in self.parameters[len(self.linear) :]])

    def _stacked(self, terms: Mapping[str, Array], x: Variables) -> Array:
        """φ as one array, [..., linear, n]."""
        lead = np.broadcast_shapes(*(term.shape[:-1] for term in terms.values()))
        found = np.empty((*lead, len(self.linear), len(x[self.size])))
        for i, name in enumerate(self.linear):
            found[..., i, :] = terms[name]
        return found

    def starts(self, x: Variables) -> Array:
        grid = np.array(list(product(*self.grids)))
        size = max(1, _BLOCK // (len(self.linear) * len(x[self.response.name])))
        parts = [self.project(grid[i : i + size], x) for i in range(0, len(grid), size)]
        coefficients, cost = (np.concatenate(column) for column in zip(*parts, strict=True))
        best = np.argsort(cost, kind="stable")[:_POLISHED]
        return np.concatenate([coefficients[best], grid[best]], axis=1)

    def project(self, shape: Array, x: Variables) -> tuple[Array, Array]:
        """The best linear parameters [s, linear] at each shape [s, m], and the sum of absolute relative errors [s]."""
        response = x[self.response.name]
        basis = self._stacked(self.terms(self._shape(shape), x), x) / response
        size = np.maximum(basis.max(-1), 1e-300)
        basis /= size[..., None]
        goal = 1 - self.offset(x) / response * np.ones(len(response))
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
        low = np.array([p.low for p in self.parameters[: len(self.linear)]])
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
