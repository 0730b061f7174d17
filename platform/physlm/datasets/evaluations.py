"""Evaluation sets: questions of the test stream with their right answers and truths, in Parquet.

One row for each instance:

    index         int64, place in the stream test-0 of the set's language
    prompt        list of int32, what a model is given
    answer        list of int32, a right completion (there may be others: `Asks.verify` decides)
    prompt_text   the prompt as people read it
    answer_text   the answer likewise
    truth         JSON of what `Asks.verify` needs
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from physlm.store import layout
from physlm.store.store import Store
from physlm.tasks.capabilities import Asks, TaskT, supports
from physlm.tasks.task import Instances, Stream, Task

BASE = "test"  # the set with the language's own knobs, beside those of `Asks.evaluations`
STREAM = Stream("test", 0)
SIZE = 1024  # instances


def languages(task: Task[Any]) -> dict[str, Mapping[str, Any]]:
    """Name and overrides of each evaluation set; none where nothing is asked, and none twice."""
    if not supports(task, Asks):
        return {}
    others = {
        name: overrides
        for name, overrides in task.evaluations.items()
        if variant(task, overrides).config != task.config
    }
    return {BASE: {}, **others}


def variant(task: TaskT, overrides: Mapping[str, Any]) -> TaskT:
    """The same language with some knobs set otherwise."""
    config = type(task.config).model_validate({**task.config.model_dump(), **overrides})
    return type(task)(config)


def row(task: Asks[Any], instances: Instances, i: int, index: int) -> dict[str, Any]:
    """One question as a row of the set."""
    prompt, answer = task.prompt(instances, i), task.completion(instances, i)
    return {
        "index": index,
        "prompt": prompt.tolist(),
        "answer": answer.tolist(),
        "prompt_text": task.text(prompt),
        "answer_text": task.text(answer),
        "truth": json.dumps(plain(instances.truth[i]), separators=(",", ":")),
    }


def encode(task: Asks[Any], size: int = SIZE) -> bytes:
    """The first `size` questions of the test stream as Parquet."""
    instances = task.sample(STREAM, np.arange(size, dtype=np.int64))
    rows = [row(task, instances, i, i) for i in range(size)]
    tokens = pl.List(pl.Int32)
    table = pl.DataFrame(rows, schema_overrides={"index": pl.Int64, "prompt": tokens, "answer": tokens})
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def read_evaluation(store: Store, world_id: str, name: str = BASE) -> pl.DataFrame:
    """An evaluation set of a world. Raises MissingObject or CorruptObject, naming the key."""
    return pl.read_parquet(io.BytesIO(store.get(layout.evaluation_key(world_id, name))))


def plain(value: Any) -> Any:
    """A truth in the terms of JSON: arrays, tuples and dataclasses become lists and mappings.

    Raises TypeError for what JSON can't hold.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic() | np.ndarray():
            return value.tolist()
        case Mapping():
            return {str(name): plain(inner) for name, inner in value.items()}
        case Sequence() | set() | frozenset():
            return [plain(inner) for inner in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"a truth can't be stored: JSON has no {type(value).__name__}")
