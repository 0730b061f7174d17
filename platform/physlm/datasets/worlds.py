"""A world in the store: hidden facts, evaluation sets and the card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_jsonable_python
from safetensors.numpy import save as save_arrays

from physlm import runs
from physlm.datasets import cards, evaluations
from physlm.errors import StoreError
from physlm.store import layout
from physlm.store.store import Store
from physlm.tasks.capabilities import Asks, HasWorld, require, supports
from physlm.tasks.task import Task, TaskConfig


def write_world(store: Store, config: TaskConfig) -> dict[str, Any]:
    """Write what the store lacks of a world, its card last; returns the card.

    Raises StoreError if the stored facts are others than this version of physlm makes.
    """
    task = runs.language(config)
    world_id = runs.world_id(config)
    key = layout.world_card_key(world_id)
    world = task.facts() if supports(task, HasWorld) else {}
    facts = {name: np.ascontiguousarray(array) for name, array in world.items()}
    digest = _digest(facts)
    known: Mapping[str, Any] = store.get_json(key) if store.exists(key) else {}
    if known and known["sha256"] != digest:
        raise StoreError(
            f"{layout.world_folder(world_id)}: the stored facts differ from those this version of physlm generates; "
            "use a new store, or the version that made it"
        )
    sets: dict[str, Any] = known.get("evaluations", {})
    wanted = evaluations.languages(task)
    if known and wanted.keys() == sets.keys() and "vocabulary_sha256" in known:
        return dict(known)
    if facts and not known:
        store.put(layout.facts_key(world_id), save_arrays(facts))
    words = json.dumps(list(task.vocabulary), ensure_ascii=False).encode()
    store.put(layout.vocabulary_key(world_id), words)
    card = {
        **cards.language(task),
        "facts": {name: {"dtype": str(array.dtype), "shape": list(array.shape)} for name, array in facts.items()},
        "sha256": digest,
        "vocabulary_sha256": hashlib.sha256(words).hexdigest(),
        "evaluations": {
            name: sets.get(name) or _write_evaluation(store, world_id, task, name, overrides)
            for name, overrides in wanted.items()
        },
        "reproduce": cards.command(task),
    }
    cards.put(store, layout.world_folder(world_id), card)
    return card


def _write_evaluation(
    store: Store, world_id: str, task: Task[Any], name: str, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    data = evaluations.encode(require(evaluations.variant(task, overrides), Asks))
    store.put(layout.evaluation_key(world_id, name), data)
    return {
        "overrides": to_jsonable_python(overrides),
        "instances": evaluations.SIZE,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _digest(facts: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of the facts' names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, array in sorted(facts.items()):
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
