"""Mixture of experts (Shazeer et al. 2017; top-1 as in Fedus et al. 2021, Switch; the balance loss of both).

In training an expert takes at most `capacity` times its fair share of a batch's tokens and drops those beyond it.
Earlier positions come first, so no token feels a later one. In evaluation nothing is dropped, so that a token's state
doesn't depend on what it happens to be evaluated with.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, one_hot

from physlm.models.parts.cache import Cache
from physlm.models.parts.linear import Linear
from physlm.models.parts.part import Part, initial_std, mlp, normal, residual_std

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig


class _Balance(torch.autograd.Function):
    """Adds to the gradient of the router's shares what the balance loss would, were it a summand of the loss."""

    @staticmethod
    def forward(ctx: Any, shares: Tensor, pull: Tensor) -> Tensor:
        ctx.save_for_backward(pull)
        return shares.view_as(shares)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (pull,) = ctx.saved_tensors
        return gradients[0] + pull, None


@mlp("experts")
class Experts(Part):
    """Sends each token to its `top_k` experts and adds their answers, weighted by the router's shares.

    load [M, E]: share of the last batch's tokens that chose each expert; dropped [M]: share that found no room.
    share: weight of the balance loss of the next pass; of a step in several passes it is each one's share.
    """

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__(config, members)
        width, hidden, self.experts, self.top_k = config.width, config.hidden, config.experts, config.top_k
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
        self.share = 1.0

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        n = x.shape[1]
        shares = self.router(x).float().softmax(-1)  # [M, n, E]
        chosen = shares.detach().topk(self.top_k, -1).indices  # [M, n, k]
        taken = one_hot(chosen, self.experts).sum(2)  # [M, n, E], 0 or 1
        self.load = taken.sum(1) / (n * self.top_k)
        if self.training and self.balance:
            pull = self.share * self.balance * self.experts / n * self.load.unsqueeze(1)
            shares = cast("Tensor", _Balance.apply(shares, pull))  # type: ignore[no-untyped-call]
        weights = shares.gather(-1, chosen)
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
    if bias is None:
        return torch.bmm(x, weight.flatten(0, 1))
    return torch.baddbmm(bias.flatten(0, 1).unsqueeze(1), x, weight.flatten(0, 1))


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows of each member's own table; table [M, n, d], index int64 [M, m] -> [M, m, d]."""
    members, n, width = table.shape
    first = torch.arange(members, device=table.device).unsqueeze(1) * n
    return table.flatten(0, 1).index_select(0, (index + first).flatten()).view(members, -1, width)
