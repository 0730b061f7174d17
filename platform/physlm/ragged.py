"""Rows of different lengths in one flat array: row i is values[offsets[i]:offsets[i + 1]]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def offsets_of(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where rows of these lengths [n] begin and end, int64 [n + 1]."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def owners(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of each value, int64 [total]."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def places(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each value in its row, int64 [total]."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def sums(values: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum of each row of values [total], float64 [n]; 0 of an empty row."""
    return np.bincount(owners(offsets), values, len(offsets) - 1).astype(np.float64, copy=False)


def padded(values: NDArray[Scalar], offsets: NDArray[np.int64], width: int, filling: int) -> NDArray[np.int64]:
    """The first `width` values of each row as a matrix, int64 [n, width], filled with `filling`."""
    place = np.arange(width)
    is_there = place < np.diff(offsets)[:, None]
    source = np.where(is_there, offsets[:-1, None] + place, 0)
    return np.where(is_there, values[source] if len(values) else filling, filling).astype(np.int64)
