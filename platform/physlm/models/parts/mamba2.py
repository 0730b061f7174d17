"""Mamba2 (Dao and Gu 2024, state space duality): a state that forgets at one rate for each head.

    S_t = exp(-Δ_t a) S_{t-1} + Δ_t B_tᵀ x_t,    y_t = C_t S_t + D x_t,    Δ_t = softplus(u_t W + b)

B and C are shared by all heads (one group).
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from physlm.models.parts.cache import Cache
from physlm.models.parts.linear import Linear
from physlm.models.parts.norm import RmsNorm
from physlm.models.parts.part import Part, initial_std, mixer, residual_std, uniform
from physlm.models.parts.recurrence import State, Streams, chunks, fused, scan, unchunk

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig

_CHUNK = 32
_STEPS = (1e-3, 0.1)  # range of Δ at the start, log-uniform
_RATES = (1.0, 16.0)  # range of a at the start, uniform


def draw_step_bias(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Biases for which softplus gives steps log-uniform in the published range."""
    step = uniform(log(_STEPS[0]), log(_STEPS[1]))(shape, generator).exp()
    return step + torch.log(-torch.expm1(-step))


def draw_log_rate(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Logarithms of rates uniform in the published range."""
    return uniform(*_RATES)(shape, generator).log()


def within_chunk(total: Tensor) -> Tensor:
    """exp of the log decay from token j to token i ≥ j, 0 elsewhere; total [..., C] from the start -> [..., C, C]."""
    size = total.shape[-1]
    ahead = torch.ones(size, size, dtype=torch.bool, device=total.device).triu_(1)
    between = total.unsqueeze(-1) - total.unsqueeze(-2)
    return between.masked_fill(ahead, float("-inf")).exp()  # before exp, which would overflow ahead


def state_space(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """S_t = exp(decay_t) S_{t-1} + k_tᵀ v_t, o_t = q_t S_t.

    q, k [R, T, K], shared by heads, v [R, T, H, V], decay (≤ 0) [R, T, H], state [R, H, K, V].
    Returns o [R, T, H, V] and the last state.
    """
    context, heads = v.shape[1:3]
    if kernel := fused(q, "simple_gla", "chunk_simple_gla"):
        q_, k_ = (x.unsqueeze(2).expand(-1, -1, heads, -1).contiguous() for x in (q, k))
        o, state = kernel(q_, k_, v.to(q.dtype), decay, scale=1.0, initial_state=state, output_final_state=True)
        return o, state
    size = min(_CHUNK, context)
    q_, k_, v_ = (chunks(x, size) for x in (q.unsqueeze(2), k.unsqueeze(2), v))
    total = chunks(decay, size).cumsum(-1)  # [R, H, chunks, size]
    end = total[..., -1:]
    scores = (q_ @ k_.transpose(-1, -2)) * within_chunk(total)
    update = k_.transpose(-1, -2) @ (v_ * (end - total).exp().unsqueeze(-1))
    before, state = scan(end.exp().unsqueeze(-1), update, state)
    o = scores @ v_ + (q_ @ before) * total.exp().unsqueeze(-1)
    return unchunk(o, context), state


@mixer("mamba2")
class Mamba2(Part):
    """out(norm(y ⊙ silu(z))), y from the recurrence over x, B and C."""

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__(config, members)
        width, self.heads, self.keys, self.values = config.width, config.heads, config.key_size, config.value_size
        std = initial_std(width)
        inner = self.heads * self.values
        self.xbc = Linear(members, width, inner + 2 * self.keys, std=std, bias=False)
        self.adapted = {"xbc.weight": (slice(inner + self.keys, inner + 2 * self.keys), slice(0, inner))}
        self.streams = Streams(config, members, inner + 2 * self.keys)
        self.step = Linear(members, width, self.heads, std=std, bias=False)
        self.gate = Linear(members, width, inner, std=std, bias=False)
        self.draws = {"step_bias": draw_step_bias, "log_rate_bias": draw_log_rate}
        self.step_bias = nn.Parameter(torch.empty(members, self.heads))
        self.log_rate_bias = nn.Parameter(torch.empty(members, self.heads))  # of no decay, as published
        self.skip_gain = nn.Parameter(torch.empty(members, self.heads))
        self.inner_norm = RmsNorm(members, inner)
        self.out = Linear(members, inner, width, std=residual_std(config), bias=False)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        members, n, _ = x.shape
        context = n // batch
        inner = self.heads * self.values
        streams = self.streams(self.xbc(x), batch, cache, always_silu=True)
        values, k, q = streams.split([inner, self.keys, self.keys], -1)
        k, q = (y.reshape(members * batch, context, self.keys) for y in (k, q))
        step = softplus((self.step(x) + self.step_bias.unsqueeze(1)).float())  # [M, n, H]
        decay = (-step * self.log_rate_bias.exp().unsqueeze(1)).view(members * batch, context, self.heads)
        v = values.reshape(members, n, self.heads, self.values)
        state = State(self, cache, members, batch)
        start = state.before(self.heads, self.keys, self.values, decay)
        stepped = (v * step.unsqueeze(-1)).view(members * batch, context, self.heads, self.values)
        o, last = state_space(q, k, stepped, decay, start)
        state.after(last)
        y = torch.addcmul(o.reshape(v.shape), v, self.skip_gain[:, None, :, None]).reshape(members, n, inner)
        mixed: Tensor = self.out(self.inner_norm(y * silu(self.gate(x))))
        return mixed
