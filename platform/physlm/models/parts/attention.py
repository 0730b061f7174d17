"""Causal softmax attention with rotary positions (Su et al. 2021, RoFormer)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from physlm.models.parts.linear import Linear


class Rotary(nn.Module):
    """Turns the pairs (i, i + h/2) of each head by angles position · base^(-2i/h)."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, head: int, base: float = 10_000.0) -> None:
        super().__init__()
        self.head, self.base = head, base
        self._extend(64)

    def _extend(self, context: int, device: torch.device | None = None) -> None:
        frequency = self.base ** (-torch.arange(0, self.head, 2, dtype=torch.float64) / self.head)
        angle = torch.outer(torch.arange(context, dtype=torch.float64), frequency)
        self.register_buffer("cosine", torch.cat([angle.cos(), angle.cos()], 1).float().to(device), persistent=False)
        self.register_buffer("sine", torch.cat([-angle.sin(), angle.sin()], 1).float().to(device), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x [..., T, h], its first token at position `start` -> the same shape."""
        stop = start + x.shape[-2]
        if stop > len(self.cosine):
            self._extend(2 * stop, x.device)
        swapped = torch.roll(x, self.head // 2, -1)
        cosine, sine = self.cosine[start:stop].to(x.dtype), self.sine[start:stop].to(x.dtype)
        return torch.addcmul(x * cosine, swapped, sine)


_SHORT = 64  # tokens; below, the fused kernel's blocks on a CPU are larger than the whole score matrix


class _ShortSoftmax(torch.autograd.Function):
    """Softmax over a short last dimension: torch's own isn't vectorised there, and five times slower."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        share = (scores - scores.amax(-1, keepdim=True)).exp_()
        share /= share.sum(-1, keepdim=True)
        ctx.save_for_backward(share)
        return share

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (share,) = ctx.saved_tensors
        flow = gradients[0] * share
        return torch.addcmul(flow, share, flow.sum(-1, keepdim=True), value=-1)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention, q, k, v [n, heads, T, h] -> [n, heads, T, h]."""
    context, head = q.shape[-2:]
    if q.device.type != "cpu" or context > _SHORT:
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    future = torch.full((context, context), float("-inf")).triu_(1)
    flat = (-1, context, head)
    scores = torch.baddbmm(future, q.reshape(flat), k.reshape(flat).transpose(1, 2), alpha=head**-0.5)
    return torch.bmm(cast("Tensor", _ShortSoftmax.apply(scores)), v.reshape(flat)).view(q.shape)  # type: ignore[no-untyped-call]


class Attention(nn.Module):
    """Multi-head causal attention; members are folded into the batch, so one kernel serves the whole cohort."""

    def __init__(self, members: int, width: int, heads: int, *, std: float, residual_std: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(members, width, 3 * width, std=std)
        self.out = Linear(members, width, width, std=residual_std)
        self.rotary = Rotary(width // heads)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        """x [M, batch·T, d] -> [M, batch·T, d]."""
        members, n, width = x.shape
        context = n // batch
        qkv = self.qkv(x).view(members * batch, context, 3 * self.heads, width // self.heads)
        qk, v = qkv.transpose(1, 2).split([2 * self.heads, self.heads], dim=1)
        q, k = self.rotary(qk).chunk(2, dim=1)  # each [M·batch, heads, T, h]
        y = attend(q, k, v)
        mixed: Tensor = self.out(y.transpose(1, 2).reshape(members, n, width))
        return mixed
