"""From right and wrong readings to observations, with standard errors clustered by instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm.catalog import Observation


def clustered(values: NDArray[Any], cluster: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Means of values [..., n] over n, their standard errors, and the number of clusters, of n items' clusters [n]."""
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    mean = values.mean(-1)
    residual = np.add.reduceat(values[..., order] - mean[..., None], starts, axis=-1)
    groups = len(starts)
    correction = groups / max(1, groups - 1)
    return mean, np.sqrt(correction * (residual**2).sum(-1)) / len(cluster), groups


def observations(
    probe: str,
    target: str,
    places: Sequence[Mapping[str, int]],
    trained: NDArray[np.float64],
    untrained: NDArray[np.float64],
    cluster: NDArray[np.int64],
    chance: float,
    headline: int = -1,
) -> list[Observation]:
    """One target's accuracy and controls for one model, read at S places.

    places              layer or position of each, S of them
    trained, untrained  [S, V, n]: 1 where the reading of test item i is right, else 0
    cluster             [n]: which items aren't independent
    headline            the place that stands for the model as a whole
    """
    name = f"probe.{probe}.{target}"
    known = None if isnan(chance) else chance
    scale: dict[str, Any] = {"floor": 0.0, "ceiling": 1.0}
    columns: list[tuple[str, NDArray[Any], dict[str, Any]]] = [
        ("", trained[:, 0], {"chance": known, **scale}),
        (".untrained", untrained[:, 0], {"chance": known, **scale}),
        (".shuffled", trained[:, 1], {"chance": known, **scale}),
        (".selectivity", trained[:, 0] - trained[:, 2], {}),
    ]
    result = []
    for suffix, values, levels in columns:
        means, errors, n = clustered(values, cluster)
        for place, mean, error in zip(places, means, errors, strict=True):
            row = Observation(
                name + suffix, float(mean), "1", stderr=float(error), n=n, target=target, **levels, **place
            )
            result.append(row)
            if suffix == "" and place is places[headline]:
                result.append(Observation(name, float(mean), "1", stderr=float(error), n=n, target=target, **levels))
    return result
