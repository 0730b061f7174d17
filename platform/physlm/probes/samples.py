"""What probes are trained and tested on: fresh instances, split by instance, with labels and control labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.measures.contract import Member
from physlm.probes import controls
from physlm.tasks.contract import Instances, Stream

INSTANCES = 600
_TEST_ONE_IN = 3


@dataclass(frozen=True)
class Sample:
    """B rows of T tokens for each of M members, K targets in V variants (see `physlm.probes.controls`).

    targets   name and number of classes, in the order of the axis K
    tokens    int64 [M, B, T]; an instance a row, filled with separators
    labels    int32 [M, V, K, B, T]; -1 where there is nothing to read
    cluster   int64 [M, B]: rows of one cluster aren't independent
    test      bool [M, B]: rows to test on; a cluster is never split
    """

    targets: Mapping[str, int]
    tokens: NDArray[np.int64]
    labels: NDArray[np.int32]
    cluster: NDArray[np.int64]
    test: NDArray[np.bool_]

    @property
    def chance(self) -> NDArray[np.float64]:
        """Accuracy on the test rows of the class that is most frequent in the training rows, [M, K]."""
        result = np.full((len(self.tokens), len(self.targets)), np.nan)
        for m, k in np.ndindex(*result.shape):
            train, test = (self.labels[m, 0, k][rows] for rows in (~self.test[m], self.test[m]))
            if (train >= 0).any() and (test >= 0).any():
                majority = np.bincount(train[train >= 0]).argmax()
                result[m, k] = (test[test >= 0] == majority).mean()
        return result


def sample(
    members: Sequence[Member], targets: Mapping[str, int], ends: Mapping[str, str] | None = None, count: int = INSTANCES
) -> Sample:
    """The first `count` test instances of each member's own stream, with their labels for these targets.

    ends: by target, the label that must be 1 where it is read.
    """
    drawn = [m.task.sample(Stream("test", m.seed), np.arange(count, dtype=np.int64)) for m in members]
    context = max(int(instances.lengths.max()) for instances in drawn)
    tokens = np.stack([rows(i, i.tokens, context, m.task.separator) for m, i in zip(members, drawn, strict=True)])
    labels = []
    for instances in drawn:
        columns = []
        for target in targets:
            column = rows(instances, instances.labels[target], context, -1)
            if ends is not None and target in ends:
                column = np.where(rows(instances, instances.labels[ends[target]], context, 0) == 1, column, -1)
            columns.append(column.astype(np.int32))
        labels.append(np.stack(columns))
    clusters, test = zip(*(split(m, i) for m, i in zip(members, drawn, strict=True)), strict=True)
    return Sample(targets, tokens, vary(np.stack(labels), tokens, members), np.stack(clusters), np.stack(test))


def split(member: Member, instances: Instances) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The cluster of each instance, int64 [B], and whether it is for testing, bool [B]."""
    shared = member.task.clusters
    first = instances.offsets[:-1]
    cluster = np.arange(len(instances), dtype=np.int64) if shared is None else instances.labels[shared][first]
    words = randomness.words(randomness.key("probe", "split", member.seed), cluster.astype(np.int64), 1)[:, 0]
    return cluster.astype(np.int64), words % _TEST_ONE_IN == 0


def vary(labels: NDArray[np.int32], tokens: NDArray[np.int64], members: Sequence[Member]) -> NDArray[np.int32]:
    """labels int32 [M, K, B, T], tokens int64 [M, B, T] -> with their controls, int32 [M, V, K, B, T]."""
    result = np.empty((len(labels), len(controls.VARIANTS), *labels.shape[1:]), np.int32)
    result[:, 0] = labels
    for m, member in enumerate(members):
        types = controls.types(tokens[m])
        for k, column in enumerate(labels[m]):
            key = randomness.key("probe", "controls", member.seed, k)
            result[m, 1, k] = controls.shuffled(column, key)
            result[m, 2, k] = controls.control(column, types, key)
    return result


def rows(instances: Instances, values: NDArray[np.int32], width: int, filling: int) -> NDArray[np.int64]:
    """Values of each token as one row an instance, int64 [n, width]."""
    place = np.arange(width)
    there = place < instances.lengths[:, None]
    source = np.where(there, instances.offsets[:-1, None] + place, 0)
    return np.where(there, values[source], filling).astype(np.int64)
