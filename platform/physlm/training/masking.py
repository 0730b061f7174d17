"""Hidden tokens, which an encoder is trained to tell (masked language modelling: Devlin et al. 2019, section 3.1).

Of the tokens that a decoder would be trained on, a share is drawn for each window. Eight of ten are hidden, one is
replaced by any token, one stays as it is; the loss is that of the drawn ones alone. The draws are numbered by window
and position, so they depend on the run alone, and each exposure hides others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.training.packing import Feed, Windows

_HIDDEN, _REPLACED = 0.8, 0.9  # cumulated shares of the drawn tokens; the others stay


def mask(windows: Windows, share: float, key: int, first: int, vocabulary: int) -> Windows:
    """The windows, numbered from `first` on, with tokens hidden: token `vocabulary` stands for a hidden one."""
    rows, context = windows.tokens.shape
    numbers = first + np.arange(rows, dtype=np.int64)
    lots = randomness.words(key, numbers, 3 * context).reshape(rows, context, 3)
    drawn = windows.loss & (lots[..., 0] < share * 2.0**32)
    fate = lots[..., 1] * 2.0**-32
    seen = windows.tokens.copy()
    seen[drawn & (fate < _HIDDEN)] = vocabulary
    replaced = drawn & (fate >= _HIDDEN) & (fate < _REPLACED)
    seen[replaced] = _any_token(lots[..., 2], vocabulary)[replaced]
    return replace(windows, loss=drawn, seen=seen)


def _any_token(lots: NDArray[np.uint32], vocabulary: int) -> NDArray[np.int32]:
    return (lots.astype(np.uint64) * np.uint64(vocabulary) >> np.uint64(32)).astype(np.int32)


class Masked:
    """The batches of a feed with tokens hidden; `windows` of them have been taken before."""

    def __init__(self, feed: Feed, share: float, key: int, windows: int, vocabulary: int) -> None:
        self._feed, self._share, self._key, self._taken, self._vocabulary = feed, share, key, windows, vocabulary

    def next(self, rows: int) -> Windows:
        """The next batch of so many windows."""
        windows = mask(self._feed.next(rows), self._share, self._key, self._taken, self._vocabulary)
        self._taken += rows
        return windows
