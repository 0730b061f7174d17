"""The processes that torchrun has started for one shard, and what they say to each other.

Each knows its rank and how many there are. A process that torchrun has not started is alone: nothing is sent then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

_TIMEOUT = timedelta(hours=24)  # a rank waits this long for one that works longer; one that dies ends all at once


FOLDER_VARIABLE = "PHYSLM_RANKS_FOLDER"
"""Environment variable with the private folder in which ranks of one machine meet; over pods they meet by TCP."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its shard. `kv_store` holds small messages, by key; None for a process alone."""

    rank: int = 0
    size: int = 1
    kv_store: Store | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes what belongs to all."""
        return self.rank == 0

    def sum(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over the ranks."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def any_true(self, *flags: bool) -> tuple[bool, ...]:
        """Of each flag, whether it is true on any rank: the same answer everywhere."""
        if self.size == 1:
            return flags
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        found = torch.tensor(flags, dtype=torch.int32, device=device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return tuple(bool(x) for x in found.tolist())

    def broadcast(self, key: str, value: Any) -> Any:
        """The first rank's value on every rank; a JSON value, under a key that is used once."""
        if self.kv_store is None:
            return value
        if self.is_first:
            self.kv_store.set(key, json.dumps(value))
        return json.loads(self.kv_store.get(key))

    def barrier(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            dist.barrier()


ALONE = Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The ranks of this shard while the context lasts: NCCL between GPUs, Gloo between CPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    shared, rank, size = _meet()
    # torchrun's store outlives a restart: what ranks that are gone have left there would be taken for the new ones'.
    kv_store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", shared)
    backend = "nccl" if device.type == "cuda" else "gloo"
    group = PrefixStore("group", kv_store)
    dist.init_process_group(backend, store=group, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield Ranks(rank, size, PrefixStore("board", kv_store))
    finally:
        dist.destroy_process_group()


def _meet() -> tuple[Store, int, int]:
    """The store that the ranks share, this one's number, and how many there are."""
    if (folder := os.environ.get(FOLDER_VARIABLE)) is None:
        shared, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
        return shared, rank, size
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = FileStore(f"{folder}/ranks-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", size)
    store.set_timeout(_TIMEOUT)
    return store, rank, size


class Counters:
    """Counts of all ranks together: each adds its own, and the first takes what has come."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._totals: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        self._shown: dict[str, str] = {}

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the counts by name."""
        for name, count in counts.items():
            self._total(name, count)

    def take(self, name: str) -> int:
        """What all ranks have added to a count since this was last asked."""
        total = self._total(name, 0)
        fresh = total - self._taken.get(name, 0)
        self._taken[name] = total
        return fresh

    def set(self, name: str, value: float | None) -> None:
        """Show this rank's present value, in place of its earlier one; None for none."""
        key = f"{name}/{self._ranks.rank}"
        self._total(f"{key}/set", 1)
        self._shown[key] = json.dumps(value)
        if self._ranks.kv_store is not None:
            self._ranks.kv_store.set(key, self._shown[key])

    def values(self, name: str) -> list[float]:
        """The present values of the ranks that have one."""
        found = []
        for rank in range(self._ranks.size):
            key = f"{name}/{rank}"
            if self._total(f"{key}/set", 0):
                kv_store = self._ranks.kv_store
                found.append(json.loads(self._shown[key] if kv_store is None else kv_store.get(key)))
        return [value for value in found if value is not None]

    def _total(self, name: str, count: int) -> int:
        if self._ranks.kv_store is not None:
            return int(self._ranks.kv_store.add(f"counters/{name}", count))
        self._totals[name] = self._totals.get(name, 0) + count
        return self._totals[name]
