"""What probes read, of the condition that the page looks into: over its seeds, with the controls beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import sqrt

import polars as pl

from physlm.report import formatting, tables
from physlm.report.conditions import Condition, spread
from physlm.report.page_data import Evidence
from physlm.report.tables import Cell, Heading, Table

PREFIX = "probe."
MOST_CONDITIONS = 6
_CONTROLS = ("untrained", "shuffled", "selectivity")


@dataclass(frozen=True)
class Reading:
    """Mean over seeds with its standard error, and the accuracy of the majority class."""

    value: float
    stderr: float | None
    chance: float | None
    n: int | None


@dataclass(frozen=True)
class Probed:
    """One probe's readings of one condition.

    axis      "layer" or "position": what the places are; None where there is one place only
    readings  by what was read with (nothing, or the name of a control), target and place; None for the whole model's
    """

    probe: str
    condition: Condition
    axis: str | None
    readings: Mapping[tuple[str, str, int | None], Reading]

    @cached_property
    def targets(self) -> list[str]:
        """Targets: those of one kind together, in the order of their numbers."""
        return sorted({target for _, target, _ in self.readings}, key=_by_number)

    @cached_property
    def places(self) -> list[int]:
        """Layers or positions."""
        return sorted({place for _, _, place in self.readings if place is not None})

    def get(self, target: str, place: int | None, control: str = "") -> Reading | None:
        """One reading; of controls for the model as a whole, the one at the place that stands for it."""
        if place is None and control and self.places:
            place = self.places[-1] if self.axis == "layer" else self.places[0]
        return self.readings.get((control, target, place))


def _by_number(target: str) -> tuple[str, int, str]:
    stem, number = re.fullmatch(r"(.*?)(\d*)", target).groups()  # type: ignore[union-attr]
    return stem, int(number or 0), target


def probed(evidence: Evidence, conditions: Sequence[Condition]) -> list[Probed]:
    """What each probe of the experiment has read, in the file's order; of the condition trained most."""
    table = _readings(evidence)
    candidates = _present(table, conditions)
    if not candidates:
        return []
    condition = max(candidates, key=lambda c: c.runs[0].flops)
    found = (_of_condition(table, probe, condition) for probe in evidence.experiment.probes)
    return [one for one in found if one is not None]


def elsewhere(found: Probed, evidence: Evidence, conditions: Sequence[Condition]) -> list[Probed]:
    """What the same probe has read of at most MOST_CONDITIONS conditions, this one's among them or not."""
    table = _readings(evidence)
    each = (_of_condition(table, found.probe, c) for c in spread(_present(table, conditions), MOST_CONDITIONS))
    return [one for one in each if one is not None]


def _readings(evidence: Evidence) -> pl.DataFrame:
    return evidence.observations.filter(pl.col("measure").str.starts_with(PREFIX)).drop_nulls("value")


def _present(table: pl.DataFrame, conditions: Sequence[Condition]) -> list[Condition]:
    present = set(table["run_id"])
    return [c for c in conditions if any(run.run_id in present for run in c.runs)]


def _of_condition(table: pl.DataFrame, probe: str, condition: Condition) -> Probed | None:
    rows = table.filter(
        pl.col("run_id").is_in([run.run_id for run in condition.runs]),
        pl.col("measure").str.starts_with(f"{PREFIX}{probe}."),
    )
    return None if rows.is_empty() else _gather(probe, condition, rows)


def _gather(probe: str, condition: Condition, rows: pl.DataFrame) -> Probed:
    axis = next((name for name in ("layer", "position") if rows[name].is_not_null().any()), None)
    if axis is not None and rows[axis].drop_nulls().n_unique() == 1:  # read at one place, which stands for the model
        rows, axis = rows.filter(pl.col(axis).is_not_null()), None
    place = pl.lit(None, pl.Int64) if axis is None else pl.col(axis)
    kind = pl.col("measure").str.split(".").list.last()
    grouped = (
        rows.with_columns(
            place.alias("place"), pl.when(kind.is_in(_CONTROLS)).then(kind).otherwise(pl.lit("")).alias("control")
        )
        .sort("run_id")
        .group_by("control", "target", "place", maintain_order=True)
        .agg(
            pl.col("value").mean(),
            pl.col("value").std().alias("spread"),
            pl.col("stderr").mean(),
            pl.len().alias("seeds"),
            pl.col("chance").mean(),
            pl.col("n").sum(),
        )
    )
    readings = {
        (row["control"], row["target"], row["place"]): Reading(
            row["value"],
            row["stderr"] if row["seeds"] == 1 else row["spread"] / sqrt(row["seeds"]),
            row["chance"],
            row["n"],
        )
        for row in grouped.iter_rows(named=True)
    }
    return Probed(probe, condition, axis, readings)


def name(text: str) -> str:
    """A probe or a target for people."""
    return text.replace("_", " ")


def finding(found: Probed) -> str:
    """What the model as a whole tells, in a sentence."""
    parts = []
    for target in found.targets:
        reading = found.get(target, None)
        before, shuffled = (found.get(target, None, control) for control in ("untrained", "shuffled"))
        if reading is not None and before is not None and shuffled is not None:
            parts.append(
                f"{name(target)} {formatting.percent(reading.value)} (before training "
                f"{formatting.percent(before.value)}, "
                f"majority class {formatting.percent(reading.chance)}, shuffled labels "
                f"{formatting.percent(shuffled.value)})"
            )
    return f"Read right {_where(found)}: {formatting.several(parts)}."


def comparison(found: Sequence[Probed], names: Sequence[str]) -> str:
    """What conditions tell at the first place and at each target's best one, means over targets, in a sentence."""
    parts = []
    for one, condition in zip(found, names, strict=True):
        first, best = [], []
        for target in one.targets:
            values = {place: reading.value for place in one.places if (reading := one.get(target, place))}
            if one.places[0] in values:
                first.append(values[one.places[0]])
                best.append(max(values.values()))
        if first:
            ends = f"{formatting.percent(sum(first) / len(first))} and {formatting.percent(sum(best) / len(best))}"
            parts.append(f"{ends} ({condition})")
    where = f"{found[0].axis} {found[0].places[0]} and at each target's best {found[0].axis}"
    return f"Read right at {where}, mean over targets: {formatting.several(parts)}."


def answer(found: Probed) -> str:
    """What the probe says to the experiment's question, of the target that it reads best beyond chance."""
    gains = {
        target: reading.value - before.value
        for target in found.targets
        if (reading := found.get(target, None)) and (before := found.get(target, None, "untrained"))
    }
    best = max(gains, key=lambda target: gains[target])
    reading, before = found.get(best, None), found.get(best, None, "untrained")
    assert reading is not None
    assert before is not None
    return (
        f"The {name(found.probe)} probe reads {name(best)} right in {formatting.percent(reading.value)} of "
        "unseen cases "
        f"{_where(found)}, and in {formatting.percent(before.value)} before training; the majority class gives "
        f"{formatting.percent(reading.chance)}."
    )


def _where(found: Probed) -> str:
    if found.axis == "layer":
        return f"at the last of {len(found.places) - 1} layers"
    return "at the first position" if found.axis == "position" else "from the last state"


def table(found: Probed) -> Table:
    """Each target with its controls."""
    rows = []
    for target in found.targets:
        reading = found.get(target, None)
        if reading is None:
            continue
        cells = [Cell(name(target)), _cell(reading), Cell(formatting.number(reading.chance))]
        cells += [_cell(found.get(target, None, control)) for control in _CONTROLS]
        rows.append([*cells, Cell(f"{reading.n:,}" if reading.n else formatting.MISSING)])
    heads = ("majority class", "before training", "shuffled labels", "selectivity")
    return Table(
        f"The {name(found.probe)} probe {_where(found)}: share of unseen readings that are right, "
        "± its standard error over seeds (clustered by instance where there is one seed).",
        [Heading("target", number=False), Heading("read right"), *map(Heading, heads), Heading("n", "instances")],
        rows,
    )


def by_condition(found: Probed, evidence: Evidence, conditions: Sequence[Condition]) -> Table:
    """What the probe reads of the model as a whole, for each condition."""
    table = tables.runs(evidence, conditions, {f"{PREFIX}{found.probe}.{target}": "1" for target in found.targets})
    caption = f"Read right by the {name(found.probe)} probe {_where(found)}, by condition: mean ± its standard error."
    measured = len(found.targets)
    heads = [replace(h, text=name(t)) for h, t in zip(table.headings[-measured:], found.targets, strict=True)]
    return replace(table, caption=caption, headings=[*table.headings[:-measured], *heads])


def _cell(reading: Reading | None) -> Cell:
    return Cell(formatting.MISSING if reading is None else formatting.with_error(reading.value, reading.stderr))
