"""Attention whose weights don't depend on the tokens (Part 1): GPT_uni and GPT_pos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from physlm.models.parts.attention import future
from physlm.models.parts.cache import Cache
from physlm.models.parts.canon import canon_of
from physlm.models.parts.linear import Linear
from physlm.models.parts.part import Part, initial_std, mixer, residual_std
from physlm.models.parts.relative import RelativeBias

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig


class Averaging(Part):
    """Values of the tokens so far, averaged with weights that a subclass gives."""

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__(config, members)
        width, self.heads = config.width, config.heads
        self.value = Linear(members, width, width, std=initial_std(width), bias=config.bias)
        self.adapted = {"value.weight": (slice(0, width),)}  # there are no queries
        self.canon = canon_of(config, "B", members, width)
        self.out = Linear(members, width, width, std=residual_std(config), bias=config.bias)

    def weights(self, queries: int, keys: int) -> Tensor:
        """Weights of the last `queries` of `keys` tokens, [M or 1, heads, queries, keys]; rows sum to 1."""
        raise NotImplementedError

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
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


@mixer("uniform")
class Uniform(Averaging):
    """Head i takes the mean of the last 2^i tokens, of all there are where they are fewer."""

    def weights(self, queries: int, keys: int) -> Tensor:
        device = self.value.weight.device
        here = torch.arange(keys - queries, keys, device=device).unsqueeze(1)
        back = here - torch.arange(keys, device=device)
        window = torch.tensor([2 ** min(head, 40) for head in range(self.heads)], device=device).view(-1, 1, 1)
        seen = (back >= 0) & (back < window)
        return (seen / seen.sum(-1, keepdim=True)).unsqueeze(0)


@mixer("positional")
class Positional(Averaging):
    """Weights are a softmax over learned numbers, one for each head and distance."""

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__(config, members)
        self.relative = RelativeBias(members, self.heads, config.distances)

    def weights(self, queries: int, keys: int) -> Tensor:
        scores: Tensor = self.relative(queries, keys)
        return (scores + future(queries, keys, scores)).softmax(-1)
