"""Studies simulated from a law with known constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from physlm.fitting.data import levels
from physlm.laws.examples import Example
from physlm.laws.law import Law
from physlm.laws.noise import Binomial, Censored
from physlm.laws.scales import Array, from_scale


def form_of(law: type[Law], table: pl.DataFrame) -> Law:
    """The law with the levels that a table with its variables has."""
    return law({v.name: levels(table[v.name]) for v in law.variables if v.category})


def columns_of(law: Law, table: pl.DataFrame) -> Mapping[str, Array]:
    """A table's variables as the law takes them, [n] each: categories as positions in its levels."""
    found = {}
    for variable in law.variables:
        column = table[variable.name]
        if variable.category:
            known: Sequence[str] = law.levels[variable.name]
            column = column.cast(pl.String).replace_strict({name: i for i, name in enumerate(known)})
        found[variable.name] = column.cast(pl.Float64).to_numpy()
    return found


def simulate(
    law: type[Law], example: Example, rng: np.random.Generator, *, seeds: int = 2, spread: float | None = None
) -> pl.DataFrame:
    """A study as the example designs it: `seeds` runs of each condition, with the columns `run_id` and the response.

    spread: of each run, the example's own unless given; shares take it as no noise at 0 and as that of their items
    otherwise. A censored response is cut off at the design's column `budget`.
    """
    scatter = example.spread if spread is None else spread
    table = pl.concat([example.design] * seeds).with_row_index("run").with_columns(pl.format("run {}", "run"))
    table = table.rename({"run": "run_id"})
    form = form_of(law, table)
    parameters = form.vector(example.truth)
    location = form.locate(parameters, columns_of(form, table))
    response = law.response.name
    if isinstance(law.noise, Binomial):
        share = from_scale("logit", location)
        items = table["n"].to_numpy()
        values = rng.binomial(items, share) / items if scatter else share
        return table.with_columns(pl.Series(response, values))
    values = from_scale(law.noise.scale, location + scatter * rng.standard_normal(len(location)))
    table = table.with_columns(pl.Series(response, values))
    if isinstance(law.noise, Censored):
        return table.with_columns(
            pl.min_horizontal(response, "budget").alias(response),
            (pl.col(response) > pl.col("budget")).cast(pl.Float64).alias("censored"),
        )
    return table
