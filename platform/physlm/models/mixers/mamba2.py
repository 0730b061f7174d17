"""Mamba2 (Dao and Gu 2024, state space duality): a state that forgets at one rate for each head.

    S_t = exp(-Δ_t a) S_{t-1} + Δ_t B_tᵀ x_t,    y_t = C_t S_t + D x_t,    Δ_t = softplus(u_t W + b)

B and C are shared by all heads (one group).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from physlm.models.counts import Counts, affine
from physlm.models.mixers.mixer import register
from physlm.models.mixers.recurrence import Recurrence, RecurrenceConfig
from physlm.models.parts.draws import initial_std, log_decay_rate, residual_std, step_bias

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.parts.cache import Cache

_CHUNK_TOKENS = 32


def state_space(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """S_t = exp(decay_t) S_{t-1} + k_tᵀ v_t, o_t = q_t S_t.

    q, k [R, T, K], shared by heads, v [R, T, H, V], decay (≤ 0) [R, T, H], state [R, H, K, V].
    Returns o [R, T, H, V] and the last state.
    """
    from physlm.models.parts.scan import chunks, decay_within, fused, scan, unchunk

    context, heads = v.shape[1:3]
    if kernel := fused(q, "simple_gla", "chunk_simple_gla"):
        q_, k_ = (x.unsqueeze(2).expand(-1, -1, heads, -1).contiguous() for x in (q, k))
        o, state = kernel(q_, k_, v.to(q.dtype), decay, scale=1.0, initial_state=state, output_final_state=True)
        return o, state
    size = min(_CHUNK_TOKENS, context)
    q_, k_, v_ = (chunks(x, size) for x in (q.unsqueeze(2), k.unsqueeze(2), v))
    total = chunks(decay, size).cumsum(-1)  # [R, H, chunks, size]
    end = total[..., -1:]
    scores = (q_ @ k_.transpose(-1, -2)) * decay_within(total)
    update = k_.transpose(-1, -2) @ (v_ * (end - total).exp().unsqueeze(-1))
    before, state = scan(end.exp().unsqueeze(-1), update, state)
    o = scores @ v_ + (q_ @ before) * total.exp().unsqueeze(-1)
    return unchunk(o, context), state


@register
class Mamba2(Recurrence):
    """Mamba2: out(norm(y ⊙ silu(z))), y from the recurrence over x, B and C."""

    name = "mamba2"
    expansion = 2.0
    examples = ({"short_conv": False}, {"canon": "ABCD", "state": 3, "expand": 0.5})

    @classmethod
    def key_size(cls, config: RecurrenceConfig) -> int:
        """Keys, shared by the heads: 64 but no more than a head's values where the knob `state` doesn't say it."""
        return config.state or min(64, cls.value_size(config))

    @classmethod
    def counts(cls, config: RecurrenceConfig, context: int) -> Counts:
        width, heads, keys = config.width, config.heads, cls.key_size(config)
        values = heads * cls.value_size(config)
        xbc = affine(width, values + 2 * keys, False) + cls.input_counts(config, values + 2 * keys)
        kept = 4 * heads * keys + 3 * values + 2 * heads * min(_CHUNK_TOKENS, context)
        recurrence = affine(width, heads, False) + Counts(3 * heads, 4 * keys * values, kept, keys * values)
        out = Counts(values, 0, 2 * values) + affine(width, values, False) + affine(values, width, False)
        return xbc + recurrence + out

    def __init__(self, config: RecurrenceConfig, members: int) -> None:
        import torch
        from torch import nn

        from physlm.models.parts.linear import Linear
        from physlm.models.parts.norm import RmsNorm
        from physlm.models.parts.scan import Inputs

        super().__init__(config, members)
        width, self.heads, self.keys, self.values = (
            config.width,
            config.heads,
            self.key_size(config),
            self.value_size(config),
        )
        std = initial_std(width)
        inner = self.heads * self.values
        self.xbc = Linear(members, width, inner + 2 * self.keys, std=std, bias=False)
        self.lora_columns = {"xbc.weight": (slice(inner + self.keys, inner + 2 * self.keys), slice(0, inner))}
        self.streams = Inputs(config, members, inner + 2 * self.keys)
        self.step = Linear(members, width, self.heads, std=std, bias=False)
        self.gate = Linear(members, width, inner, std=std, bias=False)
        self.draws = {"step_bias": step_bias, "log_rate_bias": log_decay_rate}
        self.step_bias = nn.Parameter(torch.empty(members, self.heads))
        self.log_rate_bias = nn.Parameter(torch.empty(members, self.heads))  # of no decay, as published
        self.skip_gain = nn.Parameter(torch.empty(members, self.heads))
        self.inner_norm = RmsNorm(members, inner)
        self.out = Linear(members, inner, width, std=residual_std(config), bias=False)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        import torch
        from torch.nn.functional import silu, softplus

        from physlm.models.parts.scan import State

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

    def excess_flops(self, batch: int, context: int) -> float:
        """Of scores and outputs within whole chunks."""
        return 2 * min(_CHUNK_TOKENS, context) * (self.keys + self.heads * self.values)
