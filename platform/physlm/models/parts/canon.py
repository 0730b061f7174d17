"""Canon layers (Part 4.1): each token takes a little from the three before it.

h'_t = h_t + Σ_{k=0..3} w_k ⊙ h_{t-k}, without bias or activation, w drawn as torch draws a convolution. Canon A stands
before the mixer (behind its norm), B inside it on queries, keys and values, C before the MLP, D inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from physlm.models.counts import KERNEL_SIZE
from physlm.models.parts.convolution import Convolution

if TYPE_CHECKING:
    from physlm.models.block import BlockConfig


class Canon(Convolution):
    """x [M, batch·T, C] -> x plus its convolution."""

    def kernel(self) -> Tensor:
        """The weights with the residual in them: one pass over memory less."""
        here = torch.zeros(KERNEL_SIZE, 1, dtype=self.weight.dtype, device=self.weight.device)
        here[0] = 1
        return self.weight + here


def canon_of(config: BlockConfig, letter: str, members: int, channels: int) -> Canon | None:
    """The Canon layer at one of the places A, B, C, D, if the config asks for it."""
    return Canon(members, channels) if letter in config.canon else None
