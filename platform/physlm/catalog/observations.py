"""Observations: immutable, self-describing rows in Parquet.

One file per run and source of rows, `runs/<run_id>/observations/<source>.parquet`, or one for many runs that were
observed together (see `physlm.catalog.batches`). A row says which run, where in
training (tokens, exposures, FLOPs), which measure, its value with standard error, chance level and floor, and carries
the run's whole condition in columns such as `task.people`, `model.width` and `training.optimizer.lr`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import polars as pl

from physlm.errors import CorruptObject
from physlm.store.store import Store

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@dataclass(frozen=True)
class Observation:
    """One number taken from a run at a moment of its training.

    value, chance, floor, ceiling   in `unit`; None where it isn't defined
    stderr                          standard error of the value in `unit`, from the n items it is a mean over
    target, layer, position         of a probe: what it reads, from which layer (0 is the embedding), and at which place
                                    or distance; of a measure by difficulty: what makes it so, and how much of it

    A measure may come at many layers and positions. The one without either stands for the model as a whole: laws,
    metrics and tables are made of those (`overall`).
    """

    measure: str
    value: float | None
    unit: str
    stderr: float | None = None
    n: int | None = None
    chance: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    target: str | None = None
    layer: int | None = None
    position: int | None = None


OBSERVATION_SCHEMA = {
    "run_id": pl.String,
    "condition": pl.String,
    "seed": pl.Int64,
    "source": pl.String,
    "tokens": pl.Int64,
    "exposures": pl.Float64,
    "flops": pl.Float64,
    "parameters": pl.Int64,
    "parameters_counted": pl.Int64,
    "measure": pl.String,
    "value": pl.Float64,
    "stderr": pl.Float64,
    "n": pl.Int64,
    "chance": pl.Float64,
    "floor": pl.Float64,
    "ceiling": pl.Float64,
    "unit": pl.String,
    "target": pl.String,
    "layer": pl.Int64,
    "position": pl.Int64,
}


@dataclass(frozen=True)
class Moment:
    """Where in a run's training an observation was made."""

    tokens: int
    exposures: float | None
    flops: float


_MOMENT = tuple(field.name for field in fields(Moment))
_OBSERVATION = tuple(field.name for field in fields(Observation))


def table(run: Mapping[str, Any], source: str, rows: Iterable[tuple[Moment, Observation]]) -> pl.DataFrame:
    """Rows of one run. run: its description, with `run_id`, `condition`, `seed`, sizes and the dotted knobs."""
    known = {key: value for key, value in run.items() if key in OBSERVATION_SCHEMA}
    knobs = {key: value for key, value in run.items() if key not in OBSERVATION_SCHEMA}
    taken = list(rows)
    moments, observations = [moment for moment, _ in taken], [observation for _, observation in taken]
    frame = pl.DataFrame(
        {
            **{name: [getattr(moment, name) for moment in moments] for name in _MOMENT},
            **{name: [getattr(observation, name) for observation in observations] for name in _OBSERVATION},
        },
        schema={name: OBSERVATION_SCHEMA[name] for name in (*_MOMENT, *_OBSERVATION)},
    )
    frame = frame.select(
        name if name in frame.columns else pl.lit({**known, "source": source}.get(name), kind).alias(name)
        for name, kind in OBSERVATION_SCHEMA.items()
    )
    # All integers alike: the width of a column must not depend on the size of its values.
    return frame.with_columns(
        pl.lit(value, dtype=pl.Int64 if type(value) is int else None).alias(key) for key, value in knobs.items()
    )


def write(store: Store, frame: pl.DataFrame, object_key: str) -> None:
    """Store a table of observations as Parquet."""
    store.put(object_key, encoded(frame))


def encoded(frame: pl.DataFrame) -> bytes:
    """A table as a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def read(store: Store, object_key: str) -> pl.DataFrame:
    """Read a stored table; columns that are younger than it are null. Raises MissingObject or CorruptObject."""
    try:
        frame = pl.read_parquet(io.BytesIO(store.get(object_key)))
    except pl.exceptions.PolarsError as error:
        raise CorruptObject(f"{object_key} is not a Parquet table: {error}") from None
    return whole(frame, frame.columns)


def whole(frame: Frame, columns: Sequence[str]) -> Frame:
    """A table that has these columns, with null ones for those of the schema that are younger than it."""
    missing = {name: kind for name, kind in OBSERVATION_SCHEMA.items() if name not in columns}
    return frame.with_columns(pl.lit(None, kind).alias(name) for name, kind in missing.items())


def overall(frame: Frame) -> Frame:
    """The observations of models as wholes, without those of single layers and positions."""
    return frame.filter(pl.col("layer").is_null() & pl.col("position").is_null())
