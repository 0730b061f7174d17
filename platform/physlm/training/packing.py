"""Windows of tokens from a stream of instances: whole instances only, every one once, in the stream's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm.tasks.contract import Instances, Stream, Task

_READ_AHEAD = 1024  # instances sampled at once


@dataclass(frozen=True)
class Windows:
    """A batch of windows.

    tokens   int32 [B, T]; a window holds whole instances, then separators as filling
    loss     bool [B, T]; tokens to be predicted: never the first of a window nor filling
    source   int64 [B, T]; row of `labels` a token came from (its place in the instances' tokens), -1 for filling
    instances  instances in the batch
    """

    tokens: NDArray[np.int32]
    loss: NDArray[np.bool_]
    source: NDArray[np.int64]
    instances: int

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


class Packer:
    """Endless or budgeted batches of windows from one stream; its whole state is `cursor`.

    Windows don't depend on how often the packer was stopped and started at its cursor.
    """

    def __init__(
        self, task: Task[Any], stream: Stream, context: int, *, cursor: int = 0, stop: int | None = None
    ) -> None:
        self._task, self._stream, self._context = task, stream, context
        self.cursor = cursor  # instances packed so far
        self._stop = stop
        self._buffer = Instances(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.bool_))

    def next(self, rows: int) -> Windows:
        """The next batch of `rows` windows; rows are left empty (all filling) where the stream stops."""
        # Enough instances are buffered once they fill `rows` windows even if each leaves a longest instance's gap.
        room = rows * self._context
        while len(self._buffer.tokens) < room + self._context and self._ahead != self._stop:
            self._read()
        windows, used = pack(self._buffer, self._context, self._task.separator, rows)
        self._buffer = _drop(self._buffer, used)
        self.cursor += used
        if len(windows.tokens) < rows:
            windows = _fill(windows, rows, self._task.separator)
        return windows

    @property
    def _ahead(self) -> int:
        return self.cursor + len(self._buffer)

    def _read(self) -> None:
        stop = self._ahead + _READ_AHEAD if self._stop is None else min(self._ahead + _READ_AHEAD, self._stop)
        fresh = self._task.sample(self._stream, np.arange(self._ahead, stop, dtype=np.int64))
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
