"""The arithmetic of a cohort: flat parameters, AdamW with knobs of its own for each member, members that leave."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from physlm.models.contract import ModelConfig
from physlm.models.decoder import Decoder, initialise
from physlm.training.config import OptimizerConfig
from physlm.training.loss import weighted_loss


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
    ) -> None:
        self.model, self.vocabulary, self.device = model, vocabulary, device
        self.optimizers = list(optimizers)
        self._bind(Decoder(model, vocabulary, len(seeds)))
        initialise(self.decoder, list(seeds))
        self.first = torch.zeros_like(self.values)
        self.second = torch.zeros_like(self.values)
        self.updates = torch.zeros(len(seeds), dtype=torch.float64)
        self._set_knobs()

    def __len__(self) -> int:
        return len(self.optimizers)

    def _bind(self, decoder: Decoder) -> None:
        """Make flat rows for the decoder's parameters and let these be views into them."""
        named = dict(decoder.named_parameters())
        sizes = [p[0].numel() for p in named.values()]
        self.values = torch.zeros(decoder.members, sum(sizes), device=self.device)
        self.decoder = decoder.to(self.device)
        self.slices: dict[str, tuple[slice, torch.Size]] = {}
        start = 0
        for (name, parameter), size in zip(named.items(), sizes, strict=True):
            where = slice(start, start + size)
            start += size
            parameter.data = self.values[:, where].view(parameter.shape)
            self.slices[name] = where, parameter.shape[1:]

    def _set_knobs(self) -> None:
        def column(name: str) -> Tensor:
            return torch.tensor([[getattr(o, name)] for o in self.optimizers], device=self.device)

        self._beta1, self._beta2, self._epsilon = column("beta1"), column("beta2"), column("epsilon")
        self._clip = column("clip_norm").squeeze(1)
        decayed = torch.zeros(self.values.shape[1], device=self.device)
        for name, (where, _) in self.slices.items():
            if not name.endswith(("gain", "bias")):
                decayed[where] = 1.0
        self._decay = column("weight_decay") * decayed

    def keep(self, rows: Sequence[int]) -> None:
        """Put the cohort together anew from the members of these rows; one named twice becomes two that are alike."""
        index = torch.tensor(rows, device=self.device)
        values, first, second = self.values[index], self.first[index], self.second[index]
        self.optimizers = [self.optimizers[row] for row in rows]
        self._bind(Decoder(self.model, self.vocabulary, len(rows)))
        self.values.copy_(values)
        self.first, self.second = first, second
        self.updates = self.updates[index.cpu()]
        self._set_knobs()

    def step(self, tokens: Tensor, loss: Tensor, shares: Sequence[float]) -> tuple[Tensor, Tensor]:
        """One optimiser step of every member.

        tokens int64 [M, B, T], loss bool [M, B, T] (tokens to be predicted), shares: each member's learning rate as a
        share of its peak. Returns the mean loss of each member in nats per predicted token [M] and its gradient norm
        before clipping [M], on the device.
        """
        targets, wanted = tokens[:, :, 1:].flatten(1), loss[:, :, 1:].flatten(1)
        weights = wanted / wanted.sum(1, keepdim=True).clamp(min=1)
        hidden = self.decoder(tokens[:, :, :-1])
        losses = weighted_loss(self.decoder.logits(hidden), targets, weights)
        gradients = torch.autograd.grad(losses.sum(), list(self.decoder.parameters()))
        gradient = torch.cat([g.flatten(1) for g in gradients], dim=1)  # [M, P]
        norms = gradient.norm(dim=1)
        self._adamw(gradient, norms, shares)
        return losses.detach(), norms

    @torch.no_grad()
    def _adamw(self, gradient: Tensor, norms: Tensor, shares: Sequence[float]) -> None:
        self.updates += 1
        rates = [o.lr * share for o, share in zip(self.optimizers, shares, strict=True)]
        # Bias corrections in double precision on the host: 1 - beta^t loses digits in single precision.
        steps = self.updates.tolist()
        scale1 = [r / (1 - o.beta1**t) for o, r, t in zip(self.optimizers, rates, steps, strict=True)]
        scale2 = [(1 - o.beta2**t) ** -0.5 for o, t in zip(self.optimizers, steps, strict=True)]
        rate, scale1_, scale2_ = torch.tensor([rates, scale1, scale2], device=self.device).unsqueeze(2)
        clip = torch.clamp(self._clip / (norms + 1e-6), max=1.0).unsqueeze(1)
        gradient = gradient.mul_(clip)
        self.first.lerp_(gradient, 1 - self._beta1)
        self.second.mul_(self._beta2).addcmul_(gradient * (1 - self._beta2), gradient)
        self.values.mul_(1 - rate * self._decay)
        self.values.sub_(scale1_ * self.first / (self.second.sqrt().mul_(scale2_).add_(self._epsilon)))
