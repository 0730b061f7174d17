"""A shard: consecutive instances of a stream, in safetensors.

    <first>-<stop>.safetensors          tokens   uint16 [total], or int32 where the vocabulary is larger than 65,536
                                        offsets  int64 [n + 1]; instance i is tokens[offsets[i]:offsets[i + 1]]
                                        loss     bool [total]; the token is trained on
    <first>-<stop>.labels.safetensors   one int32 [total] for each label; only where they were asked for
    <first>-<stop>.json                 what the shard holds and its checksums; written last

first and stop are positions in the stream, so a shard is known by its name, whichever data set it was made for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from physlm.errors import CorruptObject
from physlm.store import layout
from physlm.store.store import Store
from physlm.tasks.task import Instances, Task


@dataclass(frozen=True)
class File:
    """A stored file: its key below the shards' prefix, its SHA-256 and its size."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Shard:
    """What is known of a shard without reading it.

    tokens   of its instances           trained  those of them that are trained on
    data     its tokens' file           labels   its labels' file, where they are stored
    """

    first: int
    stop: int
    tokens: int
    trained: int
    data: File
    labels: File | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Shard:
        """The shard that `dataclasses.asdict` made this of."""
        labels = value["labels"]
        return cls(**{**value, "data": File(**value["data"]), "labels": None if labels is None else File(**labels)})


def marker(first: int, stop: int) -> str:
    """Name of the file that says that the shard is complete."""
    return layout.shard_file(first, stop, "json")


def cut(instances: Instances, room: int) -> int:
    """How many instances there are before `room` tokens are reached, the one that reaches it included."""
    return min(len(instances), int(np.searchsorted(instances.offsets, room)))


def put(
    store: Store, prefix: str, task: Task[Any], instances: Instances, first: int, count: int, labels: bool
) -> Shard:
    """Store the first `count` of the instances, whose place in the stream is `first`, as one shard."""
    total = int(instances.offsets[count])
    small = len(task.vocabulary) <= 1 << 16
    arrays: dict[str, NDArray[Any]] = {
        "tokens": instances.tokens[:total].astype(np.uint16 if small else np.int32),
        "offsets": instances.offsets[: count + 1],
        "loss": instances.loss[:total],
    }
    stop = first + count
    data = _put(store, prefix, layout.shard_file(first, stop, "safetensors"), arrays)
    labelled = None
    if labels and instances.labels:
        rows = {label: row[:total] for label, row in instances.labels.items()}
        labelled = _put(store, prefix, layout.shard_file(first, stop, "labels.safetensors"), rows)
    return Shard(first, stop, total, int(instances.loss[:total].sum()), data, labelled)


def _put(store: Store, prefix: str, name: str, arrays: Mapping[str, NDArray[Any]]) -> File:
    data = save_arrays({key: np.ascontiguousarray(array) for key, array in arrays.items()})
    store.put(prefix + name, data)
    return File(name, hashlib.sha256(data).hexdigest(), len(data))


def get(store: Store, prefix: str, shard: Shard, labels: bool) -> Instances:
    """The shard's instances. Raises CorruptObject if a file isn't the one that was written, or MissingObject."""
    arrays = _get(store, prefix + shard.data.name, shard.data)
    rows = _get(store, prefix + shard.labels.name, shard.labels) if labels and shard.labels else {}
    return Instances(arrays["tokens"].astype(np.int32), arrays["offsets"], arrays["loss"], rows)


def _get(store: Store, key: str, file: File) -> dict[str, NDArray[Any]]:
    data = store.get(key)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise CorruptObject(f"{key} in {store.url} is not the file that the data set's card lists")
    try:
        return load_arrays(data)
    except SafetensorError as error:
        raise CorruptObject(f"{key} in {store.url} is not safetensors: {error}") from None
