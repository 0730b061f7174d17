"""Softmax attention as it is quickest: whole score matrices for short windows, torch's fused kernel for long ones."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

_MAX_WHOLE_SCORES = 64  # tokens; up to here whole score matrices are quicker on a CPU than the fused kernel's blocks
_BLOCK_TOKENS = 16  # the fused kernel's products on a CPU are quicker in multiples of it
_MIN_VECTORISED = 16  # numbers; torch's softmax on a CPU is vectorised only from here on


class _ShortSoftmax(torch.autograd.Function):
    """Softmax over a very short last dimension: torch's own isn't vectorised there."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        weights = (scores - scores.amax(-1, keepdim=True)).exp_()
        weights /= weights.sum(-1, keepdim=True)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        flow = gradients[0] * weights
        return torch.addcmul(flow, weights, flow.sum(-1, keepdim=True), value=-1)


def short_softmax(scores: Tensor) -> Tensor:
    """Softmax over the last dimension, quick even where it is very short."""
    if scores.shape[-1] >= _MIN_VECTORISED:
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
    if q.device.type != "cpu" or keys > _MAX_WHOLE_SCORES:
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
    if q.device.type == "cpu" and tokens % _BLOCK_TOKENS == _BLOCK_TOKENS - 1:
        # A window of a round size gives one token less to predict from: one more that nobody sees fills the block.
        q, k, v = (pad(x, (0, 0, 0, 1)) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v, is_causal=True)[:, :, :tokens]
