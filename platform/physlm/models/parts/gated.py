"""Gated feed-forward layer, SwiGLU (Shazeer 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn.functional import silu

from physlm.models.parts.cache import Cache
from physlm.models.parts.canon import canon_of
from physlm.models.parts.linear import Linear
from physlm.models.parts.part import Part, initial_std, mlp, residual_std

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig


@mlp("gated")
class GatedMlp(Part):
    """down(silu(x·G) ⊙ x·U); `up` holds G and U side by side, with Canon D behind it."""

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__(config, members)
        width, hidden = config.width, config.hidden
        self.up = Linear(members, width, 2 * hidden, std=initial_std(width), bias=config.bias)
        self.canon = canon_of(config, "D", members, 2 * hidden)
        self.down = Linear(members, hidden, width, std=residual_std(config), bias=config.bias)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        both = self.up(x)
        if self.canon is not None:
            both = self.canon(both, batch, cache)
        gate, hidden = both.chunk(2, -1)
        y: Tensor = self.down(silu(gate) * hidden)
        return y
