"""Probes that may change what the embedding says: a low-rank update of it, then a linear map of the last layer.

The model stays frozen, but gradients flow through it. All targets and variants of all models are one batch of the
decoder, each with an update and a map of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding

from physlm import randomness
from physlm.catalog import Observation
from physlm.models.decoder import Decoder
from physlm.probes import scores
from physlm.probes.fitting.states import device_of, updated
from physlm.probes.samples import MARKS, Texts

_TOKENS_AT_ONCE = 1 << 16  # in testing


@dataclass(frozen=True)
class Recipe:
    """How such a probe is trained: AdamW, its rate falling linearly to 0.

    rank   of the embedding's update
    norm   of the state before the linear map, which takes up the norm's gain and bias: over its features ("layer"),
           over the batch ("batch"), or none
    """

    rank: int
    norm: Literal["layer", "batch", "none"]
    weight_decay: float
    steps: int = 300
    batch: int = 32
    rate: float = 0.02


def read(probe: str, decoder: Decoder, texts: Texts, recipe: Recipe, seeds: list[int]) -> list[list[Observation]]:
    """Observations of each of M members; decoder: 2·M frozen models, the members' and then their twins."""
    right = _Updated(decoder, texts, recipe, seeds).hits().cpu().numpy()  # [2·M, V, K, q, R]
    members, several = len(seeds), texts.places.shape[3] > 1
    result = []
    for m in range(members):
        rows: list[Observation] = []
        for k, target in enumerate(texts.targets):
            for r in range(texts.places.shape[3]):
                labels, test = texts.labels[m, 0, k, :, r], texts.test[m, k]
                where = test & (labels >= 0)
                if where.any():
                    trained, untrained = (right[i, :, k, where, r].T[None].astype(float) for i in (m, members + m))
                    place = {"position": r} if several else {"layer": decoder.config.layers}
                    rows += scores.observations(
                        probe,
                        target,
                        [place],
                        trained,
                        untrained,
                        texts.cluster[m, k][where],
                        scores.majority(labels, test),
                        place if r == 0 else None,
                    )
        result.append(rows)
    return result


class _Updated:
    """Parameters for G = 2·M models, V variants and K targets, each [G, V, K, ...]."""

    def __init__(self, decoder: Decoder, texts: Texts, recipe: Recipe, seeds: list[int]) -> None:
        self.decoder, self.texts, self.recipe, self.seeds = decoder, texts, recipe, seeds
        self.device = device_of(decoder)
        self.models = 2 * len(seeds)
        variants, targets, _, places = texts.labels.shape[1:]
        self.problems = variants, targets
        width, most = decoder.config.width, max(texts.targets.values())
        shape = (self.models, variants, targets)
        generator = torch.Generator().manual_seed(randomness.key("probe", "updated", recipe.rank) >> 1)
        down = torch.randn(recipe.rank, width, generator=generator) * width**-0.5
        self.up = self._parameter(torch.zeros(*shape, decoder.vocabulary + MARKS, recipe.rank))
        self.down = self._parameter(down.repeat(*shape, 1, 1))
        self.marks = self._parameter(torch.zeros(*shape, MARKS, width))
        self.map = self._parameter(torch.zeros(*shape, places, width, most))
        self.bias = self._parameter(torch.zeros(*shape, places, most))
        classes = torch.tensor(list(texts.targets.values()))
        self.no_class = torch.where(torch.arange(most) >= classes.view(-1, 1, 1, 1), -torch.inf, 0.0).to(self.device)
        self.mean = torch.zeros(*shape, 1, places, width, device=self.device)
        self.variance = torch.ones_like(self.mean)

    def _parameter(self, value: Tensor) -> Tensor:
        return value.to(self.device).requires_grad_()

    def _tensor(self, values: NDArray[np.generic], rows: NDArray[np.int64]) -> Tensor:
        """values [M, K, q, ...] at rows [M, K, b], for the members and again for their twins -> [2·M, K, b, ...]."""
        index = rows.reshape(*rows.shape, *(1 for _ in values.shape[3:]))
        taken = torch.from_numpy(np.take_along_axis(values, index, 2)).to(self.device)
        return torch.cat([taken, taken])

    def _labels(self, rows: NDArray[np.int64]) -> Tensor:
        taken = np.take_along_axis(self.texts.labels, rows[:, None, :, :, None], 3).astype(np.int64)
        return torch.from_numpy(np.concatenate([taken, taken])).to(self.device)

    def _logits(self, rows: NDArray[np.int64], *, training: bool) -> Tensor:
        """rows [M, K, b] -> [2·M, V, K, b, R, C]."""
        variants, targets = self.problems
        tokens = self._tensor(self.texts.tokens, rows).unsqueeze(1).expand(-1, variants, -1, -1, -1)
        places = self._tensor(self.texts.places, rows).unsqueeze(1).expand(-1, variants, -1, -1, -1)
        shape = tokens.shape  # [2·M, V, K, b, T]
        context, vocabulary = shape[4], self.decoder.vocabulary
        own = torch.arange(self.models * variants * targets, device=self.device).view(*shape[:3], 1, 1)
        change = embedding(own * self.up.shape[3] + tokens, self.up.flatten(0, 3)).flatten(3, 4) @ self.down
        blank = torch.zeros_like(self.marks[..., :1, :])
        marks = torch.cat([blank, self.marks], 3).flatten(0, 3)
        change = change + embedding(own * (MARKS + 1) + (tokens - vocabulary + 1).clamp(min=0), marks).flatten(3, 4)
        known = torch.where(tokens < vocabulary, tokens, 0).reshape(self.models, -1, context)
        with updated(self.decoder, lambda x: x + change.flatten(1, 3)):
            hidden = self.decoder(known).view(*shape, -1)
        index = places.unsqueeze(5).expand(-1, -1, -1, -1, -1, hidden.shape[-1])
        state = self._norm(hidden.gather(4, index), training)  # [2·M, V, K, b, R, d]
        logits = torch.einsum("gvkbrd,gvkrdc->gvkbrc", state, self.map) + self.bias.unsqueeze(3)
        return logits + self.no_class

    def _norm(self, state: Tensor, training: bool) -> Tensor:
        match self.recipe.norm:
            case "none":
                return state
            case "layer":
                return torch.nn.functional.layer_norm(state, state.shape[-1:])
        if training:
            variance, mean = torch.var_mean(state, 3, correction=0, keepdim=True)
            self.mean.lerp_(mean.detach(), 0.1)
            self.variance.lerp_(variance.detach(), 0.1)
            return (state - mean) * (variance + 1e-5).rsqrt()
        return (state - self.mean) * (self.variance + 1e-5).rsqrt()

    def _train(self) -> None:
        recipe = self.recipe
        parameters = [self.up, self.down, self.marks, self.map, self.bias]
        optimizer = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=recipe.weight_decay)
        decline = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, recipe.steps)
        usable = (self.texts.labels[:, 0] >= 0).any(-1) & ~self.texts.test  # [M, K, q]
        lists = np.argsort(~usable, axis=2, kind="stable")
        counts = np.maximum(usable.sum(2), 1)
        for step in range(recipe.steps):
            draws = np.stack([self._draws(seed, step) for seed in self.seeds])  # [M, K, b]
            rows = np.take_along_axis(lists, draws % counts[:, :, None], 2)
            labels = self._labels(rows)
            logits = self._logits(rows, training=True)
            there = labels >= 0
            weight = there / there.sum((3, 4), keepdim=True).clamp(min=1)
            nll = logits.logsumexp(-1) - logits.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
            (nll * weight).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            decline.step()

    def _draws(self, seed: int, step: int) -> NDArray[np.int64]:
        targets, batch = self.problems[1], self.recipe.batch
        words = randomness.words(randomness.key("probe", "batch", seed), np.array([step]), targets * batch)
        return words.astype(np.int64).reshape(targets, batch)

    def hits(self) -> Tensor:
        """Train, then bool [2·M, V, K, q, R]: which readings are right."""
        with torch.enable_grad():
            self._train()
        members, targets, questions, context = self.texts.tokens.shape
        at_once = max(1, _TOKENS_AT_ONCE // (self.models * self.problems[0] * targets * context))
        found = []
        with torch.no_grad():
            for start in range(0, questions, at_once):
                rows = np.arange(start, min(start + at_once, questions))
                rows = np.broadcast_to(rows, (members, targets, len(rows)))
                found.append(self._logits(rows, training=False).argmax(-1) == self._labels(rows))
        return torch.cat(found, 3)
