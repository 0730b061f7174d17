"""What a decoder remembers of the tokens it has seen, so that each new token costs the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Cache:
    """States of all parts for B sequences of each member; begins empty, and `Decoder.step` fills it.

    length   tokens seen
    A part keeps tensors [M, B, ...]: keys and values of all tokens, a recurrence's state, a convolution's last tokens.
    """

    def __init__(self) -> None:
        self.length = 0
        self._states: dict[nn.Module, dict[str, Tensor]] = {}
        self._growing: set[str] = set()  # names of what is kept of every token

    def of(self, part: nn.Module) -> dict[str, Tensor]:
        """The part's own state, to be read and replaced by the part."""
        return self._states.setdefault(part, {})

    def extend(self, part: nn.Module, name: str, new: Tensor, window: int | None = None) -> Tensor:
        """Append `new` [M, B, H, t, h] to what the part keeps under a name; all of it [M, B, H, length + t, h].

        Memory grows by doubling, so appending costs no copy of the past most of the time. Where a token sees only the
        latest of a window, itself among them, those that no token to come will see are forgotten: what comes back then
        are the last up to window - 1 + t.
        """
        state = self.of(part)
        if window is not None:
            whole = torch.cat([state[name], new], 3) if name in state else new
            state[name] = whole[:, :, :, max(0, whole.shape[3] - window + 1) :]
            return whole
        self._growing.add(name)
        stop = self.length + new.shape[3]
        room = state.get(name)
        if room is None or room.shape[3] < stop:
            members, batch, heads, _, size = new.shape
            larger = new.new_empty(members, batch, heads, max(32, 2 * stop), size)
            if room is not None:
                larger[:, :, :, : self.length] = room[:, :, :, : self.length]
            state[name] = room = larger
        room[:, :, :, self.length : stop] = new
        return room[:, :, :, :stop]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the B sequences only, in this order; int64 [M, B'], or [B'] for all members."""
        for state in self._states.values():
            for name, tensor in state.items():
                member = torch.arange(tensor.shape[0], device=rows.device).unsqueeze(1)
                state[name] = tensor[member, rows]

    @property
    def numbers(self) -> int:
        """Numbers in use of all sequences together."""
        total = 0
        for state in self._states.values():
            for name, tensor in state.items():
                grows = name in self._growing
                total += tensor.numel() * self.length // tensor.shape[3] if grows else tensor.numel()
        return total
