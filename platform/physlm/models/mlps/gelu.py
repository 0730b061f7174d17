"""Feed-forward layer with GELU (exact form)."""

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
    return config.hidden_size(4 * config.width)


@register
class Gelu(Mlp[HiddenConfig]):
    """Feed-forward layer with GELU: down(gelu(up(x))), with Canon D behind `up`."""

    name = "gelu"
    config_type = HiddenConfig
    examples = ({"mlp_size": 0.25},)
    has_canon_d = True

    @classmethod
    def counts(cls, config: HiddenConfig, context: int) -> Counts:
        width, hidden = config.width, _hidden(config)
        up, down = affine(width, hidden, config.bias), affine(hidden, width, config.bias)
        return up + counts.canon(config, "D", hidden) + Counts(kept=hidden) + down

    def __init__(self, config: HiddenConfig, members: int) -> None:
        from physlm.models.parts.canon import canon_of
        from physlm.models.parts.linear import Linear

        super().__init__(config, members)
        width, hidden = config.width, _hidden(config)
        self.up = Linear(members, width, hidden, std=initial_std(width), bias=config.bias)
        self.canon = canon_of(config, "D", members, hidden)
        self.down = Linear(members, hidden, width, std=residual_std(config), bias=config.bias)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        from torch.nn.functional import gelu

        hidden = self.up(x)
        if self.canon is not None:
            hidden = self.canon(hidden, batch, cache)
        y: Tensor = self.down(gelu(hidden))
        return y
