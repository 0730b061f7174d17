"""Causal depthwise convolution over a few tokens, with weights of its own for each member of a cohort."""

from __future__ import annotations

from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor, nn

from physlm.models.counts import KERNEL
from physlm.models.parts.cache import Cache
from physlm.models.parts.contract import uniform


class _Convolution(torch.autograd.Function):
    """A sum of shifted products, each one pass over memory; torch's grouped convolution is slower on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        y = x * weight[:, 0, None, None]
        for back in range(1, min(weight.shape[1], x.shape[2])):
            y[:, :, back:].addcmul_(x[:, :, :-back], weight[:, back, None, None])
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        flow = gradients[0]
        to_x = flow * weight[:, 0, None, None]
        to_weight = torch.zeros_like(weight)
        to_weight[:, 0] = (flow * x).sum((1, 2))
        for back in range(1, min(weight.shape[1], x.shape[2])):
            to_x[:, :, :-back].addcmul_(flow[:, :, back:], weight[:, back, None, None])
            to_weight[:, back] = (flow[:, :, back:] * x[:, :, :-back]).sum((1, 2))
        return to_x, to_weight


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """y_t = Σ_k w_k ⊙ x_{t-k}. x [M, B, T, C], weight [M, K, C] -> [M, B, T, C]."""
    return cast("Tensor", _Convolution.apply(x, weight))  # type: ignore[no-untyped-call]


class Convolution(nn.Module):
    """x [M, batch·T, C] -> the same shape; weight [M, 4, C], drawn as torch's Conv1d draws a depthwise one."""

    def __init__(self, members: int, channels: int) -> None:
        super().__init__()
        bound = 1 / sqrt(KERNEL)
        self.draws = {"weight": uniform(-bound, bound)}
        self.weight = nn.Parameter(torch.empty(members, KERNEL, channels))

    def kernel(self) -> Tensor:
        """The weights in use, [M, 4, C]; entry k is for the token k places back."""
        return self.weight

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        members, n, channels = x.shape
        tokens = x.view(members, batch, n // batch, channels)
        if cache is None:
            return convolve(tokens, self.kernel()).view(x.shape)
        state = cache.of(self)
        past = state.get("past")
        if past is None:
            past = tokens.new_zeros(members, batch, KERNEL - 1, channels)
        tokens = torch.cat([past, tokens], 2)
        state["past"] = tokens[:, :, 1 - KERNEL :]
        return convolve(tokens, self.kernel())[:, :, KERNEL - 1 :].reshape(x.shape)
