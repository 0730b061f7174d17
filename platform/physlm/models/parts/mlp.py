"""Feed-forward layer with GELU (tanh form, as in GPT-2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu

from physlm.models.parts.linear import Linear


class Mlp(nn.Module):
    """x [M, n, d] -> [M, n, d] through a hidden layer of `ratio`·d."""

    def __init__(self, members: int, width: int, *, std: float, residual_std: float, ratio: int = 4) -> None:
        super().__init__()
        self.up = Linear(members, width, ratio * width, std=std)
        self.down = Linear(members, ratio * width, width, std=residual_std)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(gelu(self.up(x)))
        return y
