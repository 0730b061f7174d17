"""Observations per condition: each run's last ones, averaged over the seeds of the condition.

Prometheus carries this table. The catalogue gives the same one, so a law fitted from either is the same law.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from physlm.telemetry.metrics import QUANTITIES, STATISTICS


def per_condition(observations: pl.DataFrame, varied: Sequence[str]) -> pl.DataFrame:
    """One row per condition and measure, from a table of observations as the catalogue has it.

    Only models as wholes: the layers and positions of probes are in the catalogue alone.

    varied: the columns that tell conditions apart, such as `model.width`; those that the table lacks are passed over.

    Columns: condition, the varied ones, QUANTITIES, measure, STATISTICS; sorted by condition and measure. `stderr` is
    that of the mean over seeds, or the measurement's own where there is a single seed; `samples` is the sum of `n`.
    """
    table = _overall(observations).drop_nulls("value").sort("condition", "measure", "run_id")
    numbers = pl.col(*QUANTITIES, "value", "stderr", "n", "chance", "floor", "ceiling").cast(pl.Float64)
    table = table.with_columns(numbers, pl.col("tokens").alias("moment"))
    ended = pl.col("moment") == pl.col("moment").max().over("run_id")
    conditions = (
        table.filter(ended)
        .group_by("condition")
        .agg(pl.col([key for key in varied if key in table.columns]).first(), pl.col(*QUANTITIES).mean())
    )
    seeds = pl.col("seed").n_unique()
    between_seeds = pl.col("value").std() / seeds.sqrt()
    measured = (
        table.filter(pl.col("moment") == pl.col("moment").max().over("run_id", "measure"))
        .group_by("condition", "measure")
        .agg(
            pl.col("value").mean(),
            pl.when(seeds > 1).then(between_seeds).otherwise(pl.col("stderr").mean()).alias("stderr"),
            seeds.cast(pl.Float64).alias("seeds"),
            pl.when(pl.col("n").count() > 0).then(pl.col("n").sum()).alias("samples"),
            pl.col("chance", "floor", "ceiling").mean(),
        )
    )
    return arrange(conditions.join(measured, on="condition"))


def _overall(observations: pl.DataFrame) -> pl.DataFrame:
    """Those of models as wholes: single layers and positions would be more series than Prometheus should hold."""
    places = [name for name in ("layer", "position") if name in observations.columns]
    return observations.filter(pl.all_horizontal(pl.col(places).is_null())) if places else observations


def arrange(table: pl.DataFrame) -> pl.DataFrame:
    """Columns and rows in the order that `per_condition` promises."""
    varied = sorted(set(table.columns) - {"condition", "measure", *QUANTITIES, *STATISTICS})
    return table.select("condition", *varied, *QUANTITIES, "measure", *STATISTICS).sort("condition", "measure")


def label_name(key: str) -> str:
    """The label of a varied key: `model__width` for `model.width`, since labels hold no dots."""
    return key.replace(".", "__")


def key_name(label: str) -> str:
    """The varied key of a label: the inverse of `label_name`."""
    return label.replace("__", ".")


def label_value(value: Any) -> str:
    """A varied value as a label: plain text, quoted where it would read as another type; empty for None."""
    if value is None:
        return ""
    if isinstance(value, str) and value and key_value(value) == value:
        return value
    return json.dumps(value)


def key_value(text: str) -> Any:
    """The varied value of a label: the inverse of `label_value`."""
    if text == "":
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
