"""Write a data set: so much of a stream as token shards, by any number of processes, to the same bytes.

Shards are cut by position in the stream, so who writes which one and when doesn't matter. A set of n instances is known
shard by shard from the start. One of n tokens ends with the instance that reaches them: shards that surely lie before
that are written by all processes at once, the last few one after the other, the last one cut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from physlm import runs
from physlm.datasets import cards, shards
from physlm.datasets.processes import processes
from physlm.datasets.reading import DataSet, open_dataset
from physlm.datasets.shards import Shard
from physlm.datasets.worlds import write_world
from physlm.errors import Interrupted, UserError
from physlm.store import layout, open_store
from physlm.store.store import Store
from physlm.tasks.task import Stream, Task, TaskConfig

SHARD_TOKENS = 1 << 20  # about so many in a shard
_PILOT = 256  # instances whose mean length says how many make a shard

Listener = Callable[[int, int], None]  # done and total, in instances or tokens as the set is measured


@dataclass(frozen=True)
class _Job:
    """A shard to be written. room: tokens after which it is cut, where the set ends by tokens."""

    config: TaskConfig
    store: str
    stream: Stream
    first: int
    count: int
    room: int | None
    labels: bool


@lru_cache(maxsize=1)
def _opened(url: str) -> Store:
    return open_store(url)


def _write_shard(job: _Job) -> Shard:
    task = runs.language(job.config)
    store = _opened(job.store)
    prefix = layout.shards_prefix(runs.world_id(job.config), job.stream.split, job.stream.seed)
    instances = task.sample(job.stream, np.arange(job.first, job.first + job.count, dtype=np.int64))
    count = job.count if job.room is None else shards.cut(instances, job.room)
    shard = shards.put(store, prefix, task, instances, job.first, count, job.labels)
    store.put_json(prefix + shards.marker(shard.first, shard.stop), dataclasses.asdict(shard))
    return shard


def write_dataset(
    store: Store,
    config: TaskConfig,
    stream: Stream,
    *,
    instances: int | None = None,
    tokens: int | None = None,
    labels: bool = False,
    workers: int = 1,
    on_progress: Listener = lambda done, total: None,
    shard_tokens: int = SHARD_TOKENS,
) -> DataSet:
    """Write the stream's first `instances`, or as many as reach `tokens`, with the world; what is stored is kept.

    labels: store the per-token ground truth, too. workers: processes; they change no byte. Raises UserError if not
    exactly one of the amounts is given, Interrupted on Ctrl-C with all whole shards kept, StoreError.
    """
    if (instances is None) == (tokens is None):
        raise UserError("a data set is measured either in instances or in tokens: give one of them")
    unit, amount = ("instances", instances) if instances is not None else ("tokens", tokens)
    if amount is None or amount < 1 or workers < 1:
        raise UserError(f"a data set needs at least 1 of {unit} and of workers, got {amount} and {workers}")
    task = runs.language(config)
    world_id = runs.world_id(config)
    write_world(store, config)
    pilot = task.sample(stream, np.arange(_PILOT, dtype=np.int64))
    labels = labels and bool(pilot.labels)
    folder = layout.dataset_folder(world_id, stream.split, stream.seed, f"{unit}-{amount}")
    if store.exists(layout.card_key(folder)):
        found = open_dataset(store, folder)
        if found.labelled or not labels:
            on_progress(amount, amount)
            return found
    per_shard = max(1, int(shard_tokens / pilot.lengths.mean()))
    writer = _Writer(store, task, stream, per_shard, labels, workers)
    try:
        done = (
            writer.by_instances(amount, on_progress) if unit == "instances" else writer.by_tokens(amount, on_progress)
        )
    except KeyboardInterrupt:
        raise Interrupted("stopped; every whole shard is stored") from None
    card = {
        **cards.language(task),
        "stream": {"split": stream.split, "seed": stream.seed},
        "instances": done[-1].stop,
        "tokens": sum(shard.tokens for shard in done),
        "trained": sum(shard.trained for shard in done),
        "labels": labels,
        "shards": [dataclasses.asdict(shard) for shard in done],
        "reproduce": cards.command(
            task, cards.stream_options(stream), f"--{unit} {amount}", *(["--labels"] if labels else [])
        ),
    }
    cards.put(store, folder, card)
    return open_dataset(store, folder)


class _Writer:
    """The shards of one stream: those that are stored, and processes to write the others."""

    def __init__(
        self, store: Store, task: Task[Any], stream: Stream, per_shard: int, labels: bool, workers: int
    ) -> None:
        self.store, self.task, self.stream = store, task, stream
        self.per_shard, self.labels, self.workers = per_shard, labels, workers
        self.prefix = layout.shards_prefix(runs.world_id(task.config), stream.split, stream.seed)
        self.stored = set(store.list(self.prefix))

    def by_instances(self, amount: int, on_progress: Listener) -> list[Shard]:
        """The shards of the first `amount` instances."""
        done: list[Shard] = []
        starts = iter(range(0, amount, self.per_shard))

        def following(outstanding: int) -> int | None:
            return next(starts, None)

        with processes(self.workers) as pool:
            for shard in self._written(pool, following, lambda first: min(self.per_shard, amount - first)):
                done.append(shard)
                on_progress(sum(s.stop - s.first for s in done), amount)
        return sorted(done, key=lambda shard: shard.first)

    def by_tokens(self, amount: int, on_progress: Listener) -> list[Shard]:
        """The shards up to the instance that reaches `amount` tokens."""
        done: list[Shard] = []
        most = self.per_shard * self.task.max_length
        first = 0

        def count() -> int:
            return sum(shard.tokens for shard in done)

        def following(outstanding: int) -> int | None:
            """The next shard, if it surely lies wholly within the set whatever the outstanding ones hold."""
            nonlocal first
            if count() + (outstanding + 1) * most > amount:
                return None
            first += self.per_shard
            return first - self.per_shard

        with processes(self.workers) as pool:
            for shard in self._written(pool, following, lambda first: self.per_shard):
                done.append(shard)
                on_progress(min(count(), amount), amount)
            while (room := amount - count()) > 0:
                done.append(_write_shard(self._job(first, self.per_shard, room)))
                first = done[-1].stop
                on_progress(min(count(), amount), amount)
        return sorted(done, key=lambda shard: shard.first)

    def _job(self, first: int, count: int, room: int | None = None) -> _Job:
        return _Job(self.task.config, self.store.url, self.stream, first, count, room, self.labels)

    def _written(
        self, pool: ProcessPoolExecutor | None, following: Callable[[int], int | None], size: Callable[[int], int]
    ) -> Iterator[Shard]:
        """Shards as they are done. following: start of the next one, given how many are outstanding, if any."""
        pending: set[Future[Shard]] = set()
        while True:
            while len(pending) < 2 * self.workers:
                first = following(len(pending))
                if first is None:
                    break
                if stored := self._stored(first, first + size(first)):
                    yield stored
                elif pool is None:
                    yield _write_shard(self._job(first, size(first)))
                else:
                    pending.add(pool.submit(_write_shard, self._job(first, size(first))))
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()

    def _stored(self, first: int, stop: int) -> Shard | None:
        key = self.prefix + shards.marker(first, stop)
        if key not in self.stored:
            return None
        shard = Shard.from_json(self.store.get_json(key))
        return shard if shard.labels or not self.labels else None
