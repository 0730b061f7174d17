"""Read labels of tokens from the states of all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physlm.catalog import Observation
from physlm.models.decoder import Decoder
from physlm.probes import scores
from physlm.probes.fitting.states import all_states, device_of
from physlm.probes.samples import Sample

Solver = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Features [2·M, S, n, d], labels int64 [2·M, V, K, n], test bool [2·M, n] -> what is right, bool [2·M, S, V, K, n]."""


def read_tokens(probe: str, decoder: Decoder, sample: Sample, solver: Solver) -> list[list[Observation]]:
    """Observations of each member from a probe that reads every token by itself, at every layer."""
    device = device_of(decoder)
    tokens = torch.from_numpy(sample.tokens).to(device)
    every = all_states(decoder, torch.cat([tokens, tokens]))  # [S, 2·M, B, T, d]
    places = _places(sample)  # [M, n] of the B·T
    labels = np.take_along_axis(sample.labels.reshape(*sample.labels.shape[:3], -1), places[:, None, None], 3)
    context = sample.tokens.shape[2]
    labels = np.where(places[:, None, None] == _NOWHERE, -1, labels)
    test = np.take_along_axis(sample.test, places // context, 1)
    cluster = np.take_along_axis(sample.cluster, places // context, 1)

    index = torch.from_numpy(np.concatenate([places, places])).to(device)
    models = torch.arange(len(index), device=device).unsqueeze(1)
    features = every.flatten(2, 3)[:, models, index].transpose(0, 1)  # [2·M, S, n, d]
    twice = torch.from_numpy(np.concatenate([labels, labels])).to(device, torch.int64)
    right = solver(features, twice, torch.from_numpy(np.concatenate([test, test])).to(device))
    layers = [{"layer": layer} for layer in range(len(every))]
    return score(probe, sample, layers, right, labels, test, cluster)


def score(
    probe: str,
    sample: Sample,
    places: Sequence[dict[str, int]],
    right: Tensor,
    labels: NDArray[np.int32],
    test: NDArray[np.bool_],
    cluster: NDArray[np.int64],
) -> list[list[Observation]]:
    """Observations of each of M members from right readings, bool [2·M, S, V, K, n].

    labels [M, V, K, n], test and cluster [M, n]. The last place stands for the model.
    """
    members = len(labels)
    values = right.cpu().numpy().astype(np.float64)
    result = []
    for m in range(members):
        rows: list[Observation] = []
        for k, target in enumerate(sample.targets):
            where = test[m] & (labels[m, 0, k] >= 0)
            if where.any():
                trained, untrained = (values[i][:, :, k][..., where] for i in (m, members + m))
                chance = scores.majority(labels[m, 0, k], test[m])
                rows += scores.observations(
                    probe, target, places, trained, untrained, cluster[m][where], chance, places[-1]
                )
        result.append(rows)
    return result


def score_rows(probe: str, sample: Sample, right: Tensor) -> list[list[Observation]]:
    """Observations of each member from right readings of all tokens at every layer, bool [2·M, S, V, K, B·T]."""
    labels = sample.labels.reshape(*sample.labels.shape[:3], -1)
    context = sample.tokens.shape[2]
    layers = [{"layer": layer} for layer in range(right.shape[1])]
    return score(
        probe, sample, layers, right, labels, sample.test.repeat(context, 1), sample.cluster.repeat(context, 1)
    )


_NOWHERE = -1


def _places(sample: Sample) -> NDArray[np.int64]:
    """Where there is a label to read, int64 [M, n]: places among the B·T, filled with negative ones."""
    present = (sample.labels[:, 0] >= 0).any(1).reshape(len(sample.tokens), -1)
    n = int(present.sum(1).max())
    order = np.argsort(~present, axis=1, kind="stable")[:, :n]
    return np.where(np.take_along_axis(present, order, 1), order, _NOWHERE)
