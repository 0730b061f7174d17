"""From a table of observations to the numbers that a law is fitted to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from physlm.errors import LawDataError
from physlm.laws.law import Law
from physlm.laws.noise import Noise
from physlm.laws.scales import Array, to_scale
from physlm.laws.variables import Variable
from physlm.registry import nearest

REFERENCES = ("baseline", "dense", "gpt2", "none", "false", "0", "16")  # levels that others are compared with
_LARGEST = 1e30  # beyond, or as close to 0, there is no such quantity
_HELD_OUT, _CLUSTER = "held out", "cluster"
_PLACES = ("layer", "position")  # columns that tell rows of one measure apart


@dataclass(frozen=True)
class Observed:
    """Observations by run.

    data        each variable and the response, [n]; categories are positions in `levels`
    detail      of each observation, as the noise asks for, [n]
    condition   int [n]: runs that agree in all variables are seeds of one condition
    cluster     int [n]: observations that may err together
    seed_noise  standard deviation between seeds, pooled over conditions: of the response's logarithm, or of a share
                itself; not a number where no condition has two seeds
    held_out    bool [n]
    left_out    runs of conditions in which something that has learned nothing lies beyond a logarithm
    levels      of each category, the reference first
    """

    data: Mapping[str, Array]
    detail: Array
    condition: NDArray[np.int64]
    cluster: NDArray[np.int64]
    seed_noise: float
    held_out: NDArray[np.bool_]
    levels: Mapping[str, tuple[str, ...]]
    left_out: int = 0

    def take(self, where: NDArray[np.bool_]) -> Mapping[str, Array]:
        """The data of some runs."""
        return {name: values[where] for name, values in self.data.items()}


@dataclass(frozen=True)
class Needed:
    """What of a catalogue's table a law is fitted from.

    columns    of its rows
    variables  those that its measures hold
    places     whether rows of single layers and positions count, instead of those of models as wholes
    curve      whether all moments of training count, instead of the last alone
    """

    columns: Sequence[str]
    variables: Sequence[Variable]
    places: bool
    curve: bool

    def measures(self, known: Iterable[str]) -> list[str]:
        """Those of the known measures that are needed. Raises LawDataError if none holds one of the variables."""
        known, found = list(known), dict[str, None]()
        for v in (v for v in self.variables if v.measure):
            if not v.matching(known):
                raise _unmeasured(v)
            found |= dict.fromkeys(v.matching(known))
        return list(found)


def needed(law: type[Law]) -> Needed:
    """What of a catalogue's table the law is fitted from."""
    inputs = _inputs(law, law.noise)
    named = [name for v in inputs for name in (v.column if v.group is None else None, *_roots(v))]
    columns = [name for name in named if name is not None]
    measured = [law.made_from or law.response, *law.variables]
    return Needed(columns, measured, _by_place(inputs), law.made_from is not None)


def unsupported_reason(law: type[Law], columns: Collection[str], measures: Collection[str] = ()) -> str | None:
    """Why a catalogue's table can't hold all that a law reads, as a sentence; None if it can.

    columns   of the table: those of observations and of runs' descriptions
    measures  the names of what is measured; not looked at if there are none
    """
    for variable in _inputs(law, law.noise):
        what = f"the law {law.name} reads {described(variable)}"
        if variable.group is not None:
            patterns = (variable_.measure or "" for variable_ in (law.response, *law.variables))
            if not any(f"(?P<{variable.group}>" in pattern for pattern in patterns):
                return f"{what} from the group {variable.group!r} of a measure, but no measure of it has such a group"
        elif variable.made:
            missing = [root for root in _roots(variable) if root not in columns]
            if missing and variable.column not in columns:
                return f"{what} from the column {missing[0]!r}, which no run has; {nearest(missing[0], [*columns])}"
        elif variable.column is not None and variable.column not in columns and law.made_from is None:
            return (
                f"{what} from the column {variable.column!r}, which no run has; {nearest(variable.column, [*columns])}"
            )
    for variable in (law.made_from or law.response, *law.variables):
        if measures and variable.measure and not variable.matching(measures):
            measure = variable.measure
            return (
                f"the law {law.name} reads {described(variable)} from the measure {measure!r}, which nothing emits; "
                f"{nearest(measure, [*measures])}"
            )
    return None


def _unmeasured(variable: Variable) -> LawDataError:
    return LawDataError(f"no run was measured for {variable.measure} ({variable.meaning}, {variable.unit})")


def _inputs(law: type[Law], noise: Noise) -> list[Variable]:
    return [*law.variables, law.response, *([noise.detail] if noise.detail else [])]


def _by_place(inputs: Sequence[Variable]) -> bool:
    return any(v.column in _PLACES for v in inputs)


def with_made(inputs: Sequence[Variable], table: pl.DataFrame) -> pl.DataFrame:
    """The table with the columns that can be made of others."""
    found = [
        pl.sql_expr(v.made).alias(str(v.column))
        for v in inputs
        if v.made and v.column not in table.columns and set(_roots(v)) <= set(table.columns)
    ]
    return table.with_columns(found)


def wide(law: type[Law], table: pl.DataFrame, beside: Sequence[str] = ()) -> pl.DataFrame:
    """A catalogue's table as one row for each value of the response, with the law's variables by name.

    beside: further columns of the run.

    Any other table stays as it is. Raises LawDataError.
    """
    if "measure" not in table.columns:
        return table
    table = law.derived_rows(table)
    inputs = _inputs(law, law.noise)
    marked = with_made(inputs, table).with_columns(pl.lit(False).alias(_HELD_OUT), pl.lit(0).alias(_CLUSTER))
    found = _measurable(law, law.noise, _pivot(law, inputs, marked)).drop(_HELD_OUT, _CLUSTER)
    more = [name for name in beside if name in table.columns and name not in found.columns]
    found = found.join(table.unique("run_id").select("run_id", *more), on="run_id", how="left", maintain_order="left")
    return found.with_row_index("row")  # rows of one run may agree by chance


def _measurable(law: type[Law], noise: Noise, table: pl.DataFrame) -> pl.DataFrame:
    """Without conditions in which a run has learned nothing, where the scale of the noise is logarithmic."""
    if noise.scale != "log":
        return table
    names = [v.name for v in law.variables]
    nothing = table.filter(pl.col(law.response.name) <= 0).select(names).unique()
    within = table.join(nothing, on=names, how="anti", maintain_order="left")
    return within if within.height else table


def _roots(variable: Variable) -> list[str]:
    """The columns that its own is made of."""
    return pl.sql_expr(variable.made).meta.root_names() if variable.made else []


def observed(
    law: type[Law],
    noise: Noise,
    table: pl.DataFrame,
    hold_out: pl.Expr | None,
    columns: Mapping[str, str],
    cluster: Sequence[str],
) -> Observed:
    """Pivot and check a table. Raises LawDataError with one sentence.

    A catalogue's table is long: one row for each run and measure. Any other table is wide, one row for each value of
    the response, with `columns` naming the column of each variable and of the response. Rows that agree in `cluster`
    may err together.

    A run of a catalogue may have learned less than nothing measurable. A law fitted on a logarithmic scale says nothing
    of such conditions: all their seeds are left out, and counted.
    """
    if table.height == 0:
        raise LawDataError("the table is empty; there is nothing to fit")
    inputs = _inputs(law, noise)
    if "measure" in table.columns and not columns:
        table = law.derived_rows(table)
    marked = with_made(inputs, table).with_columns(
        (pl.lit(False) if hold_out is None else hold_out.fill_null(False)).alias(_HELD_OUT),
        _cluster(table, cluster).alias(_CLUSTER),
    )
    if columns or "measure" not in table.columns:
        wide = _wide(law, inputs, marked, columns)
    else:
        wide = _pivot(law, inputs, marked)
    whole = wide.height
    if "measure" in table.columns and not columns:
        wide = _measurable(law, noise, wide)
    left_out = whole - wide.height
    for variable in inputs:
        _check_numbers(variable, wide[variable.name], noise, law)
    if table.is_duplicated().any() or (not noise.ties and wide.drop(_CLUSTER).is_duplicated().any()):
        raise LawDataError(
            "two rows agree in every variable and in the response; give each run once"
            + (", with a column run_id if runs agree by chance" if noise.ties else "")
        )
    names = [v.name for v in law.variables]
    if wide.height > 1 and wide[law.response.name].n_unique() == 1:
        raise LawDataError(
            f"{law.response.meaning} is {wide[law.response.name][0]:.4g} in every row; "
            "nothing varies, so make the task harder or easier"
        )
    wide = wide.sort(*names, law.response.name, _CLUSTER)
    # Numbered as they appear, so that the bootstrap's draws don't depend on the runs' names or order.
    _, first, named = np.unique(wide[_CLUSTER].to_numpy(), return_index=True, return_inverse=True)
    cluster_number = np.argsort(np.argsort(first))[named].astype(np.int64)
    groups = wide.group_by(*names, maintain_order=True).len()["len"].to_numpy()
    data = {v.name: wide[v.name].to_physical().to_numpy().astype(float) for v in (*law.variables, law.response)}
    condition = np.repeat(np.arange(len(groups)), groups)
    return Observed(
        data,
        wide[noise.detail.name].to_numpy().astype(float) if noise.detail else np.ones(wide.height),
        condition,
        cluster_number,
        _seed_noise(
            data[law.response.name] if noise.share else to_scale(noise.scale, data[law.response.name]), condition
        ),
        wide[_HELD_OUT].to_numpy(),
        {v.name: _categories(wide[v.name]) for v in law.variables if v.category},
        left_out,
    )


def _categories(column: pl.Series) -> tuple[str, ...]:
    assert isinstance(column.dtype, pl.Enum)
    return tuple(column.dtype.categories.to_list())


def _cluster(table: pl.DataFrame, cluster: Sequence[str]) -> pl.Expr:
    for column in cluster:
        if column not in table.columns:
            raise LawDataError(f"the table has no column {column!r} to cluster by; its columns are {_listed(table)}")
    named = cluster or [c for c in ("run_id",) if c in table.columns]
    return (pl.struct(named).rank("dense") if named else pl.int_range(pl.len())).cast(pl.Int64)


def _seed_noise(response: Array, condition: NDArray[np.int64]) -> float:
    count = np.bincount(condition)
    freedom = len(response) - len(count)
    if not freedom or not np.isfinite(response).all():
        return float("nan")
    deviation = response - (np.bincount(condition, response) / count)[condition]
    return float(np.sqrt((deviation**2).sum() / freedom))


def _wide(law: type[Law], inputs: Sequence[Variable], table: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    unknown = set(columns) - {v.name for v in inputs}
    if unknown:
        raise LawDataError(
            f"the law {law.name} has no variable {sorted(unknown)[0]!r}; it has {', '.join(v.name for v in inputs)}"
        )
    found = []
    for variable in inputs:
        candidates = [columns[variable.name]] if variable.name in columns else [variable.name, variable.column or ""]
        column = next((c for c in candidates if c in table.columns), None)
        if column is None:
            raise LawDataError(
                f"the table has no column {candidates[0]!r} for {described(variable)}; its columns are {_listed(table)}"
            )
        found.append(_read(table, column, variable))
    return table.select(*found, _HELD_OUT, _CLUSTER)


def _pivot(law: type[Law], inputs: Sequence[Variable], table: pl.DataFrame) -> pl.DataFrame:
    if "run_id" not in table.columns or "value" not in table.columns:
        raise LawDataError("a table with a column 'measure' needs the columns 'run_id' and 'value' too")
    for column in sorted({v.column for v in inputs if v.column and v.group is None} - set(table.columns)):
        raise LawDataError(f"the table has no column {column!r}, which the law {law.name} needs")
    places = [name for name in _PLACES if name in table.columns]
    by_place = _by_place(inputs)
    table = table.filter(pl.any_horizontal([pl.col(c).is_not_null() for c in places]) == by_place) if places else table
    response, groups = _rows(law.response, table, places if by_place else [])
    read = [v for v in inputs if v is not law.response and v.measure is None and v.group is None]
    rows = response.select(
        "run_id",
        _HELD_OUT,
        _CLUSTER,
        *groups,
        _read(response, law.response.column or "value", law.response),
        *(_read(response, str(v.column), v) for v in read),
    )
    for variable in (v for v in inputs if v.measure is not None and v is not law.response):
        found, own = _rows(variable, table, [])
        keys = ["run_id", *(name for name in own if name in groups)]
        value = _read(found, variable.column or "value", variable)
        rows = rows.join(found.select(*keys, value), on=keys, how="left", maintain_order="left")
    rows = rows.filter(pl.all_horizontal(pl.col(v.name).is_not_null() for v in inputs if v.measure is not None))
    if rows.height == 0:
        raise LawDataError(f"no run has a value of {law.response.measure} beside the law's other measures")
    for variable in (v for v in inputs if v.group is not None):
        known = rows[str(variable.group)]
        if variable.otherwise is not None:
            known = known.fill_null(str(variable.otherwise))
        if not variable.category:
            known = known.cast(pl.Float64, strict=False)
        named = known.alias(variable.name)
        rows = rows.with_columns(named).with_columns(_read(named.to_frame(), variable.name, variable))
    return rows.select("run_id", *(v.name for v in inputs), _HELD_OUT, _CLUSTER)


def _rows(variable: Variable, table: pl.DataFrame, places: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """The rows that hold a measured variable, with a column for each group of its measure; a diverged run has none."""
    matching = variable.matching(table["measure"].drop_nulls().unique().sort())
    rows = table.filter(pl.col("measure").is_in(list(matching)))
    if rows.height == 0:
        raise _unmeasured(variable)
    twice = rows.filter(rows.select("run_id", "measure", *places).is_duplicated())
    if twice.height:
        raise LawDataError(
            f"run {twice['run_id'][0]} has {twice['measure'][0]} twice; give each run's last observation alone"
        )
    groups = list(next(iter(matching.values())))
    named = {name: {measure: parts[name] for measure, parts in matching.items()} for name in groups}
    return rows.with_columns(
        pl.col("measure").replace_strict(values, return_dtype=pl.String).alias(name) for name, values in named.items()
    ), groups


def _read(table: pl.DataFrame, column: str, variable: Variable) -> pl.Expr:
    dtype = table[column].dtype
    if variable.category:
        named = _names(table[column])
        return pl.lit(named.cast(pl.Enum(levels(named)))).alias(variable.name)
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        raise LawDataError(f"the column {column!r} holds {dtype}, not numbers")
    return pl.col(column).cast(pl.Float64).alias(variable.name)


def _names(values: pl.Series) -> pl.Series:
    """Values as names: 100.0 and 100 are one."""
    if values.dtype.is_float() and (values.drop_nulls() == values.drop_nulls().round()).all():
        values = values.cast(pl.Int64, strict=False)
    return values.cast(pl.String)


def levels(values: pl.Series) -> list[str]:
    """The levels of a category, the reference first."""
    return sorted(_names(values).drop_nulls().unique(), key=_order)


def _order(level: str) -> tuple[bool, float, str]:
    """References first, then numbers by value and names by the alphabet."""
    try:
        number = float(level)
    except ValueError:
        number = 0.0
    return level.lower() not in REFERENCES, number, level


def _check_numbers(variable: Variable, values: pl.Series, noise: Noise, law: type[Law]) -> None:
    what = described(variable)
    if variable.category:
        if values.is_null().any():
            raise LawDataError(f"{what} is missing in some rows; leave such rows out")
    else:
        if values.is_null().any() or not values.is_finite().all():
            raise LawDataError(f"{what} is missing or not a number in some rows; leave such rows out")
        smallest, largest = float(values.to_numpy().min()), float(values.to_numpy().max())
        size = np.abs(values.to_numpy())
        if (size > _LARGEST).any() or ((size > 0) & (size < 1 / _LARGEST)).any():
            raise LawDataError(f"{what} goes from {smallest:.4g} to {largest:.4g} in size; check its unit")
        if variable is law.response and noise.share and not 0 <= smallest <= largest <= 1:
            raise LawDataError(
                f"{what} must be a share from 0 to 1, but goes from {smallest:.4g} to {largest:.4g}; "
                "divide percentages by 100"
            )
        if variable is law.response and noise.scale == "log" and smallest <= 0:
            raise LawDataError(
                f"{what} must be positive, but the smallest is {smallest:.4g}; leave out runs that have learned "
                "nothing, or train longer"
            )
        for bad, limit, word in (
            (variable.low is not None and smallest < variable.low, variable.low, "below"),
            (variable.high is not None and largest > variable.high, variable.high, "above"),
        ):
            if bad:
                extreme = smallest if word == "below" else largest
                raise LawDataError(f"{what} is {extreme:.4g} in one row, {word} {limit:g}; check its unit")


def check_design(law: Law, data: Mapping[str, Array]) -> None:
    """Raise LawDataError unless each variable takes as many values as the law needs."""
    for variable in law.variables:
        found = np.unique(data[variable.name])
        if len(found) >= variable.levels:
            continue
        if len(found) == 1:
            only = law.levels[variable.name][int(found[0])] if variable.category else f"{found[0]:,.6g}"
            have = f"is {only} in all rows"
        else:
            have = f"has {len(found)} different values"
        raise LawDataError(f"{described(variable)} {have}; the law {law.name} needs at least {variable.levels}")


def described(variable: Variable) -> str:
    """A variable with its meaning and unit, for messages."""
    return f"{variable.name} ({variable.meaning}, {variable.unit})"


def _listed(table: pl.DataFrame) -> str:
    return ", ".join(c for c in table.columns if c not in (_HELD_OUT, _CLUSTER))
