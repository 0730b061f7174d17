"""The multi-head position-based linear probe (Part 1, section 4), for all layers, variants and targets at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from physlm import randomness
from physlm.probes.fitting.whitening import whitening
from physlm.probes.samples import Sample

HEADS = 4
_POSITION_WIDTH = 16
_STEPS, _BATCH, _RATE, _DECAY = 300, 32, 0.03, 0.01


def hits(
    states: Tensor, labels: Tensor, classes: list[int], test: Tensor, seeds: list[int], band: int | None
) -> Tensor:
    """Train on the rows that aren't for testing, and tell which of all readings are right.

    states  [S, M, B, T, d]; labels int64 [M, V, K, B, T], -1 where there is nothing to read; test bool [M, B]
    band    None: attention from a position to itself and all before it; else to those at most so far on either side
    Returns bool [M, S, V, K, B·T].
    """
    models = range(states.shape[1])
    return torch.stack([_Model(states[:, m], labels[m], classes, test[m], seeds[m], band).hits() for m in models])


class _Model:
    """Probes of one model: S layers by V variants, each with weights of its own.

    f_i(ℓ) = Σ_r Σ_k w_{r,i→k} · f_{r,ℓ}(E_k), with w_{r,i→k} the softmax over k of ⟨P_{i,r}, P_{k,r}⟩.
    """

    def __init__(
        self, states: Tensor, labels: Tensor, classes: list[int], test: Tensor, seed: int, band: int | None
    ) -> None:
        self.places, _, self.context, width = states.shape
        self.variants, self.targets = labels.shape[:2]
        self.most = max(classes)
        device = states.device
        self.labels, self.test, self.key = labels, test, randomness.key("probe", "position", seed)
        seen = ((labels >= 0).any(0).any(0) & ~test.unsqueeze(1)).expand(self.places, -1, -1)
        white = whitening(states.flatten(1, 2), seen.flatten(1, 2))
        self.features = white(states.flatten(1, 2)).view(states.shape)

        distance = torch.arange(self.context, device=device).unsqueeze(1) - torch.arange(self.context, device=device)
        allowed = distance >= 0 if band is None else distance.abs() <= band
        self.barred = torch.where(allowed, 0.0, float("-inf"))
        impossible = torch.arange(self.most, device=device).unsqueeze(1) >= torch.tensor(classes, device=device)
        self.no_class = torch.where(impossible, float("-inf"), 0.0).unsqueeze(2)  # [C, K, 1]

        self.heads = 1 if band == 0 else HEADS
        generator = torch.Generator().manual_seed(self.key >> 1)
        shape = (self.places, self.variants, self.heads)
        self.positions = self._weights((*shape, self.context, _POSITION_WIDTH), 1.0, generator)
        self.maps = self._weights((*shape, self.most * self.targets, width), 0.0, generator)
        self.bias = self._weights((self.places, self.variants, self.most, self.targets), 0.0, generator)

    def _weights(self, shape: tuple[int, ...], std: float, generator: torch.Generator) -> Tensor:
        """Drawn once for all layers and variants: what differs between them isn't their start."""
        draw = torch.randn(shape[2:], generator=generator) * std
        return draw.to(self.labels.device).repeat(*shape[:2], *(1 for _ in shape[2:])).requires_grad_()

    def _logits(self, rows: Tensor) -> Tensor:
        """rows [b] -> [S, V, T, C, K, b]."""
        x = self.features[:, rows].permute(0, 3, 2, 1).flatten(2)  # [S, d, T·b]
        mapped = torch.bmm(self.maps.flatten(1, 3), x)
        mapped = mapped.view(self.places, self.variants, self.heads, -1, self.context, len(rows)).transpose(3, 4)
        scores = self.positions @ self.positions.transpose(3, 4) * _POSITION_WIDTH**-0.5 + self.barred
        weights = scores.softmax(-1).transpose(2, 3).flatten(3)  # [S, V, T, H·T]
        mixed = weights @ mapped.flatten(2, 3).flatten(3)  # [S, V, T, C·K·b]
        mixed = mixed.view(*mixed.shape[:3], self.most, self.targets, len(rows))
        logits: Tensor = mixed + self.bias.unsqueeze(2).unsqueeze(5) + self.no_class
        return logits

    def _batches(self) -> Iterator[Tensor]:
        """Rows to train on, in an order that is the model's own, over and over."""
        train = torch.nonzero(~self.test).squeeze(1)
        epoch = 0
        while True:
            order = randomness.permutation(self.key, epoch, len(train))
            yield from torch.split(train[torch.from_numpy(order).to(train.device)], _BATCH)
            epoch += 1

    def hits(self) -> Tensor:
        """Train, then bool [S, V, K, B·T]."""
        parameters = [self.positions, self.maps, self.bias]
        optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=_DECAY)
        decline = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, _STEPS)
        with torch.enable_grad():
            for rows in islice(self._batches(), _STEPS):
                self._loss(rows).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                optimizer.zero_grad()
                decline.step()
        with torch.no_grad():
            every = torch.arange(len(self.test), device=self.test.device)
            best = torch.cat(
                [self._logits(rows).argmax(3) for rows in torch.split(every, _BATCH)], -1
            )  # [S, V, T, K, B]
        return (best.permute(0, 1, 3, 4, 2) == self.labels).flatten(3)

    def _loss(self, rows: Tensor) -> Tensor:
        """Sum over layers, variants and targets, each a mean over what there is to read."""
        logits = self._logits(rows)
        labels = self.labels[:, :, rows].permute(0, 3, 1, 2)  # [V, T, K, b]
        there = labels >= 0
        weight = there / there.sum((1, 3), keepdim=True).clamp(min=1)
        index = labels.clamp(min=0).unsqueeze(2).expand(self.places, -1, -1, -1, -1, -1)
        nll = logits.logsumexp(3) - logits.gather(3, index).squeeze(3)
        return (nll * weight).sum()


def read(decoder_states: Tensor, sample: Sample, seeds: list[int], band: int | None) -> Tensor:
    """Right readings of the members of a sample and of their twins, bool [2·M, S, V, K, B·T]."""
    device = decoder_states.device
    labels = torch.from_numpy(sample.labels).to(device, torch.int64)
    test = torch.from_numpy(sample.test).to(device)
    classes = list(sample.targets.values())
    twice = torch.cat([labels, labels]), torch.cat([test, test])
    return hits(decoder_states, twice[0], classes, twice[1], seeds * 2, band)
