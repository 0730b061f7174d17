"""Standard errors of means over items that err together."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray


def ratio(sums: NDArray[Any], counts: NDArray[Any]) -> tuple[float, float]:
    """A mean over all items of n clusters, such as the tokens of instances, and its standard error.

    sums, counts: [n], of each cluster. With r = Σ sums / Σ counts the error is √Σ (sum - r·count)² / |Σ counts|,
    by the delta method (Cochran 1977, section 6.4), for clusters that are independent.
    """
    total = counts.sum()
    value = float(sums.sum() / total)
    return value, sqrt(float(((sums - value * counts) ** 2).sum())) / abs(float(total))


def mean(values: NDArray[Any]) -> tuple[float, float | None]:
    """A mean over independent values [n], and its standard error s/√n; None of a single value."""
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1)) / sqrt(n) if n > 1 else None


def clustered_means(values: NDArray[Any], cluster: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Means of values [..., n] over n items, their standard errors, and the number G of clusters; cluster: [n].

    The error is √(G/(G - 1)·Σ (Σ of a cluster's deviations)²) / n, the sandwich estimator of a mean with its correction
    for few clusters (Cameron and Miller 2015, section II.B).
    """
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    means = values.mean(-1)
    residual = np.add.reduceat(values[..., order] - means[..., None], starts, axis=-1)
    groups = len(starts)
    correction = groups / max(1, groups - 1)
    return means, np.sqrt(correction * (residual**2).sum(-1)) / len(cluster), groups


def share(right: NDArray[np.bool_], cluster: NDArray[np.int64] | None = None) -> float:
    """Standard error of a share: half of Wilson's (1927) interval at one standard error, so never 0.

    cluster: [n], by which items err together; the error then grows by the root of the design effect (Kish 1965).
    """
    n, value = len(right), float(right.mean())
    wilson = sqrt(value * (1 - value) / n + 1 / (4 * n**2)) / (1 + 1 / n)
    variance = value * (1 - value) * n
    if cluster is None or variance == 0:
        return wilson
    _, owner = np.unique(cluster, return_inverse=True)
    together = np.bincount(owner, right - value)
    return wilson * sqrt(max(1.0, float((together**2).sum()) / variance))
