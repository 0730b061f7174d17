"""Affine map with weights of its own for each member of a cohort."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from physlm.models.parts.draws import normal


class Linear(nn.Module):
    """y = x·W + b. weight [M, in, out], bias [M, out] if there is one; x [M, n, in] -> [M, n, out]."""

    bias: Tensor | None

    def __init__(self, members: int, inputs: int, outputs: int, *, std: float, bias: bool = True) -> None:
        super().__init__()
        self.draws = {"weight": normal(std)}
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs))
        self.register_parameter("bias", nn.Parameter(torch.empty(members, outputs)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight)
