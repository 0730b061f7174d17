"""Tables from files, for fits of what others have published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from physlm.errors import LawDataError


def read_table(path: Path) -> pl.DataFrame:
    """A CSV or Parquet file. Raises LawDataError, with one sentence."""
    try:
        if path.suffix in (".parquet", ".pq"):
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=None, null_values=["", "NA", "NaN", "nan", "null"])
    except OSError as error:
        raise LawDataError(f"can't read {path}: {(error.strerror or str(error)).lower()}") from None
    except pl.exceptions.PolarsError as error:
        raise LawDataError(f"{path} is not a table: {str(error).splitlines()[0]}") from None


def condition(text: str) -> pl.Expr:
    """An expression over a table's columns, such as `N >= 1e9 and D > 1e10`. Raises LawDataError."""
    try:
        return pl.sql_expr(text)
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise LawDataError(f"{text!r} is not a condition on columns: {str(error).splitlines()[0]}") from None


def mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Variables with their columns from `N=params`. Raises LawDataError."""
    found = {}
    for pair in pairs:
        variable, equals, column = pair.partition("=")
        if not (variable and equals and column):
            raise LawDataError(f"{pair!r} maps nothing; write VARIABLE=COLUMN, such as N=params")
        found[variable.strip()] = column.strip()
    return found
