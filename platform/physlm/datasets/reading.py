"""Read a data set back: in its order, in batches of any size, checked, with one shard in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from physlm import tasks
from physlm.datasets import shards
from physlm.datasets.shards import Shard
from physlm.errors import StoreError, UserError
from physlm.store import layout
from physlm.store.store import Store
from physlm.tasks.task import Instances, Task


@dataclass(frozen=True)
class DataSet:
    """A stored data set; `card` says what it is, `key` is where its cards are."""

    store: Store
    key: str
    card: Mapping[str, Any]

    @property
    def instances(self) -> int:
        """How many instances it has."""
        return int(self.card["instances"])

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return int(self.card["tokens"])

    @property
    def labelled(self) -> bool:
        """Whether per-token ground truth is stored with it."""
        return bool(self.card["labels"])

    @cached_property
    def task(self) -> Task[Any]:
        """The language that it is in."""
        knobs = self.card["task"]
        return tasks.build(tasks.registry[knobs["type"]].config_type.model_validate(knobs))

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """Its shards in their order."""
        return tuple(Shard.from_json(shard) for shard in self.card["shards"])

    def batches(self, size: int, *, first: int = 0, labels: bool = False) -> Iterator[Instances]:
        """Batches of `size` consecutive instances from position `first` on, the last one perhaps smaller; no truths.

        Raises CorruptObject or MissingObject, naming the file; UserError for labels that aren't stored.
        """
        if size < 1 or first < 0:
            raise UserError(f"a batch has at least 1 instance and begins at 0 or later, got {size} and {first}")
        if labels and not self.labelled:
            raise UserError(f"{self.key}: this data set was written without labels; write it with them")
        held: Instances | None = None
        for shard in self.shards:
            if shard.stop <= first:
                continue
            fresh = shards.get(self.store, self._shards, shard, labels)
            fresh = part(fresh, max(0, first - shard.first), len(fresh))
            held = fresh if held is None else joined(held, fresh)
            whole = len(held) - len(held) % size
            for begin in range(0, whole, size):
                yield part(held, begin, begin + size)
            held = part(held, whole, len(held))
        if held is not None and len(held):
            yield held

    def texts(self, *, first: int = 0) -> Iterator[str]:
        """The instances from position `first` on as people read them."""
        for batch in self.batches(256, first=first):
            for i in range(len(batch)):
                yield self.task.text(batch[i])

    def check(self) -> None:
        """Read everything. Raises CorruptObject or MissingObject, naming the file, StoreError if the sums are wrong."""
        tokens = sum(len(batch.tokens) for batch in self.batches(4096, labels=self.labelled))
        if tokens != self.tokens:
            raise StoreError(f"{self.key} in {self.store.url} holds {tokens} tokens, not the {self.tokens} of its card")

    @property
    def _shards(self) -> str:
        return layout.shards_of_dataset(self.key)


def open_dataset(store: Store, key: str) -> DataSet:
    """The data set whose cards are under this key. Raises MissingObject if it was never completed."""
    return DataSet(store, key, store.get_json(layout.card_key(key)))


def part(instances: Instances, begin: int, end: int) -> Instances:
    """Instances begin to end of a batch, without truths; views, not copies."""
    a, b = instances.offsets[begin], instances.offsets[end]
    labels = {name: row[a:b] for name, row in instances.labels.items()}
    return Instances(instances.tokens[a:b], instances.offsets[begin : end + 1] - a, instances.loss[a:b], labels)


def joined(left: Instances, right: Instances) -> Instances:
    """Two batches as one, without truths."""
    return Instances(
        np.concatenate([left.tokens, right.tokens]),
        np.concatenate([left.offsets, right.offsets[1:] + left.offsets[-1]]),
        np.concatenate([left.loss, right.loss]),
        {name: np.concatenate([row, right.labels[name]]) for name, row in left.labels.items()},
    )
