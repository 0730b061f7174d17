"""The arithmetic of a cohort: flat parameters, AdamW with knobs of its own for each member, members that leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from physlm.models.decoder import Decoder, initialise
from physlm.models.model import ModelConfig
from physlm.store.store import Store
from physlm.training import adamw
from physlm.training.checkpoints import Clock, State, save_state
from physlm.training.config import OptimizerConfig
from physlm.training.loss import weighted_loss
from physlm.training.ranks import ALONE, Ranks

_ALIGNED_FLOATS = 16  # 64 bytes


class Trained(Protocol):
    """What has parameters, members first, and maps tokens to hidden states and these to logits, as a decoder does."""

    def __call__(self, tokens: Tensor, /) -> Tensor: ...
    def logits(self, hidden: Tensor, /) -> Tensor: ...
    def set_loss_scale(self, scale: float, /) -> None: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def to(self, device: torch.device, /) -> Self: ...


class Cohort:
    """M models of one shape with their optimisers, as rows of flat tensors.

    values, first, second   [M, P]: parameters, AdamW's two moments
    updates                 [M]: optimiser steps that each member has taken

    The decoder's parameters are views into the rows, so one vectorised program updates everything and a member
    leaves by dropping its row.
    """

    def __init__(
        self,
        model: ModelConfig,
        vocabulary: int,
        optimizers: Sequence[OptimizerConfig],
        seeds: Sequence[int],
        device: torch.device,
        ranks: Ranks = ALONE,
        micro_batch_size: int | None = None,
    ) -> None:
        self.model, self.vocabulary, self.device = model, vocabulary, device
        self.ranks, self.micro_batch_size = ranks, micro_batch_size
        self.optimizers = list(optimizers)
        self._bind(self._build(len(seeds)))
        self._initialise(list(seeds))
        self.first = torch.zeros_like(self.values)
        self.second = torch.zeros_like(self.values)
        self.updates = torch.zeros(len(seeds), dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.optimizers)

    def _build(self, members: int) -> Trained:
        return Decoder(self.model, self.vocabulary, members)

    def _initialise(self, seeds: list[int]) -> None:
        assert isinstance(self.decoder, Decoder)
        initialise(self.decoder, seeds)

    def start_from(self, row: int, named: Mapping[str, Tensor]) -> None:
        """Let a member go on from a trained model, given by its parameters' names."""
        for name, (where, _) in self.slices.items():
            self.values[row, where] = named[name].flatten().to(self.device)

    def _bind(self, decoder: Trained) -> None:
        """Make flat rows for the decoder's parameters, those with weight decay first; these become views of the rows.

        Rows are filled up with zeros to a multiple of 64 bytes: matrix products may differ in their last bit between
        addresses of another alignment, and a member must not depend on the row that it is in.
        """
        named = dict(sorted(decoder.named_parameters(), key=lambda item: not adamw.decays(item[0])))
        sizes = [p[0].numel() for p in named.values()]
        members = next(iter(named.values())).shape[0]
        filling = -sum(sizes) % _ALIGNED_FLOATS
        self.values = torch.zeros(members, sum(sizes) + filling, device=self.device)
        self._filling = torch.zeros(members, filling, device=self.device)
        self.decoder = decoder.to(self.device)
        self.slices: dict[str, tuple[slice, torch.Size]] = {}
        start = 0
        for (name, parameter), size in zip(named.items(), sizes, strict=True):
            where = slice(start, start + size)
            start += size
            parameter.data = self.values[:, where].view(parameter.shape)
            self.slices[name] = where, parameter.shape[1:]
        self._parameters = list(named.values())
        self._decayed = sum(size for name, size in zip(named, sizes, strict=True) if adamw.decays(name))
        self._clip = torch.tensor([o.clip_norm for o in self.optimizers], device=self.device)

    def keep(self, rows: Sequence[int]) -> None:
        """Put the cohort together anew from the members of these rows; one named twice becomes two that are alike."""
        index = torch.tensor(rows, device=self.device)
        values, first, second = self.values[index], self.first[index], self.second[index]
        self.optimizers = [self.optimizers[row] for row in rows]
        self._bind(self._build(len(rows)))
        self.values.copy_(values)
        self.first, self.second = first, second
        self.updates = self.updates[index.cpu()]

    def step(
        self, tokens: Tensor, loss: Tensor, lr_factors: Sequence[float], seen: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One optimiser step of every member.

        tokens int64 [M, B, T], loss bool [M, B, T] (tokens to be predicted), lr_factors: each member's learning rate
        over its peak. seen: what an encoder sees in place of the tokens; without it each token is predicted from
        those before it. Returns the mean loss of each member in nats per predicted token [M] and its gradient norm
        before clipping [M], on the device. Of several ranks each gets the whole batch and computes a part of it.
        """
        losses = torch.zeros(len(self), device=self.device)
        gradient = torch.zeros(0)
        for micro_batch in micro_batches(tokens, loss, self.ranks, self.micro_batch_size, seen):
            self.decoder.set_loss_scale(micro_batch.fraction)
            with mixed_precision(self.device):
                hidden = self.decoder(micro_batch.inputs)
                logits = self.decoder.logits(hidden)
            own_loss = weighted_loss(logits.float(), micro_batch.targets, micro_batch.weights)
            gradients = torch.autograd.grad(own_loss.sum(), self._parameters)
            fresh = torch.cat([*(g.flatten(1) for g in gradients), self._filling], dim=1)  # [M, P]
            gradient = gradient.add_(fresh) if len(gradient) else fresh
            losses += own_loss.detach()
        if not len(gradient):  # more ranks than windows
            gradient = torch.zeros_like(self.values)
        self.ranks.sum(gradient, losses)
        norms = gradient.norm(dim=1)
        self._adamw(gradient, norms, lr_factors)
        return losses, norms

    def restore(self, row: int, state: State) -> None:
        """Let a member go on from where it was stored."""
        with torch.no_grad():
            self.values[row], self.first[row], self.second[row] = state.values, state.first, state.second
        self.updates[row] = state.clock.updates

    def write_state(self, store: Store, run_id: str, row: int, clock: Clock) -> None:
        """Store a member's point to go on from; one rank does it for all."""
        if self.ranks.is_first:
            save_state(store, run_id, State(clock, self.values[row], self.first[row], self.second[row]))

    def parameters(self, row: int) -> dict[str, Tensor]:
        """A member's parameters by name."""
        return {name: self.values[row, where].view(size) for name, (where, size) in self.slices.items()}

    @torch.no_grad()
    def _adamw(self, gradient: Tensor, norms: Tensor, lr_factors: Sequence[float]) -> None:
        self.updates += 1
        clip = torch.clamp(self._clip / (norms + 1e-6), max=1.0).unsqueeze(1)
        state = self.values, gradient.mul_(clip), self.first, self.second
        adamw.update(self.optimizers, lr_factors, self.updates.tolist(), self._decayed, state)


@dataclass(frozen=True)
class MicroBatch:
    """Windows of a batch that are computed in one pass.

    inputs [M, b, t], targets and weights [M, b·t]; t is T for an encoder, else T - 1
    fraction: of the batch's windows
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    fraction: float


def micro_batches(
    tokens: Tensor, loss: Tensor, ranks: Ranks, size: int | None, seen: Tensor | None = None
) -> Iterator[MicroBatch]:
    """This rank's windows of a batch, `size` at once; weighted so that the sum over all is the mean over the batch."""
    if seen is None:
        inputs, targets, loss = tokens[:, :, :-1], tokens[:, :, 1:], loss[:, :, 1:]
    else:
        inputs, targets = seen, tokens
    weights = loss / loss.sum((1, 2), keepdim=True).clamp(min=1)
    inputs, targets, weights = (x[:, ranks.rank :: ranks.size] for x in (inputs, targets, weights))
    count = inputs.shape[1]
    for start in range(0, count, size or max(1, count)):
        some = slice(start, start + (size or count))
        own = inputs[:, some]
        yield MicroBatch(own, targets[:, some].flatten(1), weights[:, some].flatten(1), own.shape[1] / tokens.shape[1])


def mixed_precision(device: torch.device) -> torch.autocast:
    """bfloat16 for products of matrices on a GPU that has it; float32 elsewhere."""
    wanted = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)
