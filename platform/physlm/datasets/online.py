"""A language as an online stream: fresh batches from any number of processes, always the same ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import replace
from itertools import count

import numpy as np

from physlm import runs
from physlm.datasets.processes import processes
from physlm.errors import UserError
from physlm.tasks.task import Instances, Stream, TaskConfig

_AHEAD = 2  # batches waiting for each process


def online(
    config: TaskConfig,
    stream: Stream,
    size: int,
    *,
    first: int = 0,
    stop: int | None = None,
    labels: bool = False,
    workers: int = 1,
) -> Generator[Instances, None, None]:
    """Batches of `size` consecutive instances from position `first` to `stop`, endless without; no truths.

    workers: processes that sample, a few batches ahead; they change nothing. They end with the generator: close it if
    it isn't used up. Raises UserError for impossible numbers.
    """
    if size < 1 or first < 0 or workers < 1:
        raise UserError(f"a stream needs size and workers from 1 and first from 0, got {size}, {workers} and {first}")
    return _batches(config, stream, size, first, stop, labels, workers)


def _batches(
    config: TaskConfig, stream: Stream, size: int, first: int, stop: int | None, labels: bool, workers: int
) -> Generator[Instances, None, None]:
    starts = count(first, size) if stop is None else iter(range(first, stop, size))
    with processes(workers) as pool:
        waiting: deque[Future[Instances]] = deque()
        for start in starts:
            end = start + size if stop is None else min(start + size, stop)
            if pool is None:
                yield _sample(config, stream, start, end, labels)
                continue
            waiting.append(pool.submit(_sample, config, stream, start, end, labels))
            if len(waiting) == _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _sample(config: TaskConfig, stream: Stream, first: int, stop: int, labels: bool) -> Instances:
    instances = runs.language(config).sample(stream, np.arange(first, stop, dtype=np.int64))
    return replace(instances, truth=(), labels=dict(instances.labels) if labels else {})
