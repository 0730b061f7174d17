"""A learned number for each head and distance, added to attention scores (Raffel et al. 2020, without buckets)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from physlm.models.parts.draws import normal

_INITIAL_STD = 0.02  # nearly uniform at the start, as with T5


class RelativeBias(nn.Module):
    """weight [M, H, D]: entry r is for the token r places back, the last for all farther ones.

    Bidirectional, the weight has 2D - 1 entries: those ahead come first, from the farthest on.
    """

    def __init__(self, members: int, heads: int, distances: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.ahead = distances - 1 if bidirectional else 0
        self.draws = {"weight": normal(_INITIAL_STD)}
        self.weight = nn.Parameter(torch.empty(members, heads, self.ahead + distances))

    def forward(self, queries: int, keys: int) -> Tensor:
        """Numbers for the last `queries` of `keys` tokens, [M, H, queries, keys]."""
        device = self.weight.device
        here = torch.arange(keys - queries, keys, device=device)
        back = here.unsqueeze(1) - torch.arange(keys, device=device)
        entry = (back + self.ahead).clamp(0, self.weight.shape[2] - 1)
        return self.weight[:, :, entry]
