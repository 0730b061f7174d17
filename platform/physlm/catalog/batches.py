"""Observations of many runs in one object: what is observed of a cohort together is stored by one put, not run by run.

    observations/<source>/<digest>.parquet    rows of all these runs, as in `observations`; digest: of the file
    observations/<source>/<digest>.json       which runs they are, those without rows too; written last, makes it count

A batch is named by its content and never changes. Where two hold one run, as when two submissions measure it at the
same time, the first by its key counts; a batch counts before a run's own file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import polars as pl

from physlm.catalog.observations import encoded
from physlm.store import layout
from physlm.store.store import Store

_READERS = 16  # a remote store answers slowly
_AHEAD = 256  # objects that are asked for at once
T = TypeVar("T")
U = TypeVar("U")


def write_batch(store: Store, source: str, tables: Mapping[str, pl.DataFrame]) -> None:
    """Store the observations of some runs from one source, by run id; a run with an empty table is observed too."""
    if not tables:
        return
    data = encoded(pl.concat(tables.values(), how="diagonal_relaxed"))
    digest = hashlib.sha256(data).hexdigest()[:32]
    store.put(layout.batch_key(source, digest), data)
    runs = sorted(tables)
    # Of runs without rows the tables are alike, so what makes it count is named by the runs as well.
    runs_digest = hashlib.sha256(",".join(runs).encode()).hexdigest()[:8]
    store.put_json(layout.batch_index_key(source, digest, runs_digest), {"runs": runs})


def batches(store: Store, source: str) -> dict[str, str]:
    """By run id, the key of the batch that holds the run's observations from this source."""
    indexes = (found for found in store.list(layout.batches_prefix(source)) if layout.batch_of_index(found))
    placed: dict[str, str] = {}
    for index, document in concurrently(lambda index: (index, store.get_json(index)), indexes):
        at = str(layout.batch_of_index(index))
        for run_id in document["runs"]:
            placed.setdefault(run_id, at)
    return placed


def observed(store: Store, runs: Iterable[str], source: str) -> set[str]:
    """Which of these runs the store holds observations of, from this source."""
    placed = batches(store, source)

    def look(run_id: str) -> tuple[str, bool]:
        return run_id, run_id in placed or store.exists(layout.run_observations_key(run_id, source))

    return {run_id for run_id, found in concurrently(look, runs) if found}


def concurrently(call: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Results in the order of the items, of which only some are under way at a time."""
    left = iter(items)
    with ThreadPoolExecutor(_READERS) as pool:
        while some := list(islice(left, _AHEAD)):
            yield from pool.map(call, some)
