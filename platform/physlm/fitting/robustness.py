"""Whether a conclusion depends on conventions: the same fit with other counts, windows and exclusions.

A public ladder's own runs give 10.8 or 3.6 tokens for each parameter by the way parameters are counted alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from physlm.errors import LawDataError
from physlm.fitting.data import wide
from physlm.fitting.engine import fit
from physlm.fitting.result import Fit
from physlm.laws.law import Law

_EXCLUDED = 0.02  # of the runs, those furthest from the law


@dataclass(frozen=True)
class Convention:
    """Another way to prepare a table: columns that are replaced, and rows that are kept."""

    name: str
    columns: Mapping[str, pl.Expr] = field(default_factory=dict)
    keep: pl.Expr | None = None

    def prepared(self, table: pl.DataFrame) -> pl.DataFrame:
        """The table under this convention."""
        changed = table.with_columns(expression.alias(name) for name, expression in self.columns.items())
        return changed if self.keep is None else changed.filter(self.keep)


@dataclass(frozen=True)
class Outcome:
    """A fit under a convention; flips: quantities whose interval excludes the usual estimate, and a turned verdict.

    refused: why the law could not be fitted, instead of a fit.
    """

    name: str
    fit: Fit | None
    flips: tuple[str, ...]
    refused: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the estimates with their intervals, and what flips."""
        shown = (*self.fit.estimates, *self.fit.derived) if self.fit else ()
        return {
            "convention": self.name,
            "flips": list(self.flips),
            "refused": self.refused,
            "verdict": self.fit.verdict if self.fit else None,
            "estimates": {
                e.name: [x if np.isfinite(x) else None for x in (e.value, e.interval.low, e.interval.high)]
                for e in shown
            },
        }


def under_conventions(
    law: type[Law], table: pl.DataFrame, conventions: Iterable[Convention], **options: Any
) -> list[Outcome]:
    """The fit as usual, and under each convention. options: of `fit`.

    Raises LawDataError if the usual one is refused.
    """
    usual = fit(law, table, **options)
    found = [Outcome("as usual", usual, ())]
    for each in conventions:
        try:
            other = fit(law, each.prepared(table), **options)
        except LawDataError as error:
            found.append(Outcome(each.name, None, (), str(error)))
        else:
            found.append(Outcome(each.name, other, _flips(usual, other)))
    return found


def standard(law: type[Law], table: pl.DataFrame, usual: Fit) -> list[Convention]:
    """What is tried by default on a wide table whose columns are named like the variables.

    Without the smallest and without the largest size; without the runs furthest from the law; and with all parameters
    instead of those in use, where the table has both.
    """
    size = pl.col(law.size)
    found = []
    if not next(v for v in law.variables if v.name == law.size).category:
        found += [
            Convention(f"without the smallest {law.size}", keep=size > size.min()),
            Convention(f"without the largest {law.size}", keep=size < size.max()),
        ]
    residual = np.abs(usual.linear.residual)
    away = np.flatnonzero(residual > np.quantile(residual, 1 - _EXCLUDED))
    fitted = np.flatnonzero(np.array(usual.data["held_out"]) == 0)[away]
    response = law.response.name
    furthest = pl.Series([usual.data[response][i] for i in fitted])
    found.append(
        Convention(
            f"without the {len(away)} runs furthest from the law", keep=~pl.col(response).is_in(furthest.implode())
        )
    )
    if {"parameters", "parameters_counted"} <= set(table.columns):
        for v in law.variables:
            if v.column == "parameters_counted":
                found.append(Convention("with all parameters counted", {v.name: pl.col("parameters")}))
    return found


def robustness(law: type[Law], table: pl.DataFrame, usual: Fit, **options: Any) -> list[Outcome]:
    """The fit under the standard conventions, of a catalogue's table or of any other; options: of `fit`.

    Raises LawDataError if the usual fit is refused.
    """
    columns: Mapping[str, str] = options.pop("columns", None) or {}
    prepared = wide(law, table, ("parameters", "parameters_counted", "held_out"))
    prepared = prepared.with_columns(pl.col(column).alias(name) for name, column in columns.items())
    named = [v for v in law.variables if v.name not in prepared.columns and v.column in prepared.columns]
    prepared = prepared.with_columns(pl.col(str(v.column)).alias(v.name) for v in named)
    if law.response.name not in prepared.columns and law.response.column in prepared.columns:
        prepared = prepared.with_columns(pl.col(str(law.response.column)).alias(law.response.name))
    return under_conventions(law, prepared, standard(law, prepared, usual), **options)


def _flips(usual: Fit, other: Fit) -> tuple[str, ...]:
    known = {e.name: e for e in (*usual.estimates, *usual.derived)}
    found = [
        e.name
        for e in (*other.estimates, *other.derived)
        if e.name in known
        and e.identified
        and known[e.name].identified
        and (e.interval.low > known[e.name].interval.high or e.interval.high < known[e.name].interval.low)
    ]
    if {usual.verdict, other.verdict} == {"supported", "refuted"}:
        found.append("verdict")
    return tuple(found)
