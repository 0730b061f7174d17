"""Norms with gains, and biases, of their own for each member of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

if TYPE_CHECKING:
    from physlm.models.block import BlockConfig

EPSILON = 1e-5
_MIN_NUMBERS_PER_CALL = 1 << 15  # below, a call for each member costs more than it saves


class _EachMember(torch.autograd.Function):
    """Torch's kernel for one member after the other: one pass over memory, where all together take gains apart."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
        shifts = [None] * len(x) if bias is None else bias.unbind()
        normal, mean, scale = _stacked(
            [
                torch.native_layer_norm(own, own.shape[-1:], factor, shift, EPSILON)
                for own, factor, shift in zip(x, gain, shifts, strict=True)
            ]
        )
        ctx.save_for_backward(x, mean, scale, gain)
        ctx.has_bias = bias is not None
        return normal

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, scale, gain = ctx.saved_tensors
        # The bias' values play no part; what stands for it only says that its gradient is wanted.
        shift, wanted = (gain[0], [True] * 3) if ctx.has_bias else (None, [True, True, False])
        outcomes = [
            torch.ops.aten.native_layer_norm_backward(
                flow, own, own.shape[-1:], own_mean, own_scale, factor, shift, wanted
            )
            for flow, own, own_mean, own_scale, factor in zip(gradients[0], x, mean, scale, gain, strict=True)
        ]
        if ctx.has_bias:
            return tuple(_stacked(outcomes))
        return *_stacked([outcome[:2] for outcome in outcomes]), None


def _stacked(outcomes: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    """Tensors of each member as tensors of all."""
    if len(outcomes) == 1:
        return [tensor.unsqueeze(0) for tensor in outcomes[0]]
    return [torch.stack(tensors) for tensors in zip(*outcomes, strict=True)]


class LayerNorm(nn.Module):
    """x [M, n, d] -> [M, n, d], normalised over d; gain [M, d], bias [M, d] if there is one."""

    bias: Tensor | None

    def __init__(self, members: int, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(members, width))
        self.register_parameter("bias", nn.Parameter(torch.empty(members, width)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        # Which way is taken depends on a member's own tokens alone, as the two sum gradients in different orders: no
        # bit of a member's training may depend on how many are beside it.
        if x.device.type == "cpu" and x[0].numel() >= _MIN_NUMBERS_PER_CALL:
            return cast("Tensor", _EachMember.apply(x, self.gain, self.bias))  # type: ignore[no-untyped-call]
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


def norm_of(config: BlockConfig, members: int) -> LayerNorm | RmsNorm:
    """The norm that a config asks for."""
    if config.norm == "rms":
        return RmsNorm(members, config.width)
    return LayerNorm(members, config.width, bias=config.bias)
