"""Causal depthwise convolution over a few tokens, with weights of its own for each member of a cohort."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor, nn

from physlm.models.counts import KERNEL_SIZE
from physlm.models.parts.cache import Cache
from physlm.models.parts.draws import uniform


class _Convolution(torch.autograd.Function):
    """A sum of shifted products; torch's grouped convolution takes three times as long on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        y = torch.empty_like(x)
        for x_, w, y_ in _pieces(x, weight, y):
            torch.mul(x_, w[:, 0, None, None], out=y_)
            for back in range(1, min(w.shape[1], x.shape[2])):
                y_[:, :, back:].addcmul_(x_[:, :, :-back], w[:, back, None, None])
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        to_x, to_weight = torch.empty_like(x), torch.zeros_like(weight)
        learning = ctx.needs_input_grad[1]  # probes send gradients through frozen models
        for x_, w, flow, to_x_, to_w in _pieces(x, weight, gradients[0], to_x, to_weight):
            members, batch, context, channels = x_.shape
            torch.mul(flow, w[:, 0, None, None], out=to_x_)
            for back in range(1, min(w.shape[1], context)):
                to_x_[:, :, :-back].addcmul_(flow[:, :, back:], w[:, back, None, None])
            if not learning:
                continue
            product = torch.mul(flow, x_)
            ones = product.new_ones(members, 1, batch * context)  # sums by a matrix product are the quickest here
            for back in range(min(w.shape[1], context)):
                if back:
                    product[:, :, :back] = 0
                    torch.mul(flow[:, :, back:], x_[:, :, :-back], out=product[:, :, back:])
                to_w[:, back] = torch.bmm(ones, product.view(members, -1, channels)).squeeze(1)
        return to_x, to_weight


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """All members at once, one by one on a CPU: a member's tokens stay in its cache."""
    at_once = 1 if tensors[0].device.type == "cpu" else len(tensors[0])
    return zip(*(torch.split(tensor, at_once) for tensor in tensors), strict=True)


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """y_t = Σ_k w_k ⊙ x_{t-k}. x [M, B, T, C], weight [M, K, C] -> [M, B, T, C]."""
    return cast("Tensor", _Convolution.apply(x, weight))  # type: ignore[no-untyped-call]


class Convolution(nn.Module):
    """x [M, batch·T, C] -> the same shape; weight [M, 4, C], drawn as torch's Conv1d draws a depthwise one."""

    def __init__(self, members: int, channels: int) -> None:
        super().__init__()
        bound = 1 / sqrt(KERNEL_SIZE)
        self.draws = {"weight": uniform(-bound, bound)}
        self.weight = nn.Parameter(torch.empty(members, KERNEL_SIZE, channels))

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
            past = tokens.new_zeros(members, batch, KERNEL_SIZE - 1, channels)
        tokens = torch.cat([past, tokens], 2)
        state["past"] = tokens[:, :, 1 - KERNEL_SIZE :]
        return convolve(tokens, self.kernel())[:, :, KERNEL_SIZE - 1 :].reshape(x.shape)
