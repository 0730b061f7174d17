"""Feed-forward layer with GELU (exact form)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn.functional import gelu

from physlm.models.parts.cache import Cache
from physlm.models.parts.canon import canon_of
from physlm.models.parts.linear import Linear
from physlm.models.parts.part import Part, initial_std, mlp, residual_std

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig


@mlp("gelu")
class Mlp(Part):
    """down(gelu(up(x))), with Canon D behind `up`."""

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__(config, members)
        width, hidden = config.width, config.hidden
        self.up = Linear(members, width, hidden, std=initial_std(width), bias=config.bias)
        self.canon = canon_of(config, "D", members, hidden)
        self.down = Linear(members, hidden, width, std=residual_std(config), bias=config.bias)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        hidden = self.up(x)
        if self.canon is not None:
            hidden = self.canon(hidden, batch, cache)
        y: Tensor = self.down(gelu(hidden))
        return y
