"""Affine map with weights of its own for each member of a cohort."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """y = x·W + b. weight [M, in, out], bias [M, out]; x [M, n, in] -> [M, n, out]."""

    def __init__(self, members: int, inputs: int, outputs: int, *, std: float) -> None:
        super().__init__()
        self.std = std
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(members, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight)
