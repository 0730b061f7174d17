"""Layer norm with a gain and a bias of its own for each member of a cohort."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm


class LayerNorm(nn.Module):
    """x [M, n, d] -> [M, n, d], normalised over d; gain and bias [M, d]."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(members, width))
        self.bias = nn.Parameter(torch.empty(members, width))

    def forward(self, x: Tensor) -> Tensor:
        normal = layer_norm(x, x.shape[-1:])
        return torch.addcmul(self.bias.unsqueeze(1), normal, self.gain.unsqueeze(1))
