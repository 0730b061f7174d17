"""Mixture of experts (Shazeer et al. 2017; top-1 as in Fedus et al. 2021, Switch; the balance loss of both).

In training an expert takes at most `capacity` times its fair share of a batch's tokens and drops those beyond it.
Earlier positions come first, so no token feels a later one. In evaluation nothing is dropped, so that a token's state
doesn't depend on what it happens to be evaluated with.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from pydantic import Field

from physlm.models.counts import Counts, affine
from physlm.models.mlps.mlp import HiddenConfig, Mlp, register
from physlm.models.parts.draws import initial_std, normal, residual_std

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.parts.cache import Cache


class ExpertsConfig(HiddenConfig):
    """Knobs of a mixture of experts."""

    experts: int = Field(8, ge=2, le=4096, description="experts of a mixture")
    top_k: int = Field(1, ge=1, le=64, description="experts that a token is sent to")
    capacity: float = Field(
        2.0, gt=0, le=64, description="tokens that an expert takes in training, over its fair share"
    )
    balance: float = Field(0.01, ge=0, le=10, description="weight of the loss that evens out the experts' load")


def _hidden(config: ExpertsConfig) -> int:
    return config.hidden_size(4 * config.width)


@register
class Experts(Mlp[ExpertsConfig]):
    """Mixture of experts: sums the answers of a token's `top_k` experts, weighted by the router's probabilities.

    load [M, E]: share of the last batch's tokens that chose each expert; dropped [M]: share that found no room.
    loss_scale: weight of the balance loss of the next pass; of a step in several passes it is each one's share.
    """

    name = "experts"
    config_type = ExpertsConfig
    examples = ({"experts": 4, "top_k": 2}, {"experts": 4, "capacity": 0.5, "bias": False}, {"mlp_size": 0.25})

    @classmethod
    def check(cls, config: ExpertsConfig) -> None:
        if config.top_k > config.experts:
            raise ValueError(f"top_k: {config.top_k} is more than the {config.experts} experts")

    @classmethod
    def counts(cls, config: ExpertsConfig, context: int) -> Counts:
        width, hidden, top_k = config.width, _hidden(config), config.top_k
        one = affine(width, hidden, config.bias) + affine(hidden, width, config.bias)
        kept = round(top_k * max(1.0, config.capacity) * (width + 2 * hidden + width))
        router = affine(width, config.experts, False) + Counts(kept=4 * config.experts)
        return router + Counts(config.experts * one.parameters, top_k * one.flops, kept)

    def __init__(self, config: ExpertsConfig, members: int) -> None:
        import torch
        from torch import nn

        from physlm.models.parts.linear import Linear

        super().__init__(config, members)
        width, hidden, self.experts, self.top_k = config.width, _hidden(config), config.experts, config.top_k
        self.capacity, self.balance = config.capacity, config.balance
        std = initial_std(width)
        self.router = Linear(members, width, self.experts, std=std, bias=False)
        self.draws = {"up": normal(std), "down": normal(residual_std(config))}
        self.up = nn.Parameter(torch.empty(members, self.experts, width, hidden))
        self.down = nn.Parameter(torch.empty(members, self.experts, hidden, width))
        self.up_bias = self.down_bias = None
        if config.bias:
            self.up_bias = nn.Parameter(torch.empty(members, self.experts, hidden))
            self.down_bias = nn.Parameter(torch.empty(members, self.experts, width))
        self.load = self.dropped = torch.empty(0)
        self.loss_scale = 1.0

    def set_loss_scale(self, scale: float) -> None:
        self.loss_scale = scale

    def excess_flops(self, batch: int, context: int) -> float:
        """Of slots that stay empty: all experts have as many as the one that most tokens chose."""
        _, _, width, hidden = self.up.shape
        tokens = batch * context
        room = int((self.load * tokens * self.top_k).round().max())
        return (self.experts * room - tokens * self.top_k) * 4 * width * hidden / tokens

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        from torch.nn.functional import one_hot

        from physlm.models.parts.gradient import add_gradient

        n = x.shape[1]
        probabilities = self.router(x).float().softmax(-1)  # [M, n, E]
        chosen = probabilities.detach().topk(self.top_k, -1).indices  # [M, n, k]
        taken = one_hot(chosen, self.experts).sum(2)  # [M, n, E], 0 or 1
        self.load = taken.sum(1) / (n * self.top_k)
        if self.training and self.balance:
            # The gradient of loss_scale · balance · E · Σ_e load_e · mean probability_e, its load taken as constant.
            slope = self.loss_scale * self.balance * self.experts / n * self.load.unsqueeze(1)
            probabilities = add_gradient(probabilities, slope)
        weights = probabilities.gather(-1, chosen)
        if self.top_k > 1:
            weights = weights / weights.sum(-1, keepdim=True)
        place, room = self._places(taken, chosen, batch)
        answers = self._answers(x, chosen, place, room)
        mixed: Tensor = (answers * weights.to(x.dtype).unsqueeze(-1)).sum(2)
        return mixed

    def _places(self, taken: Tensor, chosen: Tensor, batch: int) -> tuple[Tensor, int]:
        """Each choice's place in its expert's queue [M, n, k], and the places that an expert has."""
        members, n, experts = taken.shape
        by_position = taken.view(members, batch, -1, experts).transpose(1, 2).reshape(members, n, experts)
        ahead = by_position.cumsum(1) - by_position
        ahead = ahead.view(members, -1, batch, experts).transpose(1, 2).reshape(members, n, experts)
        place = ahead.gather(-1, chosen)
        if self.training:
            room = min(n, ceil(self.capacity * n * self.top_k / experts))
        else:
            room = int(taken.sum(1).max())
        self.dropped = (place >= room).sum((1, 2)) / (n * self.top_k)
        return place, room

    def _answers(self, x: Tensor, chosen: Tensor, place: Tensor, room: int) -> Tensor:
        """What the experts say of each choice, [M, n, k, d]; zero where there was no room."""
        import torch
        from torch.nn.functional import gelu

        members, n, width = x.shape
        slots = self.experts * room
        # One slot and one token more, both of no content: where what finds no room goes to and comes from.
        slot = torch.where(place < room, chosen * room + place, slots).flatten(1)  # [M, n·k]
        token = torch.arange(n, device=x.device).repeat_interleave(self.top_k).expand(members, -1)
        asker = torch.full((members, slots + 1), n, device=x.device).scatter_(1, slot, token)[:, :slots]
        nothing = x.new_zeros(members, 1, width)
        asked = _rows(torch.cat([x, nothing], 1), asker).view(members * self.experts, room, width)
        hidden = _affine(asked, self.up, self.up_bias)
        answered = _affine(gelu(hidden), self.down, self.down_bias).view(members, slots, width)
        return _rows(torch.cat([answered, nothing], 1), slot).view(members, n, self.top_k, width)


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [M·E, n, in], weight [M, E, in, out], bias [M, E, out] -> [M·E, n, out]."""
    import torch

    if bias is None:
        return torch.bmm(x, weight.flatten(0, 1))
    return torch.baddbmm(bias.flatten(0, 1).unsqueeze(1), x, weight.flatten(0, 1))


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows of each member's own table; table [M, n, d], index int64 [M, m] -> [M, m, d]."""
    import torch

    members, n, width = table.shape
    first = torch.arange(members, device=table.device).unsqueeze(1) * n
    return table.flatten(0, 1).index_select(0, (index + first).flatten()).view(members, -1, width)
