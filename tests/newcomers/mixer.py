# A newcomer's mixer, which tests/test_one_file.py tries in a copy.
# Belongs to platform/physlm/models/mixers/ema.py
"""Exponential moving average (Ma et al. 2022, Mega, without its damping): each channel forgets at a rate of its own.

s_t = a ⊙ s_{t-1} + (1 - a) ⊙ v_t,    o_t = s_t W,    v = x V
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from pydantic import Field

from physlm.models import counts
from physlm.models.block import BlockConfig
from physlm.models.counts import Counts, affine
from physlm.models.mixers.mixer import Mixer, register
from physlm.models.parts.draws import initial_std, residual_std, uniform

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.parts.cache import Cache


class EmaConfig(BlockConfig):
    """Knobs of the moving average."""

    half_life: float = Field(32.0, gt=1, le=65_536, description="longest half-life of a channel at first, in tokens")


@register
class Ema(Mixer[EmaConfig]):
    """Exponential moving average of values, with a decay for each channel that is learned as a logit."""

    name = "ema"
    config_type = EmaConfig
    examples = ({"half_life": 4.0},)

    @classmethod
    def counts(cls, config: EmaConfig, context: int) -> Counts:
        width = config.width
        ends = affine(width, width, config.bias)
        average = Counts(parameters=width, flops=2 * width, kept=2 * width, cached=width)
        return ends + counts.canon(config, "B", width) + average + ends

    def __init__(self, config: EmaConfig, members: int) -> None:
        import torch
        from torch import nn

        from physlm.models.parts.canon import canon_of
        from physlm.models.parts.linear import Linear

        super().__init__(config, members)
        width, longest = config.width, 2 ** (-1 / config.half_life)
        self.value = Linear(members, width, width, std=initial_std(width), bias=config.bias)
        self.lora_columns = {"value.weight": (slice(0, width),)}  # there are no queries
        self.canon = canon_of(config, "B", members, width)
        self.draws = {"decay_bias": uniform(0.0, log(longest / (1 - longest)))}
        self.decay_bias = nn.Parameter(torch.empty(members, width))  # of no weight decay, by its name
        self.out = Linear(members, width, width, std=residual_std(config), bias=config.bias)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        import torch

        members, n, width = x.shape
        value = self.value(x)
        if self.canon is not None:
            value = self.canon(value, batch, cache)
        values = value.view(members, batch, n // batch, width)
        kept = {} if cache is None else cache.of(self)
        state = kept.get("state", values.new_zeros(members, batch, width))
        decay = self.decay_bias.sigmoid().unsqueeze(1).to(value.dtype)
        states = []
        for new in values.unbind(2):
            state = torch.lerp(new, state, decay)  # decay · state + (1 - decay) · new
            states.append(state)
        kept["state"] = state
        mixed: Tensor = self.out(torch.stack(states, 2).view(members, n, width))
        return mixed

    def excess_flops(self, batch: int, context: int) -> float:
        """The moving average takes no matrix product."""
        return -2.0 * self.decay_bias.shape[1]
