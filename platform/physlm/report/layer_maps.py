"""What measures say of a model's layers, of the condition that the page looks into: before and after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import polars as pl

from physlm.catalog import Emission
from physlm.catalog.emission import UNTRAINED, BeforeAndAfter, LayerMap
from physlm.report import formatting, tables
from physlm.report.conditions import Condition
from physlm.report.page_data import Evidence
from physlm.report.tables import Cell, Heading, Table

Values = Mapping[tuple[int, int], float]
"""By layer and place."""


@dataclass(frozen=True)
class LayerValues:
    """One map of one condition, means over its seeds: after training and before.

    name     of what is drawn
    columns  names of the columns, where each is an observation of its own; else they are positions
    """

    name: str
    drawing: LayerMap
    columns: Sequence[str]
    condition: Condition
    trained: Values
    untrained: Values

    @property
    def layers(self) -> list[int]:
        return sorted({layer for layer, _ in self.trained})

    @property
    def places(self) -> list[int]:
        return sorted({place for _, place in self.trained})

    def label(self, place: int) -> str:
        """A place for people."""
        return self.columns[place] if self.columns else str(place)

    @property
    def finding(self) -> str:
        """Which columns are above a half in which layers, or the largest value, in a sentence.

        The latter behind the embedding, where all is as it was put.
        """
        if self.columns:
            return f"{self.drawing.finding}: {formatting.several(list(self._most()))}."
        inner = {at: value for at, value in self.trained.items() if 0 < at[0] < max(self.layers)}
        at, value = max((inner or self.trained).items(), key=lambda item: item[1])
        before = self.untrained.get(at)
        text = f"{self.drawing.finding}, {formatting.percent(value)}, at layer {at[0]} and {self.drawing.axis} {at[1]}"
        return f"{text} (before training {formatting.percent(before)})." if before is not None else f"{text}."

    def _most(self) -> Iterator[str]:
        """Each column with the layers in which its value is above a half."""
        for place in self.places:
            layers = [layer for layer in self.layers if self.trained.get((layer, place), 0.0) > 0.5]
            if layers:
                plural = "s" if len(layers) > 1 else ""
                yield f"{self.label(place)} (layer{plural} {formatting.several(list(map(str, layers)))})"


def found(evidence: Evidence, conditions: Sequence[Condition]) -> list[LayerValues]:
    """All maps of the condition trained most."""
    titles: dict[str, list[tuple[Emission, LayerMap]]] = {}
    for emission, drawing in evidence.declarations.drawn_as(LayerMap):
        titles.setdefault(drawing.title, []).append((emission, drawing))
    rows = evidence.observations.filter(pl.col("layer").is_not_null(), pl.col("value").is_not_null())
    result = []
    for group in titles.values():
        own = _own(rows, group)
        present = set(own.filter(~pl.col("before"))["run_id"])
        if candidates := [c for c in conditions if any(run.run_id in present for run in c.runs)]:
            condition = max(candidates, key=lambda c: c.runs[0].flops)
            means = own.filter(pl.col("run_id").is_in([run.run_id for run in condition.runs])).sort("run_id")
            means = means.group_by("before", "layer", "position", maintain_order=True).agg(pl.col("value").mean())
            values: dict[bool, dict[tuple[int, int], float]] = {False: {}, True: {}}
            for row in means.iter_rows(named=True):
                values[row["before"]][row["layer"], row["position"]] = row["value"]
            emission, drawing = group[0]
            columns = [d.column for _, d in group if d.column is not None]
            name = emission.name.rpartition(".")[0] if columns else emission.name
            result.append(LayerValues(name, drawing, columns, condition, values[False], values[True]))
    return result


def _own(rows: pl.DataFrame, group: Sequence[tuple[Emission, LayerMap]]) -> pl.DataFrame:
    """The rows of one map, `before` training or after; a column's number is the position of its rows."""
    parts = []
    for place, (emission, drawing) in enumerate(group):
        for before, name in ((False, emission.name), (True, f"{emission.name}{UNTRAINED}")):
            own = rows.filter(pl.col("measure") == name, pl.col("target").eq_missing(pl.lit(emission.target)))
            if drawing.column is None:
                own = own.filter(pl.col("position").is_not_null())
            else:
                own = own.filter(pl.col("position").is_null()).with_columns(pl.lit(place, pl.Int64).alias("position"))
            parts.append(own.with_columns(pl.lit(before).alias("before")))
    return pl.concat(parts)


def table(evidence: Evidence, conditions: Sequence[Condition]) -> Table | None:
    """What such measures say of the model as a whole, with what they say before training."""
    rows = _of_wholes(evidence)
    present = set(rows["run_id"])
    candidates = [c for c in conditions if any(run.run_id in present for run in c.runs)]
    if not candidates:
        return None
    runs = [run.run_id for run in max(candidates, key=lambda c: c.runs[0].flops).runs]
    whole = rows.filter(pl.col("run_id").is_in(runs)).sort("run_id")
    grouped = {
        row["measure"]: row
        for row in whole.group_by("measure", maintain_order=True)
        .agg(
            pl.col("value").mean(),
            pl.col("value").std().alias("spread"),
            pl.col("stderr").mean(),
            pl.len().alias("seeds"),
            pl.col("unit").first(),
        )
        .iter_rows(named=True)
    }

    def cell(name: str) -> Cell:
        row = grouped.get(name)
        if row is None:
            return Cell(formatting.MISSING)
        error = row["stderr"] if row["seeds"] == 1 else row["spread"] / sqrt(row["seeds"])
        return Cell(formatting.with_error(row["value"], error))

    measures = sorted(name for name in grouped if not name.endswith(UNTRAINED))
    cells = [
        [
            Cell(name.replace(".", ": ").replace("_", " ")),
            cell(name),
            cell(f"{name}{UNTRAINED}"),
            Cell(grouped[name]["unit"]),
        ]
        for name in measures
    ]
    caption = "Of models as wholes: mean over seeds ± its standard error (over instances where there is one seed)."
    heads = [Heading("measure", number=False), Heading("after training"), Heading("before training")]
    return Table(caption, [*heads, Heading("unit", number=False)], cells)


def by_condition(evidence: Evidence, conditions: Sequence[Condition]) -> Table | None:
    """What such measures say of trained models as wholes, for each condition; None where there is one condition."""
    rows = _of_wholes(evidence).filter(~pl.col("measure").str.ends_with(UNTRAINED))
    units = dict(rows.select("measure", "unit").unique().sort("measure").iter_rows())
    if not units or len(conditions) < 2:
        return None
    table = tables.runs(evidence, conditions, units)
    return tables.captioned(table, "Of models as wholes, by condition: mean ± its standard error over seeds.")


def _of_wholes(evidence: Evidence) -> pl.DataFrame:
    names = [
        name
        for name in evidence.measured["measure"].unique()
        if (emission := evidence.declarations.whole(name.removesuffix(UNTRAINED))) is not None
        and isinstance(emission.drawing, BeforeAndAfter)
    ]
    return evidence.measured.filter(pl.col("measure").is_in(names)).drop_nulls("value")
