"""Gated linear attention (Yang et al. 2023): a state that forgets at a rate of its own for each key dimension.

S_t = diag(α_t) S_{t-1} + k_tᵀ v_t,    o_t = q_t S_t / √K,    α_t = σ(x_t W₁ W₂ + b)^(1/16)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn.functional import logsigmoid, silu

from physlm.models.counts import GATE_RANK
from physlm.models.parts.cache import Cache
from physlm.models.parts.linear import Linear
from physlm.models.parts.part import Part, initial_std, mixer, residual_std
from physlm.models.parts.recurrence import HeadNorm, State, Streams, chunks, fused, scan, unchunk

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig

_CHUNK = 16  # tokens; with the strongest decay, exp of half a chunk's stays a number of single precision
STRONGEST = -5.0  # log α is at least this: a state that keeps 0.7 % is as good as new
_NORMALISER = 16.0


def gated_linear_attention(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """q, k, decay (log α, from STRONGEST to 0) [R, T, H, K], v [R, T, H, V], state [R, H, K, V].

    Returns o [R, T, H, V] and the last state.
    """
    if kernel := fused(q, "gla", "chunk_gla"):
        o, state = kernel(q, k, v, decay, scale=1.0, initial_state=state, output_final_state=True)
        return o, state
    context = q.shape[1]
    size = min(_CHUNK, context)
    q_, k_, v_, g = (chunks(x, size) for x in (q, k, v, decay))
    total = g.cumsum(3)  # from the chunk's start, [R, H, chunks, size, K]
    middle, end = total[..., size // 2 : size // 2 + 1, :], total[..., -1:, :]
    # Exponents count from the middle: from the start, those of keys would grow too large.
    scores = (q_ * (total - middle).exp()) @ (k_ * (middle - total).exp()).transpose(-1, -2)
    update = (k_ * (end - total).exp()).transpose(-1, -2) @ v_
    before, state = scan(end.exp().transpose(-1, -2), update, state)
    o = scores.tril() @ v_ + (q_ * total.exp()) @ before
    return unchunk(o, context), state


@mixer("gla")
class GatedLinearAttention(Part):
    """out(norm(o) ⊙ silu(gate)), o from the recurrence over queries, keys and values."""

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__(config, members)
        width, self.heads, self.keys, self.values = config.width, config.heads, config.key_size, config.value_size
        std = initial_std(width)
        inner = self.heads * (2 * self.keys + self.values)
        self.qkv = Linear(members, width, inner, std=std, bias=False)
        self.adapted = {"qkv.weight": (slice(0, self.heads * self.keys), slice(2 * self.heads * self.keys, inner))}
        self.streams = Streams(config, members, inner)
        self.decay_in = Linear(members, width, GATE_RANK, std=std, bias=False)
        self.decay_out = Linear(members, GATE_RANK, self.heads * self.keys, std=std)
        self.gate = Linear(members, width, self.heads * self.values, std=std, bias=False)
        self.head_norm = HeadNorm(members, self.values)
        self.out = Linear(members, self.heads * self.values, width, std=residual_std(config), bias=False)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        members, n, _ = x.shape
        shape = (members * batch, n // batch, self.heads, -1)
        streams = self.streams(self.qkv(x), batch, cache, always_silu=False)
        sizes = [self.heads * self.keys, self.heads * self.keys, self.heads * self.values]
        q, k, v = (y.reshape(shape) for y in streams.split(sizes, -1))
        decay = (logsigmoid(self.decay_out(self.decay_in(x)).float()) / _NORMALISER).clamp(min=STRONGEST)
        state = State(self, cache, members, batch)
        start = state.before(self.heads, self.keys, self.values, decay)
        o, last = gated_linear_attention(q * self.keys**-0.5, k, v, decay.view(shape), start)
        state.after(last)
        gated = self.head_norm(o).reshape(members, n, -1) * silu(self.gate(x))
        mixed: Tensor = self.out(gated)
        return mixed
