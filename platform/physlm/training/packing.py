"""Windows of tokens from a stream of instances: whole instances only, every one once, in the stream's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from physlm.tasks.task import Instances, Stream, Task

_READ_AHEAD = 1024  # instances sampled at once
NOTHING = Instances(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.bool_))
"""No instances."""


@dataclass(frozen=True)
class Windows:
    """A batch of windows.

    tokens   int32 [B, T]; a window holds whole instances, then separators as filling
    loss     bool [B, T]; tokens to be predicted: never the first of a window nor filling
    source   int64 [B, T]; row of `labels` a token came from (its place in the instances' tokens), -1 for filling
    instances  instances in the batch, of the run's own task
    mixed    instances of the streams mixed in, by name
    seen     int32 [B, T]; what an encoder sees in place of the tokens, some of them hidden; None for a decoder
    """

    tokens: NDArray[np.int32]
    loss: NDArray[np.bool_]
    source: NDArray[np.int64]
    instances: int
    mixed: Mapping[str, int] = field(default_factory=dict)
    seen: NDArray[np.int32] | None = None

    @property
    def predicted(self) -> int:
        """Tokens to be predicted."""
        return int(self.loss.sum())

    @property
    def shown(self) -> int:
        """Tokens of the instances, without filling."""
        return int((self.source >= 0).sum())


def pack(instances: Instances, context: int, separator: int, rows: int | None = None) -> tuple[Windows, int]:
    """Pack instances in their order into at most `rows` windows (as many as needed if None).

    Greedy: a window is closed when the next instance doesn't fit. Returns the windows and the number of instances
    packed. Raises ValueError for an instance longer than the context.
    """
    offsets = instances.offsets
    n = len(instances)
    starts = [0]
    while starts[-1] < n and (rows is None or len(starts) <= rows):
        first = starts[-1]
        stop = int(np.searchsorted(offsets, offsets[first] + context, side="right")) - 1
        if stop == first:
            raise ValueError(f"an instance of {instances.lengths[first]} tokens doesn't fit a window of {context}")
        starts.append(min(stop, n))
    edges = offsets[np.array(starts)]
    source = edges[:-1, None] + np.arange(context)
    filled = source < edges[1:, None]
    source = np.where(filled, source, -1)
    tokens = np.where(filled, instances.tokens[source], np.int32(separator))
    loss = filled & instances.loss[source]
    loss[:, 0] = False
    return Windows(tokens, loss, source, starts[-1]), starts[-1]


class Source(Protocol):
    """Instances one after the other."""

    def read(self, count: int) -> Instances:
        """The next so many instances, without labels; fewer at the end, and none after it."""


class StreamSource:
    """The instances of one stream from `cursor` on, up to `stop`."""

    def __init__(self, task: Task[Any], stream: Stream, cursor: int = 0, stop: int | None = None) -> None:
        self._task, self._stream, self._at, self._stop = task, stream, cursor, stop

    def read(self, count: int) -> Instances:
        stop = self._at + count if self._stop is None else min(self._at + count, max(self._stop, self._at))
        if stop == self._at:
            return NOTHING
        indices = np.arange(self._at, stop, dtype=np.int64)
        self._at = stop
        return self._task.sample(self._stream, indices)


class Feed(Protocol):
    """Batches of windows, one after the other."""

    def next(self, rows: int) -> Windows:
        """The next batch of so many windows."""


class Packer:
    """Batches of windows from a source; endless if that is.

    Windows don't depend on how often a packer was stopped, and another one started where it stood in the stream.
    """

    def __init__(self, source: Source, context: int, separator: int) -> None:
        self._source, self._context, self._separator = source, context, separator
        self._buffer, self._ended = NOTHING, False

    def next(self, rows: int) -> Windows:
        """The next batch of `rows` windows; rows are left empty (all filling) where the source ends."""
        # Enough instances are buffered once they fill `rows` windows even if each leaves a longest instance's gap.
        room = rows * self._context
        while len(self._buffer.tokens) < room + self._context and not self._ended:
            self._read()
        windows, used = pack(self._buffer, self._context, self._separator, rows)
        self._buffer = _drop(self._buffer, used)
        if len(windows.tokens) < rows:
            windows = _fill(windows, rows, self._separator)
        return windows

    def _read(self) -> None:
        fresh = self._source.read(_READ_AHEAD)
        self._ended = len(fresh) < _READ_AHEAD
        old = self._buffer
        self._buffer = Instances(
            tokens=np.concatenate([old.tokens, fresh.tokens]),
            offsets=np.concatenate([old.offsets, fresh.offsets[1:] + old.offsets[-1]]),
            loss=np.concatenate([old.loss, fresh.loss]),
        )


def _drop(instances: Instances, count: int) -> Instances:
    """Without the first `count` instances (and without labels, which training doesn't need)."""
    first = instances.offsets[count]
    return Instances(
        tokens=instances.tokens[first:], offsets=instances.offsets[count:] - first, loss=instances.loss[first:]
    )


def _fill(windows: Windows, rows: int, separator: int) -> Windows:
    missing = rows - len(windows.tokens)
    context = windows.tokens.shape[1]
    return Windows(
        tokens=np.concatenate([windows.tokens, np.full((missing, context), separator, np.int32)]),
        loss=np.concatenate([windows.loss, np.zeros((missing, context), np.bool_)]),
        source=np.concatenate([windows.source, np.full((missing, context), -1, np.int64)]),
        instances=windows.instances,
    )
