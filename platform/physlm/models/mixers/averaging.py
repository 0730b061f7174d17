"""Base of mixers whose weights don't depend on the tokens (Part 1)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from physlm.models import counts
from physlm.models.block import BlockConfig
from physlm.models.counts import Counts, affine
from physlm.models.mixers.mixer import Mixer
from physlm.models.parts.draws import initial_std, residual_std

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.parts.cache import Cache


class Averaging(Mixer[BlockConfig]):
    """Values of the tokens so far, averaged with weights that a subclass gives."""

    @classmethod
    def counts(cls, config: BlockConfig, context: int) -> Counts:
        width = config.width
        seen = width * (context + 1)  # twice the average positions that a position sees, times the width
        ends = affine(width, width, config.bias)
        return ends + counts.canon(config, "B", width) + Counts(0, seen, 2 * width, width * context) + ends

    def __init__(self, config: BlockConfig, members: int) -> None:
        from physlm.models.parts.canon import canon_of
        from physlm.models.parts.linear import Linear

        super().__init__(config, members)
        width, self.heads = config.width, config.heads
        self.value = Linear(members, width, width, std=initial_std(width), bias=config.bias)
        self.lora_columns = {"value.weight": (slice(0, width),)}  # there are no queries
        self.canon = canon_of(config, "B", members, width)
        self.out = Linear(members, width, width, std=residual_std(config), bias=config.bias)

    @abstractmethod
    def weights(self, queries: int, keys: int) -> Tensor:
        """Weights of the last `queries` of `keys` tokens, [M or 1, heads, queries, keys]; rows sum to 1."""

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        import torch

        members, n, width = x.shape
        context = n // batch
        value = self.value(x)
        if self.canon is not None:
            value = self.canon(value, batch, cache)
        v = value.view(members, batch, context, self.heads, width // self.heads).transpose(2, 3)
        if cache is not None:
            v = cache.extend(self, "values", v)
        keys = v.shape[3]
        weights = self.weights(context, keys).to(v.dtype).expand(members, -1, -1, -1).flatten(0, 1)
        columns = v.permute(0, 2, 3, 1, 4).reshape(members * self.heads, keys, -1)  # [M·heads, S, batch·h]
        y = torch.bmm(weights, columns).view(members, self.heads, context, batch, -1)
        mixed: Tensor = self.out(y.permute(0, 3, 2, 1, 4).reshape(members, n, width))
        return mixed

    def excess_flops(self, batch: int, context: int) -> float:
        """Of products with weights that are 0."""
        return self.value.weight.shape[2] * (context - 1)
