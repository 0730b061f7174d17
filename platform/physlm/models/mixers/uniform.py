"""Part 1's GPT_uni: every head takes the mean of the latest tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from physlm.models.mixers.averaging import Averaging
from physlm.models.mixers.mixer import register

if TYPE_CHECKING:
    from torch import Tensor


@register
class Uniform(Averaging):
    """GPT_uni: head i takes the mean of the last 2^i tokens, of all there are where they are fewer."""

    name = "uniform"
    examples = ({"heads": 4},)

    def weights(self, queries: int, keys: int) -> Tensor:
        import torch

        device = self.value.weight.device
        here = torch.arange(keys - queries, keys, device=device).unsqueeze(1)
        back = here - torch.arange(keys, device=device)
        window = torch.tensor([2 ** min(head, 40) for head in range(self.heads)], device=device).view(-1, 1, 1)
        seen = (back >= 0) & (back < window)
        return (seen / seen.sum(-1, keepdim=True)).unsqueeze(0)
