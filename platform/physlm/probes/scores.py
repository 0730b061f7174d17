"""From right and wrong readings to observations, with standard errors clustered by instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm import standard_errors
from physlm.catalog import Observation


def majority(labels: NDArray[np.int32], test: NDArray[np.bool_]) -> float | None:
    """Accuracy on the test items of the class that is most frequent among the others; -1 is no label."""
    train, held = labels[(labels >= 0) & ~test], labels[(labels >= 0) & test]
    return float((held == np.bincount(train).argmax()).mean()) if len(train) and len(held) else None


def observations(
    probe: str,
    target: str,
    places: Sequence[Mapping[str, int]],
    trained: NDArray[np.float64],
    untrained: NDArray[np.float64],
    cluster: NDArray[np.int64],
    chance: float | None,
    headline: Mapping[str, int] | None,
) -> list[Observation]:
    """One target's accuracy and controls for one model, read at S places.

    places              layer or position of each, S of them
    trained, untrained  [S, V, n]: 1 where the reading of test item i is right, else 0
    cluster             [n]: which items aren't independent
    chance              accuracy of the majority class
    headline            the place that stands for the model as a whole, if one of these does
    """
    name = f"probe.{probe}.{target}"
    scale: dict[str, Any] = {"chance": chance, "floor": 0.0, "ceiling": 1.0}
    columns: list[tuple[str, NDArray[Any], dict[str, Any]]] = [
        ("", trained[:, 0], scale),
        (".untrained", untrained[:, 0], scale),
        (".shuffled", trained[:, 1], scale),
        (".selectivity", trained[:, 0] - trained[:, 2], {}),
    ]
    result = []
    for suffix, values, levels in columns:
        means, errors, n = standard_errors.clustered_means(values, cluster)
        for place, mean, error in zip(places, means, errors, strict=True):
            row = Observation(
                name + suffix, float(mean), "1", stderr=float(error), n=n, target=target, **levels, **place
            )
            result.append(row)
            if suffix == "" and place is headline:
                result.append(Observation(name, float(mean), "1", stderr=float(error), n=n, target=target, **levels))
    return result
