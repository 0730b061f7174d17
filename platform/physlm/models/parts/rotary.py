"""Rotary positions (Su et al. 2021, RoFormer), of whole heads or of a share of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Rotary(nn.Module):
    """Turns the pairs (i, i + r/2) of each head's first r dimensions by angles position · base^(-2i/r).

    turned: r, even; all of the head if not given.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, head: int, turned: int | None = None, base: float = 10_000.0) -> None:
        super().__init__()
        self.head, self.turned, self.base = head, head if turned is None else turned, base
        self._extend(64)

    def _extend(self, context: int, device: torch.device | None = None) -> None:
        frequency = self.base ** (-torch.arange(0, self.turned, 2, dtype=torch.float64) / self.turned)
        angle = torch.outer(torch.arange(context, dtype=torch.float64), frequency)
        self.register_buffer("cosine", torch.cat([angle.cos(), angle.cos()], 1).float().to(device), persistent=False)
        self.register_buffer("sine", torch.cat([-angle.sin(), angle.sin()], 1).float().to(device), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x [..., T, h], its first token at position `start` -> the same shape."""
        stop = start + x.shape[-2]
        if stop > len(self.cosine):
            self._extend(2 * stop, x.device)
        if self.turned < self.head:
            return torch.cat([self._turn(x[..., : self.turned], start, stop), x[..., self.turned :]], -1)
        return self._turn(x, start, stop)

    def _turn(self, x: Tensor, start: int, stop: int) -> Tensor:
        swapped = torch.roll(x, self.turned // 2, -1)
        cosine, sine = self.cosine[start:stop].to(x.dtype), self.sine[start:stop].to(x.dtype)
        return torch.addcmul(x * cosine, swapped, sine)
