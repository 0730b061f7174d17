"""Softmax attention (Vaswani et al. 2017), with rotary, relative or no positions and shared keys and values.

It sees all tokens before, or a sliding window of the latest ones (Child et al. 2019; Jiang et al. 2023, Mistral).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from pydantic import Field

from physlm.models import counts
from physlm.models.block import BlockConfig
from physlm.models.counts import Counts, affine
from physlm.models.mixers.mixer import Mixer, register
from physlm.models.parts.draws import initial_std, residual_std

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.parts.cache import Cache

_WHOLE_SCORES = 64
"""Tokens up to which the score matrix is held whole for the backward pass."""


class AttentionConfig(BlockConfig):
    """Knobs of softmax attention."""

    rotary_share: float = Field(1.0, gt=0, le=1, description="share of each head that rotary positions turn")
    group_size: int = Field(1, ge=1, le=1024, description="query heads that share a head of keys and values")
    window: int | None = Field(
        None, ge=2, le=1_048_576, description="latest tokens that attention sees; all if not given"
    )

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads // self.group_size

    @property
    def rotary_size(self) -> int:
        """Dimensions of a head that rotary positions turn: an even number."""
        return 2 * int(self.rotary_share * (self.width // self.heads) / 2 + 1e-9)


@register
class Attention(Mixer[AttentionConfig]):
    """Multi-head softmax attention.

    Members are folded into the batch, so one kernel serves the whole cohort.
    """

    name = "attention"
    config_type = AttentionConfig
    positions = ("rotary", "relative")
    bidirectional = True
    examples = (
        {"positions": "none", "window": 5},
        {"positions": "rotary", "rotary_share": 0.25},
        {"positions": "rotary", "rotary_share": 0.5, "group_size": 2},
        {"positions": "relative", "group_size": 2, "distances": 7},
        {"positions": "relative", "window": 67, "distances": 9, "canon": "ABCD"},
        {"positions": "relative", "distances": 7, "bidirectional": True},
    )

    @classmethod
    def check(cls, config: AttentionConfig) -> None:
        width, heads = config.width, config.heads
        if config.positions == "rotary" and width % (2 * heads):
            raise ValueError(
                f"width: {width} can't be split into {heads} heads of even size (rotary positions turn pairs); "
                f"use a multiple of {2 * heads}"
            )
        super().check(config)
        if heads % config.group_size:
            raise ValueError(f"group_size: {heads} heads can't be split into groups of {config.group_size}")
        if config.rotary_share != 1 and config.positions != "rotary":
            raise ValueError(
                f"rotary_share: {config.rotary_share:g} means nothing with positions {config.positions!r}; leave it "
                "out, or choose positions rotary"
            )
        if config.positions == "rotary" and config.rotary_size < 2:
            raise ValueError(f"rotary_share: {config.rotary_share:g} of a head of {width // heads} is less than a pair")
        if config.bidirectional and config.window:
            raise ValueError("bidirectional: a window looks back only; leave the window out")

    @classmethod
    def uses_distances(cls, config: AttentionConfig) -> bool:
        return config.positions == "relative"

    @classmethod
    def counts(cls, config: AttentionConfig, context: int) -> Counts:
        width, heads = config.width, config.heads
        keys = width // heads * config.kv_heads
        inner = width + 2 * keys
        scores = heads * context if context <= _WHOLE_SCORES else 0
        cached = context if config.window is None else min(context, config.window - 1)
        if config.causal:
            window = min(context, config.window or context)
            seen = Fraction(window * (2 * context - window + 1), 2 * context)  # positions by one, on average
        else:
            seen = Fraction(context)
        attended = Counts(0, round(4 * width * seen), 2 * inner + 2 * scores + width, 2 * keys * cached)
        distances = config.distances if config.causal else 2 * config.distances - 1
        relative = Counts(heads * distances if config.positions == "relative" else 0)
        qkv, out = affine(width, inner, config.bias), affine(width, width, config.bias)
        return qkv + counts.canon(config, "B", inner) + attended + relative + out

    def __init__(self, config: AttentionConfig, members: int) -> None:
        from physlm.models.parts.canon import canon_of
        from physlm.models.parts.linear import Linear
        from physlm.models.parts.relative import RelativeBias
        from physlm.models.parts.rotary import Rotary

        super().__init__(config, members)
        width, self.heads, self.kv_heads = config.width, config.heads, config.kv_heads
        self.size = width // self.heads
        self.causal, self.window = config.causal, config.window
        inner = (self.heads + 2 * self.kv_heads) * self.size
        self.qkv = Linear(members, width, inner, std=initial_std(width), bias=config.bias)
        self.lora_columns = {"qkv.weight": (slice(0, width), slice(inner - self.kv_heads * self.size, inner))}
        self.canon = canon_of(config, "B", members, inner)
        self.out = Linear(members, width, width, std=residual_std(config), bias=config.bias)
        self.rotary = Rotary(self.size, config.rotary_size) if config.positions == "rotary" else None
        self.relative = None
        if config.positions == "relative":
            self.relative = RelativeBias(members, self.heads, config.distances, bidirectional=config.bidirectional)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        from physlm.models.parts.softmax import attend

        members, n, width = x.shape
        q, k, v, added = self._project(x, batch, cache)
        y = attend(q, k, v, added, causal=self.causal, window=self.window)
        mixed: Tensor = self.out(y.transpose(1, 2).reshape(members, n, width))
        return mixed

    def weights(self, x: Tensor, batch: int) -> Tensor:
        """How much each token takes from which, [M, batch, heads, T, T], of inputs x [M, batch·T, d]; rows sum to 1.

        Computed again, for looking inside: fused kernels don't tell.
        """
        from physlm.models.parts.softmax import future

        q, k, _, added = self._project(x, batch, None)
        scores = q @ k.transpose(2, 3) * self.size**-0.5
        if added is not None:
            scores = scores + added.repeat_interleave(len(q) // len(added), 0)
        if self.causal:
            scores = scores + future(scores.shape[2], scores.shape[3], scores, self.window)
        return scores.softmax(-1).unflatten(0, (len(x), batch))  # type: ignore[no-any-return]

    def excess_flops(self, batch: int, context: int) -> float:
        """Of scores that are computed and masked."""
        if not self.causal:
            return 0.0
        window = min(context, self.window or context)
        seen = window * (2 * context - window + 1) / (2 * context)
        return 4 * self.heads * self.size * (context - seen)

    def _project(self, x: Tensor, batch: int, cache: Cache | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries [M·batch, heads, T, h], keys and values [M·batch, heads, S, h], what is added to scores."""
        members, context = len(x), x.shape[1] // batch
        qkv = self.qkv(x)
        if self.canon is not None:
            qkv = self.canon(qkv, batch, cache)
        heads = qkv.view(members * batch, context, self.heads + 2 * self.kv_heads, self.size)
        # Parted before they are transposed, so that their gradients are put together in the layout of qkv at once.
        if self.rotary is None:
            q, k, v = (y.transpose(1, 2) for y in heads.split([self.heads, self.kv_heads, self.kv_heads], 2))
        else:
            qk, v = (y.transpose(1, 2) for y in heads.split([self.heads + self.kv_heads, self.kv_heads], 2))
            turned = self.rotary(qk, cache.length if cache else 0)
            q, k = turned.split([self.heads, self.kv_heads], 1)  # [M·batch, heads, T, h]
        if cache is not None:
            k, v = (
                cache.extend(self, name, new.unflatten(0, (members, batch)), self.window).flatten(0, 1)
                for name, new in (("keys", k), ("values", v))
            )
        if self.kv_heads < self.heads:
            k, v = (y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v))
        added = None if self.relative is None else self.relative(context, k.shape[2])
        return q, k, v, added
