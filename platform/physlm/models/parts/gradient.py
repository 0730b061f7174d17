"""Losses that are added where their gradient is known, without a summand in the loss."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class _AddGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, extra: Tensor) -> Tensor:
        ctx.save_for_backward(extra)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (extra,) = ctx.saved_tensors
        return gradients[0] + extra, None


def add_gradient(x: Tensor, extra: Tensor) -> Tensor:
    """x, with `extra` (of a shape that broadcasts to x's) added to its gradient in the backward pass."""
    return cast("Tensor", _AddGradient.apply(x, extra))  # type: ignore[no-untyped-call]
