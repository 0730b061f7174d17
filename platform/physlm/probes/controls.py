"""Control labels: exchanged among instances, and a random function of the last tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physlm import randomness

VARIANTS = ("true", "shuffled", "control")
"""The labels that every probe is trained for, in the order of the axis V."""

_TYPES = 500  # far more than a small model's state has dimensions, so that no linear map tells all of them apart


def shuffled(labels: NDArray[np.int32], key: int) -> NDArray[np.int32]:
    """Each column's labels in random order, int32 [B, T]; -1 stays where it is."""
    rows, columns = labels.shape
    draws = randomness.words(key, np.arange(rows, dtype=np.int64), columns).astype(np.float64)
    absent = labels < 0
    giving = np.argsort(np.where(absent, np.inf, draws), axis=0, kind="stable")
    taking = np.argsort(absent, axis=0, kind="stable")  # rows with a label first, in their order
    result = np.empty_like(labels)
    np.put_along_axis(result, taking, np.take_along_axis(labels, giving, 0), 0)
    return result


def types(tokens: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for the last tokens up to each place, the same for the same ones.

    tokens int64 [B, T], places int64 [B, R] -> int64 [B, R]. As many last tokens as it takes to tell 500 types, 64 at
    most.
    """
    code = np.zeros(places.size, np.int64)
    for back in range(min(64, tokens.shape[1])):
        earlier = np.where(places >= back, np.take_along_axis(tokens, np.maximum(places - back, 0), 1), -1).ravel()
        code = np.unique(code * (int(tokens.max()) + 2) + earlier + 1, return_inverse=True)[1]
        if code.max() + 1 >= _TYPES:
            break
    return code.reshape(places.shape)


def control(labels: NDArray[np.int32], types_: NDArray[np.int64], key: int) -> NDArray[np.int32]:
    """A class for each type, drawn with the frequencies of the labels; -1 stays where it is. int32 [B, T]."""
    present = labels >= 0
    if not present.any():
        return labels
    counts = np.bincount(labels[present])
    draws = randomness.words(key, types_.ravel(), 1)[:, 0].reshape(labels.shape) / 2.0**32
    drawn = np.searchsorted(np.cumsum(counts) / counts.sum(), draws, side="right")
    return np.where(present, np.minimum(drawn, len(counts) - 1), -1).astype(np.int32)
