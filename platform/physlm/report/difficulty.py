"""Measures by difficulty: in every evaluation of the task, and by what the position of an observation counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import polars as pl

from physlm.catalog.emission import Columns, Emission, Lines
from physlm.report import conditions as grid
from physlm.report import tables
from physlm.report.conditions import Condition, spread
from physlm.report.page_data import Evidence
from physlm.tasks.capabilities import Asks, supports

MOST_SERIES = 8


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its standard error."""

    value: float
    stderr: float


@dataclass(frozen=True)
class Series:
    """One condition's values: `trained` where questions are those of training, `beyond` in other evaluations."""

    name: str
    trained: Mapping[int, Mean]
    beyond: Mapping[int, Mean]


@dataclass(frozen=True)
class Difficulty:
    """A part of the page: a measure by position, or its evaluations, or both."""

    title: str
    emission: Emission | None
    series: Sequence[Series]
    table: tables.Table | None

    @property
    def id(self) -> str:
        """Of the part, on the page."""
        return self.title.lower().replace(" ", "-").replace(".", "-")


def found(evidence: Evidence, conditions: Sequence[Condition]) -> list[Difficulty]:
    """All parts for which there is something to show."""
    by_base = {name: table for names, table in evaluations(evidence, conditions) for name in names}
    parts, shown = [], set()
    for emission, lines in evidence.declarations.drawn_as(Lines):
        if emission.variant_of is None and (series := by_position(evidence, conditions, emission)):
            table = by_base.get(emission.name)
            shown.add(id(table))
            parts.append(Difficulty(lines.title, emission, series, table))
    for table in {id(table): table for table in by_base.values() if id(table) not in shown}.values():
        parts.append(Difficulty(table.caption.partition(":")[0], None, (), table))
    return parts


def by_position(evidence: Evidence, conditions: Sequence[Condition], emission: Emission) -> list[Series]:
    """Of at most MOST_SERIES conditions; nothing where there is one position only.

    Of the evaluations other than the task's own, those count whose observations all have one position.
    """
    places = evidence.observations.filter(
        pl.col("target") == emission.target, pl.col("position").is_not_null(), pl.col("layer").is_null()
    ).drop_nulls("value")
    variants = [
        name
        for name in places["measure"].unique()
        if any(e.by == emission.by and e.variant_of == emission.name for e in evidence.declarations.of(name))
    ]
    rows = places.filter(pl.col("measure").is_in([emission.name, *variants]))
    if rows["position"].n_unique() < 2:
        return []
    single = rows.group_by("measure").agg(pl.col("position").n_unique() == 1).filter("position")["measure"]
    shown = spread([c for c in conditions if any(run.run_id in set(rows["run_id"]) for run in c.runs)], MOST_SERIES)
    result = []
    for condition in shown:
        own = rows.filter(pl.col("run_id").is_in([run.run_id for run in condition.runs]))
        trained = _means(own.filter(pl.col("measure") == emission.name))
        beyond = _means(own.filter(pl.col("measure").is_in(single.implode()), pl.col("measure") != emission.name))
        result.append(Series(grid.title(condition), trained, {p: m for p, m in beyond.items() if p not in trained}))
    return result


def _means(rows: pl.DataFrame) -> dict[int, Mean]:
    """Means over seeds; the error is that of seeds or of their questions, whichever is larger."""
    means = {}
    for (position,), group in rows.group_by("position", maintain_order=True):
        seeds = group.height
        asked = sqrt(float((group["stderr"] ** 2).sum())) / seeds
        between = float(group["value"].std() or 0.0) / sqrt(seeds) if seeds > 1 else 0.0  # type: ignore[arg-type]
        means[int(position)] = Mean(float(group["value"].mean()), max(asked, between))  # type: ignore[arg-type]
    return dict(sorted(means.items()))


def evaluations(evidence: Evidence, conditions: Sequence[Condition]) -> list[tuple[list[str], tables.Table]]:
    """Tables of conditions by evaluation, in the task's order, with the names of what stands in its own questions."""
    titles: dict[str, dict[str, list[str]]] = {}
    units = {}
    for name in dict.fromkeys(name for c in conditions for name in c.measured):
        emission = evidence.declarations.whole(name)
        if emission is not None and isinstance(emission.drawing, Columns) and emission.variant_of is not None:
            titles.setdefault(emission.drawing.title, {}).setdefault(emission.variant_of, []).append(name)
            units[name] = units[emission.variant_of] = emission.unit
    language = evidence.experiment.runs[0].language
    order = list(language.evaluations) if supports(language, Asks) else []
    result = []
    for title, bases in titles.items():
        names = []
        for base, variants in bases.items():
            known = [f"{base}.{evaluation}" for evaluation in order]
            names.append(base)
            names += sorted(variants, key=lambda name: (known.index(name) if name in known else len(known), name))
        table = tables.runs(evidence, conditions, {name: units[name] for name in names})
        result.append(
            (list(bases), tables.captioned(table, f"{title}: {table.caption[:1].lower()}{table.caption[1:]}"))
        )
    return result
