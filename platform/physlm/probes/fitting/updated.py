"""Probes that may change what the embedding says: a low-rank update of it, then linear maps of the last layer.

The model stays frozen, but gradients flow through it. All targets share one update, so a text is read once for all of
them; the variants of all models are one batch of the decoder, each with an update and maps of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding, layer_norm

from physlm import randomness
from physlm.catalog import Observation
from physlm.models.decoder import Decoder
from physlm.models.hidden_states import changed_input, hidden_states
from physlm.probes import scores
from physlm.probes.controls import VARIANTS
from physlm.probes.fitting.states import chosen, device_of
from physlm.probes.probe import Probe, Progress, part_of
from physlm.probes.samples import MARKS, Texts
from physlm.probes.updates import UpdateConfig

_MAX_TRAINING_TOKENS = 1 << 15  # in a step: more members are probed one group after the other
_MAX_TEST_TOKENS = 1 << 16
_PIECES = 2  # that a batch is cut into by length, where its texts may be taken apart

Norm = Literal["layer", "batch", "none"]
"""Of the state before the linear map, which takes up the norm's gain and bias: over features, the batch, or none."""


@dataclass(frozen=True)
class Problem:
    """One readout: of a model, a row of the decoder, on a member's texts with the labels of a variant."""

    model: int
    member: int
    variant: int


def read(probe: Probe, decoder: Decoder, texts: Texts, norm: Norm, seeds: Sequence[int]) -> list[list[Observation]]:
    """Observations of each of M members; decoder: 2·M frozen models, the members' and then their twins."""
    found = readings(probe, decoder, texts, norm, seeds)
    return [_observations(probe.name, decoder.config.layers, texts, m, right) for m, right in enumerate(found)]


def readings(
    probe: Probe, decoder: Decoder, texts: Texts, norm: Norm, seeds: Sequence[int], *, layered: bool = False
) -> Iterator[NDArray[np.bool_]]:
    """Which readings are right, of each member: [V + 1, K, q, R], of the trained model by variant, and of its twin.

    layered: the r-th place is read from layer r, 0 being the embedding, instead of all from the last.
    """
    config, members = probe.config, len(seeds)
    assert isinstance(config, UpdateConfig)
    each = (len(VARIANTS) + 1) * config.batch * texts.tokens.shape[2]
    at_once = max(1, _MAX_TRAINING_TOKENS // each)
    for start in range(0, members, at_once):
        group = range(start, min(start + at_once, members))
        problems = [
            problem
            for m in group
            for problem in (*(Problem(m, m, v) for v in range(len(VARIANTS))), Problem(members + m, m, 0))
        ]
        progress = part_of(probe.progress, start / members, len(group) / members)
        fitted = Updated(decoder, texts, problems, config, norm, seeds, layered=layered).train(progress)
        right = fitted.hits().cpu().numpy()
        yield from right.reshape(len(group), len(VARIANTS) + 1, *right.shape[1:])


def _observations(probe: str, layers: int, texts: Texts, member: int, right: NDArray[np.bool_]) -> list[Observation]:
    """right [V + 1, K, q, R]: of the trained model by variant, and of its twin."""
    several = texts.places.shape[2] > 1
    rows: list[Observation] = []
    for k, target in enumerate(texts.targets):
        for r in range(texts.places.shape[2]):
            labels, test = texts.labels[member, 0, k, :, r], texts.test[member]
            where = test & (labels >= 0)
            if where.any():
                values = right[:, k, where, r].astype(float)
                place = {"position": r} if several else {"layer": layers}
                rows += scores.observations(
                    probe,
                    target,
                    [place],
                    values[None, :-1],
                    values[None, -1:],
                    texts.cluster[member][where],
                    scores.majority(labels, test),
                    place if r == 0 else None,
                )
    return rows


class Updated:
    """Readouts for G problems, R places, K targets: each problem has one update, and a map for each target and place.

    norm     of the state that is mapped
    seeds    of the members: in which order their texts come
    layered  whether the r-th place is read from layer r instead of from the last
    """

    def __init__(
        self,
        decoder: Decoder,
        texts: Texts,
        problems: Sequence[Problem],
        config: UpdateConfig,
        norm: Norm,
        seeds: Sequence[int],
        *,
        layered: bool = False,
    ) -> None:
        self.decoder = chosen(decoder, [problem.model for problem in problems])
        self.texts, self.problems, self.config, self.norm, self.seeds = texts, problems, config, norm, seeds
        self.layered = layered
        self.device = device_of(decoder)
        count, places = len(problems), texts.places.shape[2]
        width, most = decoder.config.width, max(texts.targets.values())
        generator = torch.Generator().manual_seed(randomness.key("probe", "updated", config.rank) >> 1)
        down = torch.randn(config.rank, width, generator=generator) * width**-0.5
        self.up = self._parameter(torch.zeros(count, decoder.vocabulary, config.rank))
        self.down = self._parameter(down.repeat(count, 1, 1))
        self.marks = self._parameter(torch.zeros(count, MARKS, width))
        self.map = self._parameter(torch.zeros(count, places, width, len(texts.targets) * most))
        self.bias = self._parameter(torch.zeros(count, places, 1, len(texts.targets) * most))
        classes = torch.tensor(list(texts.targets.values())).unsqueeze(1)
        self.no_class = torch.where(torch.arange(most) >= classes, -torch.inf, 0.0).to(self.device)  # [K, C]
        self.mean = torch.zeros(count, places, 1, width, device=self.device)
        self.variance = torch.ones_like(self.mean)

    def _parameter(self, value: Tensor) -> Tensor:
        return value.to(self.device).requires_grad_()

    def _tokens(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Texts in rows [M, b] -> tokens [G, b, T], no more than are needed, and places [G, b, R]."""
        owner = [problem.member for problem in self.problems]
        places = np.take_along_axis(self.texts.places, rows[:, :, None], 1)
        tokens = np.take_along_axis(self.texts.tokens, rows[:, :, None], 1)[:, :, : places.max() + 1]
        return torch.from_numpy(tokens[owner]).to(self.device), torch.from_numpy(places[owner]).to(self.device)

    def _labels(self, rows: NDArray[np.int64]) -> Tensor:
        """Rows [M, b] -> [G, R, b, K]."""
        own = [self.texts.labels[p.member, p.variant][:, rows[p.member]].transpose(2, 1, 0) for p in self.problems]
        return torch.from_numpy(np.stack(own).astype(np.int64)).to(self.device)

    def _states(self, tokens: Tensor, places: Tensor) -> Tensor:
        """[G, b, T], [G, b, R] -> what the last layer, or each place's own, says there, [G, R, b, d]."""
        count, batch, context = tokens.shape
        vocabulary = self.decoder.vocabulary
        rows = torch.cat([self.up @ self.down, self.marks], 1)  # what each token's embedding is changed by
        own = torch.arange(count, device=self.device).view(-1, 1, 1) * rows.shape[1]
        change = embedding(tokens + own, rows.flatten(0, 1)).flatten(1, 2)
        with changed_input(self.decoder.blocks[0], lambda x: x + change):
            known = torch.where(tokens < vocabulary, tokens, 0)
            hidden = hidden_states(self.decoder, known) if self.layered else [self.decoder(known)]
        index = places.unsqueeze(3).expand(-1, -1, -1, self.decoder.config.width)
        parts = torch.split(index, 1 if self.layered else index.shape[2], 2)
        read = [own.view(count, batch, context, -1).gather(2, part) for own, part in zip(hidden, parts, strict=True)]
        return torch.cat(read, 2).transpose(1, 2)

    def _map(self, states: Tensor, training: bool) -> Tensor:
        """[G, R, b, d] -> [G, R, b, K, C]."""
        logits = self._normal(states, training) @ self.map + self.bias
        logits = logits.view(*logits.shape[:3], *self.no_class.shape) + self.no_class
        return logits

    def _normal(self, states: Tensor, training: bool) -> Tensor:
        match self.norm:
            case "none":
                return states
            case "layer":
                return layer_norm(states, states.shape[-1:])
        if training:
            variance, mean = torch.var_mean(states, 2, correction=0, keepdim=True)
            self.mean.lerp_(mean.detach(), 0.1)
            self.variance.lerp_(variance.detach(), 0.1)
            return (states - mean) * (variance + 1e-5).rsqrt()
        return (states - self.mean) * (self.variance + 1e-5).rsqrt()

    def logits(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Of texts [G, b, T] at places [G, b, R]: [G, R, b, K, C]."""
        with torch.no_grad():
            return self._map(self._states(tokens, places), training=False)

    @torch.enable_grad()
    def train(self, progress: Progress = lambda share: None) -> Updated:
        """Fit all problems; returns itself."""
        config = self.config
        parameters = [self.up, self.down, self.marks, self.map, self.bias]
        optimizer = torch.optim.AdamW(parameters, lr=config.rate, weight_decay=config.weight_decay)
        decline = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, config.steps)
        batches = zip(*(islice(self._batches(m), config.steps) for m in range(len(self.seeds))), strict=True)
        for step, rows in enumerate(batches):
            progress(step / config.steps)
            for loss in self._losses(np.stack(rows)):
                loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            decline.step()
        return self

    def _batches(self, member: int) -> Iterator[NDArray[np.int64]]:
        """Rows that aren't for testing, in an order that is the member's own, over and over."""
        usable = (self.texts.labels[member, 0] >= 0).any((0, 2)) & ~self.texts.test[member]
        rows = np.flatnonzero(usable)
        key, epoch = randomness.key("probe", "batch", self.seeds[member]), 0
        left = rows[:0]
        while True:
            while len(left) < self.config.batch:
                left = np.concatenate([left, rows[randomness.permutation(key, epoch, len(rows))]])
                epoch += 1
            yield left[: self.config.batch]
            left = left[self.config.batch :]

    def _losses(self, rows: NDArray[np.int64]) -> Iterator[Tensor]:
        """Sums over problems, places and targets, each a mean over what there is to read in the batch [M, b]."""
        length = np.take_along_axis(self.texts.places.max(2), rows, 1)
        rows = np.take_along_axis(rows, length.argsort(1, kind="stable"), 1)
        labels = self._labels(rows)
        weight = (labels >= 0) / (labels >= 0).sum((1, 2), keepdim=True).clamp(min=1)
        pieces = 1 if self.norm == "batch" else min(_PIECES, self.config.batch)
        for part in np.array_split(np.arange(self.config.batch), pieces):
            logits = self._map(self._states(*self._tokens(rows[:, part])), training=True)
            own = labels[:, :, part]
            nll = logits.logsumexp(-1) - logits.gather(-1, own.clamp(min=0).unsqueeze(-1)).squeeze(-1)
            yield (nll * weight[:, :, part]).sum()

    def hits(self) -> Tensor:
        """Which readings of texts for testing are right: bool [G, K, q, R]; false of all others."""
        count = self.texts.places.shape[1]
        found = torch.zeros(len(self.problems), len(self.texts.targets), count, self.texts.places.shape[2])
        found = found.to(self.device, torch.bool)
        longest_last = np.where(self.texts.test, self.texts.places.max(2), -1).argsort(1, kind="stable")
        tested = longest_last[:, count - int(self.texts.test.sum(1).max()) :]
        at_once = max(1, _MAX_TEST_TOKENS // (len(self.problems) * self.texts.tokens.shape[2]))
        for start in range(0, tested.shape[1], at_once):
            rows = tested[:, start : start + at_once]
            best = self.logits(*self._tokens(rows)).argmax(-1)  # [G, R, b, K]
            right = (best == self._labels(rows)).permute(0, 3, 2, 1)
            where = torch.from_numpy(rows[[problem.member for problem in self.problems]]).to(self.device)
            found.scatter_(2, where[:, None, :, None].expand_as(right), right)
        return found
