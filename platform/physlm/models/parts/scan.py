"""Pieces of linear mixers: chunks of tokens, the scan over their states, the short convolution, the norm of heads.

A recurrence runs over rows (members and their batch folded together) and heads, q, k [R, T, H, K], v [R, T, H, V],
with a state [R, H, K, V]. Within a chunk all is matrix products; between chunks only the state goes on. Where
flash-linear-attention is installed, its kernels run on a GPU in half precision.
"""

from __future__ import annotations

from functools import cache as once
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from physlm.models.parts.cache import Cache
from physlm.models.parts.canon import canon_of
from physlm.models.parts.convolution import Convolution
from physlm.models.parts.norm import root_mean_square

if TYPE_CHECKING:
    from physlm.models.mixers.recurrence import RecurrenceConfig


@once
def _installed() -> bool:
    return find_spec("fla") is not None


def fused(like: Tensor, module: str, name: str) -> Any | None:
    """A kernel of flash-linear-attention, where there is a GPU, half precision and the package, else None.

    Its kernels multiply in half precision, and that of the gated delta rule takes no other.
    """
    if not like.is_cuda or like.dtype == torch.float32 or not _installed():
        return None
    return getattr(import_module(f"fla.ops.{module}"), name)


def chunks(x: Tensor, size: int) -> Tensor:
    """[R, T, H, ...] -> [R, H, chunks, size, ...], filled with zeros at the end."""
    missing = -x.shape[1] % size
    if missing:
        x = pad(x, [0, 0] * (x.ndim - 2) + [0, missing])
    return x.reshape(x.shape[0], -1, size, *x.shape[2:]).movedim(3, 1)


def unchunk(y: Tensor, context: int) -> Tensor:
    """[R, H, chunks, size, V] -> [R, T, H, V] without the filling."""
    return y.movedim(1, 3).flatten(1, 2)[:, :context]


def scan(decay: Tensor, update: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """S_{c+1} = decay_c · S_c + update_c.

    decay [R, H, chunks, K or 1, 1], update [R, H, chunks, K, V], state [R, H, K, V]: S_0.
    Returns S_0, S_1, ... before each chunk [R, H, chunks, K, V], and the last [R, H, K, V].
    """
    before = []
    for factor, change in zip(decay.unbind(2), update.unbind(2), strict=True):
        before.append(state)
        state = torch.addcmul(change, factor, state)
    return torch.stack(before, 2), state


def decay_within(total: Tensor) -> Tensor:
    """exp of the log decay from token j to token i ≥ j, 0 elsewhere; total [..., C] from the start -> [..., C, C]."""
    size = total.shape[-1]
    ahead = torch.ones(size, size, dtype=torch.bool, device=total.device).triu_(1)
    between = total.unsqueeze(-1) - total.unsqueeze(-2)
    return between.masked_fill(ahead, float("-inf")).exp()  # before exp, which would overflow ahead


class Inputs(nn.Module):
    """Prepares what a recurrence is fed: Canon B if wanted, then the short convolution with SiLU if wanted."""

    def __init__(self, config: RecurrenceConfig, members: int, channels: int) -> None:
        super().__init__()
        self.canon = canon_of(config, "B", members, channels)
        self.short = Convolution(members, channels) if config.short_conv else None

    def forward(self, x: Tensor, batch: int, cache: Cache | None, *, always_silu: bool) -> Tensor:
        """x [M, n, C] -> the same shape; `always_silu`: also where there is no short convolution."""
        if self.canon is not None:
            x = self.canon(x, batch, cache)
        if self.short is not None:
            x = self.short(x, batch, cache)
        return silu(x) if always_silu or self.short is not None else x


class State:
    """The state of one mixer before and after a call, all zero at the start of a sequence."""

    def __init__(self, part: nn.Module, cache: Cache | None, members: int, batch: int) -> None:
        self._kept = None if cache is None else cache.of(part)
        self._sizes = members, batch

    def before(self, heads: int, keys: int, values: int, like: Tensor) -> Tensor:
        """[M·batch, H, K, V]."""
        members, batch = self._sizes
        if self._kept:
            return self._kept["state"].flatten(0, 1)
        return like.new_zeros(members * batch, heads, keys, values)

    def after(self, state: Tensor) -> None:
        """Keep it for the tokens to come."""
        if self._kept is not None:
            self._kept["state"] = state.view(*self._sizes, *state.shape[1:])


class HeadNorm(nn.Module):
    """RMS norm over the values of each head; gain [M, V], shared by the heads."""

    def __init__(self, members: int, values: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(members, values))

    def forward(self, y: Tensor) -> Tensor:
        """y [M·batch, T, H, V] -> the same shape."""
        members, values = self.gain.shape
        normal = root_mean_square(y).reshape(members, -1, values)
        return (normal * self.gain.unsqueeze(1)).view(y.shape)
