"""Norms with gains, and biases, of their own for each member of a cohort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig

EPSILON = 1e-5


class LayerNorm(nn.Module):
    """x [M, n, d] -> [M, n, d], normalised over d; gain [M, d], bias [M, d] if there is one."""

    bias: Tensor | None

    def __init__(self, members: int, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(members, width))
        self.register_parameter("bias", nn.Parameter(torch.empty(members, width)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        # Torch's kernel would take the gain of a lone member, but sums its gradient in another order: no bit of a
        # member's training may depend on how many are beside it.
        normal = layer_norm(x, x.shape[-1:])
        if self.bias is None:
            return normal * self.gain.unsqueeze(1)
        return torch.addcmul(self.bias.unsqueeze(1), normal, self.gain.unsqueeze(1))


class _RootMeanSquare(torch.autograd.Function):
    """x / sqrt(mean x² + ε) over the last dimension: torch's own takes several passes on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(EPSILON).rsqrt_()
        normal = x * scale
        ctx.save_for_backward(normal, scale)
        return cast("Tensor", normal)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        normal, scale = ctx.saved_tensors
        along = (gradients[0] * normal).mean(-1, keepdim=True)
        flow: Tensor = torch.addcmul(gradients[0], normal, along, value=-1).mul_(scale)
        return flow


def root_mean_square(x: Tensor) -> Tensor:
    """x scaled to a mean square of 1 over its last dimension."""
    return cast("Tensor", _RootMeanSquare.apply(x))  # type: ignore[no-untyped-call]


class RmsNorm(nn.Module):
    """Zhang and Sennrich 2019. x [M, n, d] -> [M, n, d], scaled to mean square 1 over d; gain [M, d]."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(members, width))

    def forward(self, x: Tensor) -> Tensor:
        return root_mean_square(x) * self.gain.unsqueeze(1)


def norm_of(config: DecoderConfig, members: int) -> LayerNorm | RmsNorm:
    """The norm that a config asks for."""
    if config.norm == "rms":
        return RmsNorm(members, config.width)
    return LayerNorm(members, config.width, bias=config.bias)
