"""The scales on which things are fitted and intervals are symmetric: a logarithm, a logit, or the number itself."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Array = NDArray[np.float64]
Scale = Literal["log", "logit", "linear"]


def to_scale(scale: Scale, value: Array) -> Array:
    """Coordinates of values."""
    with np.errstate(divide="ignore"):  # the logarithm of nothing is minus infinity
        return np.asarray(np.log(value) if scale == "log" else logit(value) if scale == "logit" else value)


def from_scale(scale: Scale, coordinate: Array) -> Array:
    """Values at coordinates."""
    with np.errstate(over="ignore"):
        return np.asarray(
            np.exp(coordinate) if scale == "log" else expit(coordinate) if scale == "logit" else coordinate
        )


def logit_of_log(logarithm: Array) -> Array:
    """Logit of a share given by its logarithm, exact for shares close to 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(logarithm - np.log(-np.expm1(logarithm)))
