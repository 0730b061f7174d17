"""A run's state in the store: the point to go on from, and the trained model (keys: `physlm.store.layout`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from physlm.errors import CorruptObject, StoreError
from physlm.store import layout
from physlm.store.store import Store

_FORMAT = 1
_ORDER = "decayed first"  # of parameters in a state's rows


@dataclass
class Clock:
    """Where a run stands; everything about it that isn't a tensor.

    instances, tokens   taken from the stream so far (instances of the run's own task, tokens without filling)
    mixed               instances taken from the streams mixed in, by name
    updates             optimiser steps taken
    loss_sum, predicted nats and predicted tokens since the last point of the curve
    curve               points (tokens, instances, mean loss in nats per predicted token, predicted tokens)
    seconds             spent on it, its share of the cohort's time
    """

    instances: int = 0
    tokens: int = 0
    updates: int = 0
    loss_sum: float = 0.0
    predicted: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, int, float, int]] = field(default_factory=list)
    mixed: dict[str, int] = field(default_factory=dict)


@dataclass
class State:
    """A point to go on from: the clock, and the member's rows of the cohort's flat tensors, float32 [P] each."""

    clock: Clock
    values: Tensor
    first: Tensor
    second: Tensor


def _write(store: Store, key: str, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    text = json.dumps({"format": _FORMAT, **metadata})
    store.put(key, save({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, {"physlm": text}))


def _read(store: Store, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    data = store.get(key)
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata: dict[str, Any] = json.loads(header["__metadata__"]["physlm"])
        return load(data), metadata
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptObject(f"{key} is not a checkpoint: {error}") from None


def save_state(store: Store, run_id: str, state: State) -> None:
    """Write a point to go on from, then remove the older ones."""
    key = layout.state_key(run_id, state.clock.tokens)
    tensors = {"values": state.values, "first": state.first, "second": state.second}
    _write(store, key, tensors, {"clock": asdict(state.clock), "order": _ORDER})
    for old in _states(store, run_id):
        if old < key:
            store.delete(old)


def _states(store: Store, run_id: str) -> list[str]:
    return [key for key in store.list(layout.checkpoints_prefix(run_id)) if layout.is_state(key)]


def load_state(store: Store, run_id: str) -> State | None:
    """The latest readable point to go on from; None if there is none."""
    for key in reversed(_states(store, run_id)):
        try:
            tensors, metadata = _read(store, key)
            if metadata.get("order") != _ORDER:
                continue  # of a version that had the parameters in another order
            return State(_clock(metadata["clock"]), tensors["values"], tensors["first"], tensors["second"])
        except (StoreError, KeyError, TypeError):
            continue  # an older one may be sound; without any, the run begins anew
    return None


@dataclass(frozen=True)
class ShardedState:
    """A point to go on from that several ranks have written: the clock, and the keys of the files."""

    store: Store
    clock: Clock
    files: Sequence[str]


def save_clock(store: Store, run_id: str, clock: Clock) -> None:
    """Make the files that the ranks have written a point to go on from, then remove the older ones."""
    key = layout.sharded_clock_key(run_id, clock.tokens)
    prefix = layout.sharded_prefix(run_id, clock.tokens)
    files = [file for file in store.list(prefix) if file != key]
    store.put_json(key, {"format": _FORMAT, "clock": asdict(clock), "files": files})
    for old in _sharded(store, run_id):
        if not old.startswith(prefix):
            store.delete(old)


def load_sharded(store: Store, run_id: str) -> ShardedState | None:
    """The latest point to go on from that several ranks have written; None if there is none."""
    for key in reversed([key for key in _sharded(store, run_id) if layout.is_sharded_clock(key)]):
        try:
            document = store.get_json(key)
            return ShardedState(store, _clock(document["clock"]), document["files"])
        except (StoreError, KeyError, TypeError):
            continue
    return None


def _sharded(store: Store, run_id: str) -> list[str]:
    return [key for key in store.list(layout.checkpoints_prefix(run_id)) if layout.is_sharded(key)]


def _clock(document: Mapping[str, Any]) -> Clock:
    clock = Clock(**document)
    clock.curve = [tuple(point) for point in clock.curve]  # type: ignore[misc]
    return clock


def save_model(store: Store, run_id: str, tokens: int, parameters: dict[str, Tensor]) -> None:
    """Write a trained model's parameters by name."""
    _write(store, layout.model_key(run_id, tokens), parameters, {"tokens": tokens})


def load_model(store: Store, run_id: str, tokens: int) -> dict[str, Tensor]:
    """The parameters of the model after so many tokens. Raises MissingObject or CorruptObject."""
    return _read(store, layout.model_key(run_id, tokens))[0]


def delete_states(store: Store, run_id: str) -> None:
    """Remove the points to go on from."""
    for key in (*_states(store, run_id), *_sharded(store, run_id)):
        store.delete(key)
