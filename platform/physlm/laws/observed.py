"""From a table of observations to the numbers that a law is fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from physlm.errors import LawDataError
from physlm.laws.contract import Array, Law, Variable


@dataclass(frozen=True)
class Observed:
    """Observations by run.

    data        each variable and the response, [n]
    condition   int [n]: runs that agree in all variables are seeds of one condition
    seed_noise  standard deviation of the response's logarithm between seeds, pooled over conditions
    held_out    bool [n]
    """

    data: Mapping[str, Array]
    condition: NDArray[np.int64]
    seed_noise: float
    held_out: NDArray[np.bool_]

    def take(self, where: NDArray[np.bool_]) -> Mapping[str, Array]:
        """The data of some runs."""
        return {name: values[where] for name, values in self.data.items()}


def observed(law: Law, table: pl.DataFrame, hold_out: pl.Expr | None, columns: Mapping[str, str]) -> Observed:
    """Pivot and check a table. Raises LawDataError with one sentence.

    A catalogue's table is long: one row for each run and measure. Any other table is wide, one row for each run, with
    `columns` naming the column of each variable and of the response.
    """
    wide = _wide(law, table, hold_out, columns)
    names = [v.name for v in law.variables]
    _check_numbers(law, wide)
    wide = wide.sort(*names, law.response.name)
    groups = wide.group_by(*names, maintain_order=True).agg(pl.col(law.response.name).log().var(), pl.len())
    if (groups["len"] == 1).all():
        raise LawDataError(
            "there is one run of each condition, so noise can't be told from misfit; use at least 2 seeds"
        )
    if wide.filter(wide.is_duplicated()).height:
        raise LawDataError("two rows agree in every variable and in the response; give each run once")
    freedom = (groups["len"] - 1).to_numpy()
    variance = groups[law.response.name].fill_null(0.0).to_numpy()
    data = {name: wide[name].to_numpy().astype(float) for name in (*names, law.response.name)}
    return Observed(
        data,
        np.repeat(np.arange(groups.height), groups["len"].to_numpy()),
        float(np.sqrt((freedom * variance).sum() / freedom.sum())),
        wide["held_out"].to_numpy(),
    )


def _wide(law: Law, table: pl.DataFrame, hold_out: pl.Expr | None, columns: Mapping[str, str]) -> pl.DataFrame:
    if table.height == 0:
        raise LawDataError("the table is empty; there is nothing to fit")
    held_out = pl.lit(False) if hold_out is None else hold_out.fill_null(False)
    if columns or "measure" not in table.columns:
        sources = {v.name: columns.get(v.name, v.name) for v in (*law.variables, law.response)}
        for variable in (*law.variables, law.response):
            if sources[variable.name] not in table.columns:
                raise LawDataError(
                    f"the table has no column {sources[variable.name]!r} for {variable.name}, {variable.meaning} "
                    f"({variable.unit}); its columns are {', '.join(table.columns)}"
                )
        return table.select(
            *(_number(table, column).alias(name) for name, column in sources.items()), held_out.alias("held_out")
        )
    return _pivot(law, table.with_columns(held_out.alias("held_out")))


def _pivot(law: Law, table: pl.DataFrame) -> pl.DataFrame:
    runs = table.unique("run_id", maintain_order=True).select("run_id", "held_out", *_columns(law, table))
    for variable in (*law.variables, law.response):
        if variable.measure is None:
            runs = runs.with_columns(_number(runs, str(variable.column)).alias(variable.name))
            continue
        rows = table.filter(pl.col("measure") == variable.measure)
        if rows.height == 0:
            raise LawDataError(f"no run was measured for {variable.measure} ({variable.meaning}, {variable.unit})")
        twice = rows.filter(rows["run_id"].is_duplicated())
        if twice.height:
            raise LawDataError(
                f"run {twice['run_id'][0]} has {variable.measure} twice; give each run's last observation alone"
            )
        runs = runs.join(
            rows.select("run_id", _number(rows, "value").alias(variable.name)), on="run_id", how="left"
        ).filter(pl.col(variable.name).is_not_null())  # a diverged run has nothing to fit
        if runs.height == 0:
            raise LawDataError(f"no run has a value of {variable.measure} beside the law's other measures")
    return runs


def _columns(law: Law, table: pl.DataFrame) -> list[str]:
    wanted = list(dict.fromkeys(v.column for v in (*law.variables, law.response) if v.column))
    for column in wanted:
        if column not in table.columns:
            raise LawDataError(f"the table has no column {column!r}, which the law {law.name} needs")
    return wanted


def _number(table: pl.DataFrame, column: str) -> pl.Expr:
    if not table[column].dtype.is_numeric():
        raise LawDataError(f"the column {column!r} holds {table[column].dtype}, not numbers")
    return pl.col(column).cast(pl.Float64)


def _check_numbers(law: Law, wide: pl.DataFrame) -> None:
    for variable in (*law.variables, law.response):
        values = wide[variable.name]
        if values.is_null().any() or not values.is_finite().all():
            raise LawDataError(f"{_described(variable)} is missing or not a number in some rows; leave such rows out")
        smallest = float(values.to_numpy().min())
        if smallest <= 0:
            raise LawDataError(
                f"{_described(variable)} must be positive, but the smallest is {smallest:.4g}; "
                "leave out runs that have learned nothing, or train longer"
            )


def _described(variable: Variable) -> str:
    return f"{variable.name} ({variable.meaning}, {variable.unit})"
