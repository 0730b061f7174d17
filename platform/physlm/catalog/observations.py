"""Observations: immutable, self-describing rows in Parquet.

One file per run and source of rows, `runs/<run_id>/observations/<source>.parquet`. A row says which run, where in
training (tokens, exposures, FLOPs), which measure, its value with standard error, chance level and floor, and carries
the run's whole condition in columns such as `task.people`, `model.width` and `training.optimizer.lr`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from physlm.errors import CorruptObject, MissingObject
from physlm.store.contract import Store


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


def table(run: Mapping[str, Any], source: str, rows: Iterable[tuple[Moment, Observation]]) -> pl.DataFrame:
    """Rows of one run. run: its description, with `run_id`, `condition`, `seed`, sizes and the dotted knobs."""
    known = {key: value for key, value in run.items() if key in OBSERVATION_SCHEMA}
    knobs = {key: value for key, value in run.items() if key not in OBSERVATION_SCHEMA}
    frame = pl.DataFrame(
        [{**known, "source": source, **asdict(moment), **asdict(observation)} for moment, observation in rows],
        schema=OBSERVATION_SCHEMA,
    )
    # All integers alike: the width of a column must not depend on the size of its values.
    return frame.with_columns(
        pl.lit(value, dtype=pl.Int64 if type(value) is int else None).alias(key) for key, value in knobs.items()
    )


def key(run_id: str, source: str) -> str:
    """Where the observations of a run from one source are stored."""
    return f"runs/{run_id}/observations/{source}.parquet"


def write(store: Store, frame: pl.DataFrame, object_key: str) -> None:
    """Store a table of observations as Parquet."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    store.put(object_key, buffer.getvalue())


def read(store: Store, object_key: str) -> pl.DataFrame:
    """Read a stored table; columns that are younger than it are null. Raises MissingObject or CorruptObject."""
    try:
        frame = pl.read_parquet(io.BytesIO(store.get(object_key)))
        missing = {name: kind for name, kind in OBSERVATION_SCHEMA.items() if name not in frame.columns}
        return frame.with_columns(pl.lit(None, kind).alias(name) for name, kind in missing.items())
    except pl.exceptions.PolarsError as error:
        raise CorruptObject(f"{object_key} is not a Parquet table: {error}") from None


def overall(frame: pl.DataFrame) -> pl.DataFrame:
    """The observations of models as wholes, without those of single layers and positions."""
    return frame.filter(pl.col("layer").is_null() & pl.col("position").is_null())


def collect(store: Store, runs: Sequence[str], sources: Sequence[str]) -> pl.DataFrame:
    """The observations of these runs from these sources, sorted by run, measure and tokens.

    Runs that lack a source are left out: a law may be fitted to what is there. Knobs that some runs don't have are
    null. Raises CorruptObject for a damaged file.
    """
    frames = [pl.DataFrame(schema=OBSERVATION_SCHEMA)]
    for run_id in runs:
        for source in sources:
            try:
                frames.append(read(store, key(run_id, source)))
            except MissingObject:
                continue
    return pl.concat(frames, how="diagonal_relaxed").sort(
        "run_id", "source", "measure", "layer", "position", "tokens", maintain_order=True
    )
