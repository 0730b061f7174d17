"""Gated feed-forward layer, SwiGLU (Shazeer 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from physlm.models import counts
from physlm.models.counts import Counts, affine
from physlm.models.mlps.mlp import HiddenConfig, Mlp, register
from physlm.models.parts.draws import initial_std, residual_std

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.parts.cache import Cache


def _hidden(config: HiddenConfig) -> int:
    return config.hidden_size(8 * config.width / 3)


@register
class Gated(Mlp[HiddenConfig]):
    """Gated feed-forward layer, SwiGLU: down(silu(x·G) ⊙ x·U).

    `up` holds G and U side by side, with Canon D behind it.
    """

    name = "gated"
    config_type = HiddenConfig
    has_canon_d = True

    @classmethod
    def counts(cls, config: HiddenConfig, context: int) -> Counts:
        width, hidden = config.width, _hidden(config)
        up, down = affine(width, 2 * hidden, config.bias), affine(hidden, width, config.bias)
        return up + counts.canon(config, "D", 2 * hidden) + Counts(kept=2 * hidden) + down

    def __init__(self, config: HiddenConfig, members: int) -> None:
        from physlm.models.parts.canon import canon_of
        from physlm.models.parts.linear import Linear

        super().__init__(config, members)
        width, hidden = config.width, _hidden(config)
        self.up = Linear(members, width, 2 * hidden, std=initial_std(width), bias=config.bias)
        self.canon = canon_of(config, "D", members, 2 * hidden)
        self.down = Linear(members, hidden, width, std=residual_std(config), bias=config.bias)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        from torch.nn.functional import silu

        both = self.up(x)
        if self.canon is not None:
            both = self.canon(both, batch, cache)
        gate, hidden = both.chunk(2, -1)
        y: Tensor = self.down(silu(gate) * hidden)
        return y
