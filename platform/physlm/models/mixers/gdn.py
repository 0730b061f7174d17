"""Gated delta rule (Yang et al. 2024, Gated DeltaNet): before it writes, the state unlearns what it held for the key.

S_t = α_t (I - β_t k_tᵀ k_t) S_{t-1} + β_t k_tᵀ v_t,    o_t = q_t S_t / √K,    |q_t| = |k_t| = 1
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


def gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """q, k [R, T, H, K], v [R, T, H, V], decay (log α) and beta [R, T, H], state [R, H, K, V].

    Within a chunk, what each token writes follows from a triangular system (the paper's UT transform).
    Returns o [R, T, H, V] and the last state.
    """
    import torch

    from physlm.models.parts.scan import chunks, decay_within, fused, unchunk

    if kernel := fused(q, "gated_delta_rule", "chunk_gated_delta_rule"):
        o, state = kernel(q, k, v, decay, beta, scale=1.0, initial_state=state, output_final_state=True)
        return o, state
    context = q.shape[1]
    size = min(_CHUNK_TOKENS, context)
    q_, k_, v_, beta_ = (chunks(x, size) for x in (q, k, v, beta.unsqueeze(-1)))
    total = chunks(decay, size).cumsum(-1)
    since, end = total.exp().unsqueeze(-1), total[..., -1:]
    between = decay_within(total)
    keyed = k_ * beta_
    system = ((keyed @ k_.transpose(-1, -2)) * between).tril(-1)
    right = torch.cat([v_ * beta_, keyed * since], -1)
    solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)  # takes 1 for the diagonal
    written, unlearned = solved.split([v.shape[-1], k.shape[-1]], -1)
    scores = (q_ @ k_.transpose(-1, -2)) * between
    reading, keeping = q_ * since, (k_ * (end - total).exp().unsqueeze(-1)).transpose(-1, -2)
    outputs = []
    for c in range(q_.shape[2]):
        new = written[:, :, c] - unlearned[:, :, c] @ state
        outputs.append(reading[:, :, c] @ state + scores[:, :, c] @ new)
        state = end[:, :, c].exp().unsqueeze(-1) * state + keeping[:, :, c] @ new
    return unchunk(torch.stack(outputs, 2), context), state


@register
class GatedDeltaNet(Recurrence):
    """Gated DeltaNet: out(norm(o) ⊙ silu(gate)), o from the recurrence over normalised queries and keys, and values."""

    name = "gdn"
    expansion = 1.5
    examples = ({"short_conv": False, "heads": 4, "expand": 1.0}, {"canon": "ABCD", "state": 3, "expand": 0.5})

    @classmethod
    def counts(cls, config: RecurrenceConfig, context: int) -> Counts:
        width, heads, value = config.width, config.heads, cls.value_size(config)
        keys, values = heads * cls.key_size(config), heads * value
        qkv = affine(width, 2 * keys + values, False) + cls.input_counts(config, 2 * keys + values)
        steps = affine(width, 2 * heads, False) + Counts(2 * heads)
        kept = 8 * keys + 6 * values + 4 * heads * min(_CHUNK_TOKENS, context)
        recurrence = Counts(0, 6 * keys * value, kept, keys * value)
        out = Counts(value, 0, 2 * values) + affine(width, values, False) + affine(values, width, False)
        return qkv + steps + recurrence + out

    def __init__(self, config: RecurrenceConfig, members: int) -> None:
        import torch
        from torch import nn

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
        self.steps = Linear(members, width, 2 * self.heads, std=std, bias=False)  # of writing and of forgetting
        self.gate = Linear(members, width, self.heads * self.values, std=std, bias=False)
        self.draws = {"step_bias": step_bias, "log_rate_bias": log_decay_rate}
        self.step_bias = nn.Parameter(torch.empty(members, self.heads))
        self.log_rate_bias = nn.Parameter(torch.empty(members, self.heads))  # of no decay, as published
        self.head_norm = HeadNorm(members, self.values)
        self.out = Linear(members, self.heads * self.values, width, std=residual_std(config), bias=False)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        from torch.nn.functional import silu, softplus

        from physlm.models.parts.norm import root_mean_square
        from physlm.models.parts.scan import State

        members, n, _ = x.shape
        shape = (members * batch, n // batch, self.heads, -1)
        streams = self.streams(self.qkv(x), batch, cache, always_silu=True)
        sizes = [self.heads * self.keys, self.heads * self.keys, self.heads * self.values]
        q, k, v = (y.reshape(shape) for y in streams.split(sizes, -1))
        write, forget = self.steps(x).float().chunk(2, -1)
        step = softplus(forget + self.step_bias.unsqueeze(1))
        decay = (-step * self.log_rate_bias.exp().unsqueeze(1)).view(shape[:3])
        state = State(self, cache, members, batch)
        start = state.before(self.heads, self.keys, self.values, decay)
        q, k = root_mean_square(q) / self.keys, root_mean_square(k) * self.keys**-0.5  # k of length 1, q of 1 / √K
        o, last = gated_delta_rule(q, k, v, decay, write.sigmoid().reshape(shape[:3]), start)
        state.after(last)
        gated = self.head_norm(o).reshape(members, n, -1) * silu(self.gate(x))
        mixed: Tensor = self.out(gated)
        return mixed

    def excess_flops(self, batch: int, context: int) -> float:
        """Of the triangular system, the scores and the outputs within whole chunks."""
        return self.heads * 2 * min(_CHUNK_TOKENS, context) * (2 * self.keys + self.values)
