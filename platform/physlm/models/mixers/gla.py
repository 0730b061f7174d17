"""Gated linear attention (Yang et al. 2023): a state that forgets at a rate of its own for each key dimension.

S_t = diag(α_t) S_{t-1} + k_tᵀ v_t,    o_t = q_t S_t / √K,    α_t = σ(x_t W₁ W₂ + b)^(1/16)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from physlm.models.counts import Counts, affine
from physlm.models.mixers.mixer import register
from physlm.models.mixers.recurrence import Recurrence, RecurrenceConfig
from physlm.models.parts.draws import initial_std, residual_std

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.parts.cache import Cache

MIN_LOG_DECAY = -5.0
"""log α is at least this: a state that keeps 0.7 % is as good as new."""

_CHUNK_TOKENS = 16  # with the strongest decay, exp of half a chunk's stays a number of single precision
_GATE_RANK = 16  # inner dimension of the decay's map
_DECAY_ROOT = 16.0  # α is this root of a sigmoid


def gated_linear_attention(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """q, k, decay (log α, from MIN_LOG_DECAY to 0) [R, T, H, K], v [R, T, H, V], state [R, H, K, V].

    Returns o [R, T, H, V] and the last state.
    """
    from physlm.models.parts.scan import chunks, fused, scan, unchunk

    if kernel := fused(q, "gla", "chunk_gla"):
        o, state = kernel(q, k, v, decay, scale=1.0, initial_state=state, output_final_state=True)
        return o, state
    context = q.shape[1]
    size = min(_CHUNK_TOKENS, context)
    q_, k_, v_, g = (chunks(x, size) for x in (q, k, v, decay))
    total = g.cumsum(3)  # from the chunk's start, [R, H, chunks, size, K]
    middle, end = total[..., size // 2 : size // 2 + 1, :], total[..., -1:, :]
    # Exponents count from the middle: from the start, those of keys would grow too large.
    scores = (q_ * (total - middle).exp()) @ (k_ * (middle - total).exp()).transpose(-1, -2)
    update = (k_ * (end - total).exp()).transpose(-1, -2) @ v_
    before, state = scan(end.exp().transpose(-1, -2), update, state)
    o = scores.tril() @ v_ + (q_ * total.exp()) @ before
    return unchunk(o, context), state


@register
class GatedLinearAttention(Recurrence):
    """Gated linear attention: out(norm(o) ⊙ silu(gate)), o from the recurrence over queries, keys and values."""

    name = "gla"
    expansion = 1.0
    examples = ({"short_conv": False}, {"canon": "ABCD", "state": 3, "expand": 0.5})

    @classmethod
    def counts(cls, config: RecurrenceConfig, context: int) -> Counts:
        width, heads, value = config.width, config.heads, cls.value_size(config)
        keys, values = heads * cls.key_size(config), heads * value
        qkv = affine(width, 2 * keys + values, False) + cls.input_counts(config, 2 * keys + values)
        decay = affine(width, _GATE_RANK, False) + affine(_GATE_RANK, keys, True)
        kept = 6 * keys + 3 * values + heads * min(_CHUNK_TOKENS, context)
        recurrence = Counts(0, 4 * keys * value, kept, keys * value)
        out = Counts(value, 0, 2 * values) + affine(width, values, False) + affine(values, width, False)
        return qkv + decay + recurrence + out

    def __init__(self, config: RecurrenceConfig, members: int) -> None:
        from physlm.models.parts.linear import Linear
        from physlm.models.parts.scan import HeadNorm, Inputs

        super().__init__(config, members)
        width, self.heads, self.keys, self.values = (
            config.width,
            config.heads,
            self.key_size(config),
            self.value_size(config),
        )
        std = initial_std(width)
        inner = self.heads * (2 * self.keys + self.values)
        self.qkv = Linear(members, width, inner, std=std, bias=False)
        self.lora_columns = {"qkv.weight": (slice(0, self.heads * self.keys), slice(2 * self.heads * self.keys, inner))}
        self.streams = Inputs(config, members, inner)
        self.decay_in = Linear(members, width, _GATE_RANK, std=std, bias=False)
        self.decay_out = Linear(members, _GATE_RANK, self.heads * self.keys, std=std)
        self.gate = Linear(members, width, self.heads * self.values, std=std, bias=False)
        self.head_norm = HeadNorm(members, self.values)
        self.out = Linear(members, self.heads * self.values, width, std=residual_std(config), bias=False)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        from torch.nn.functional import logsigmoid, silu

        from physlm.models.parts.scan import State

        members, n, _ = x.shape
        shape = (members * batch, n // batch, self.heads, -1)
        streams = self.streams(self.qkv(x), batch, cache, always_silu=False)
        sizes = [self.heads * self.keys, self.heads * self.keys, self.heads * self.values]
        q, k, v = (y.reshape(shape) for y in streams.split(sizes, -1))
        decay = (logsigmoid(self.decay_out(self.decay_in(x)).float()) / _DECAY_ROOT).clamp(min=MIN_LOG_DECAY)
        state = State(self, cache, members, batch)
        start = state.before(self.heads, self.keys, self.values, decay)
        o, last = gated_linear_attention(q * self.keys**-0.5, k, v, decay.view(shape), start)
        state.after(last)
        gated = self.head_norm(o).reshape(members, n, -1) * silu(self.gate(x))
        mixed: Tensor = self.out(gated)
        return mixed

    def excess_flops(self, batch: int, context: int) -> float:
        """Of scores and outputs within whole chunks."""
        return self.heads * 2 * min(_CHUNK_TOKENS, context) * (self.keys + self.values)
