"""Softmax attention (Vaswani et al. 2017), with rotary, relative or no positions and shared keys and values.

It sees all tokens before, or a sliding window of the latest ones (Child et al. 2019; Jiang et al. 2023, Mistral).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from physlm.models.parts.cache import Cache
from physlm.models.parts.canon import canon_of
from physlm.models.parts.linear import Linear
from physlm.models.parts.part import Part, initial_std, mixer, residual_std
from physlm.models.parts.relative import RelativeBias
from physlm.models.parts.rotary import Rotary

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig

_SHORT = 64  # tokens; up to here whole score matrices are quicker on a CPU than the fused kernel's blocks
_BLOCK = 16  # tokens; the fused kernel's products on a CPU are quicker in multiples of it
_VECTORISED = 16  # tokens; torch's softmax on a CPU is vectorised only from here on


class _ShortSoftmax(torch.autograd.Function):
    """Softmax over a very short last dimension: torch's own isn't vectorised there."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        share = (scores - scores.amax(-1, keepdim=True)).exp_()
        share /= share.sum(-1, keepdim=True)
        ctx.save_for_backward(share)
        return share

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (share,) = ctx.saved_tensors
        flow = gradients[0] * share
        return torch.addcmul(flow, share, flow.sum(-1, keepdim=True), value=-1)


def short_softmax(scores: Tensor) -> Tensor:
    """Softmax over the last dimension, quick even where it is very short."""
    if scores.shape[-1] >= _VECTORISED:
        return scores.softmax(-1)
    return cast("Tensor", _ShortSoftmax.apply(scores))  # type: ignore[no-untyped-call]


def future(queries: int, keys: int, like: Tensor, window: int | None = None) -> Tensor:
    """-inf where a query would look ahead, or farther back than a window, else 0, [queries, keys].

    The queries are the last of the tokens; a window of 1 is the token itself.
    """
    hidden = like.new_full((queries, keys), float("-inf"))
    ahead = hidden.triu(1 + keys - queries)
    return ahead if window is None or window >= keys else ahead + hidden.tril_(keys - queries - window)


def attend(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor | None = None, *, causal: bool = True, window: int | None = None
) -> Tensor:
    """Attention of the last T of S tokens; q [n, heads, T, h], k, v [n, heads, S, h] -> [n, heads, T, h].

    added: numbers to be added to the scores, [m, heads, T, S], where n is a multiple of m.
    window: the latest tokens that a causal query sees, itself among them; all if not given.
    """
    (queries, head), keys = q.shape[-2:], k.shape[-2]
    if window is not None and window >= keys:
        window = None
    mask = future(queries, keys, q, window) if causal and (queries > 1 or window is not None) else None
    if added is not None:
        whole = added if mask is None else added + mask
        mask = whole.repeat_interleave(len(q) // len(added), 0)
    if q.device.type != "cpu" or keys > _SHORT:
        if added is None and window is None and causal and queries == keys:
            return _fused(q, k, v)
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)
    if mask is None:
        mask = q.new_zeros(queries, keys)
    elif added is not None:
        mask = mask.flatten(0, 1)
    flat_k, flat_v = k.reshape(-1, keys, head), v.reshape(-1, keys, head)
    scores = torch.baddbmm(mask, q.reshape(-1, queries, head), flat_k.transpose(1, 2), alpha=head**-0.5)
    return torch.bmm(short_softmax(scores), flat_v).view(q.shape)


def _fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of whole windows by torch's fused kernel."""
    tokens = q.shape[2]
    if q.device.type == "cpu" and tokens % _BLOCK == _BLOCK - 1:
        # A window of a round size gives one token less to predict from: one more that nobody sees fills the block.
        q, k, v = (pad(x, (0, 0, 0, 1)) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v, is_causal=True)[:, :, :tokens]


@mixer("attention")
class Attention(Part):
    """Multi-head attention; members are folded into the batch, so one kernel serves the whole cohort."""

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__(config, members)
        width, self.heads, self.kv_heads = config.width, config.heads, config.kv_heads
        self.size = width // self.heads
        self.causal, self.window = config.causal, config.window
        inner = (self.heads + 2 * self.kv_heads) * self.size
        self.qkv = Linear(members, width, inner, std=initial_std(width), bias=config.bias)
        self.adapted = {"qkv.weight": (slice(0, width), slice(inner - self.kv_heads * self.size, inner))}
        self.canon = canon_of(config, "B", members, inner)
        self.out = Linear(members, width, width, std=residual_std(config), bias=config.bias)
        self.rotary = Rotary(self.size, config.turned) if config.positions == "rotary" else None
        self.relative = None
        if config.positions == "relative":
            self.relative = RelativeBias(members, self.heads, config.distances, bidirectional=config.bidirectional)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        members, n, width = x.shape
        q, k, v, added = self._parted(x, batch, cache)
        y = attend(q, k, v, added, causal=self.causal, window=self.window)
        mixed: Tensor = self.out(y.transpose(1, 2).reshape(members, n, width))
        return mixed

    def weights(self, x: Tensor, batch: int) -> Tensor:
        """How much each token takes from which, [M, batch, heads, T, T], of inputs x [M, batch·T, d]; rows sum to 1.

        Computed again, for looking inside: fused kernels don't tell.
        """
        q, k, _, added = self._parted(x, batch, None)
        scores = q @ k.transpose(2, 3) * self.size**-0.5
        if added is not None:
            scores = scores + added.repeat_interleave(len(q) // len(added), 0)
        if self.causal:
            scores = scores + future(scores.shape[2], scores.shape[3], scores, self.window)
        return scores.softmax(-1).unflatten(0, (len(x), batch))  # type: ignore[no-any-return]

    def _parted(self, x: Tensor, batch: int, cache: Cache | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
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
