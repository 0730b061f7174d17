"""Accuracy by difficulty: in every evaluation, and by the operations that the right answer takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import polars as pl

from physlm.report import formatting, tables
from physlm.report.conditions import Condition, label, spread
from physlm.report.page_data import Evidence
from physlm.tasks.capabilities import Asks, supports

MEASURE = "accuracy"
BY_OPERATIONS = "operations"
MOST_SERIES = 8


@dataclass(frozen=True)
class Share:
    """A share of right answers with its standard error."""

    value: float
    stderr: float


@dataclass(frozen=True)
class Series:
    """One condition's accuracy: `operations` where questions are those of training, `beyond` in other evaluations."""

    name: str
    operations: Mapping[int, Share]
    beyond: Mapping[int, Share]


def by_operations(evidence: Evidence, conditions: Sequence[Condition]) -> list[Series]:
    """Of at most MOST_SERIES conditions; nothing where all answers take as many operations.

    Of the evaluations other than the task's own, those count whose questions all take one number of operations.
    """
    rows = evidence.observations.filter(
        pl.col("target") == BY_OPERATIONS, pl.col("position").is_not_null(), pl.col("measure").str.starts_with(MEASURE)
    ).drop_nulls("value")
    if rows["position"].n_unique() < 2:
        return []
    single = rows.group_by("measure").agg(pl.col("position").n_unique() == 1).filter("position")["measure"]
    shown = spread([c for c in conditions if any(run.run_id in set(rows["run_id"]) for run in c.runs)], MOST_SERIES)
    result = []
    for condition in shown:
        own = rows.filter(pl.col("run_id").is_in([run.run_id for run in condition.runs]))
        inside = _shares(own.filter(pl.col("measure") == MEASURE))
        beyond = _shares(own.filter(pl.col("measure").is_in(single.implode()), pl.col("measure") != MEASURE))
        result.append(Series(name(condition), inside, {p: s for p, s in beyond.items() if p not in inside}))
    return result


def _shares(rows: pl.DataFrame) -> dict[int, Share]:
    """Means over seeds; the error is that of seeds or of their questions, whichever is larger."""
    shares = {}
    for (position,), group in rows.group_by("position", maintain_order=True):
        seeds = group.height
        asked = sqrt(float((group["stderr"] ** 2).sum())) / seeds
        between = float(group["value"].std() or 0.0) / sqrt(seeds) if seeds > 1 else 0.0  # type: ignore[arg-type]
        shares[int(position)] = Share(float(group["value"].mean()), max(asked, between))  # type: ignore[arg-type]
    return dict(sorted(shares.items()))


def name(condition: Condition) -> str:
    """What tells the condition from others."""
    values = [f"{label(path)} {formatting.level(value)}" for path, value in condition.values.items()]
    return ", ".join(values) or "all runs"


def table(evidence: Evidence, conditions: Sequence[Condition]) -> tables.Table | None:
    """Conditions by evaluations, in the task's order; None where there is one evaluation only."""
    names = dict.fromkeys(m for c in conditions for m in c.measured if m == MEASURE or m.startswith(f"{MEASURE}."))
    if len(names) < 2:
        return None
    language = evidence.experiment.runs[0].language
    known = [MEASURE, *(f"{MEASURE}.{name}" for name in (language.evaluations if supports(language, Asks) else {}))]
    ordered = sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))
    return tables.runs(evidence, conditions, dict.fromkeys(ordered, "1"))
