"""Best of a sweep: which of the swept values each condition is represented by.

Published results are often the best of a few learning rates (Part 4.1, appendix). Here the choice is made for each
condition, all its seeds together, by the loss on a validation stream, so that the test data decide nothing; it is
stored and reported, and the laws see the chosen runs alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from physlm.experiment import CHOSEN_BY, Experiment, Value
from physlm.runs import Run


@dataclass(frozen=True)
class Candidate:
    """Values of the swept knobs, and the mean validation loss over seeds, nats per token; None if a seed diverged."""

    swept: Mapping[str, Value]
    loss: float | None
    run_ids: Sequence[str]


@dataclass(frozen=True)
class Choice:
    """Of one condition, all that was tried; the best first, those without a loss last."""

    varied: Mapping[str, Value]
    candidates: Sequence[Candidate]

    @property
    def best(self) -> Candidate | None:
        """None where every candidate has diverged."""
        first = self.candidates[0]
        return None if first.loss is None else first

    @property
    def run_ids(self) -> Sequence[str]:
        """The runs that stand for the condition."""
        return self.best.run_ids if self.best else ()

    def at_edge(self, swept: Mapping[str, Sequence[Value]]) -> bool:
        """Whether the best value of a knob is the least or the largest that was tried, of three or more numbers."""
        return self.best is not None and any(
            len(values) > 2
            and all(isinstance(value, int | float) for value in values)
            and self.best.swept[path] in (min(values), max(values))  # type: ignore[type-var]
            for path, values in swept.items()
        )

    def to_json(self) -> dict[str, Any]:
        """The choice for the record."""
        rows = [
            {"swept": dict(c.swept), CHOSEN_BY: c.loss, "run_ids": list(c.run_ids), "chosen": c is self.best}
            for c in self.candidates
        ]
        return {"varied": dict(self.varied), "candidates": rows}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Choice:
        """What `to_json` has written."""
        return cls(
            document["varied"],
            [Candidate(row["swept"], row[CHOSEN_BY], row["run_ids"]) for row in document["candidates"]],
        )


def choose(experiment: Experiment, last: pl.DataFrame) -> list[Choice]:
    """The choice of each condition; none without a sweep.

    last: the last observation of each run and measure, with the columns `run_id`, `measure` and `value`.
    """
    if not experiment.file.sweep:
        return []
    measured = last.filter(pl.col("measure") == CHOSEN_BY).drop_nulls("value")
    losses = dict(zip(measured["run_id"], measured["value"], strict=True))
    groups: dict[str, dict[str, list[Run]]] = {}
    for run in experiment.runs:
        values = experiment.values(run)
        varied, swept = (json.dumps([values[path] for path in paths]) for paths in _paths(experiment))
        groups.setdefault(varied, {}).setdefault(swept, []).append(run)
    return [_choice(experiment, list(tried.values()), losses) for tried in groups.values()]


def _paths(experiment: Experiment) -> tuple[list[str], list[str]]:
    return list(experiment.file.vary), list(experiment.file.sweep)


def _choice(experiment: Experiment, tried: Sequence[Sequence[Run]], losses: Mapping[str, float]) -> Choice:
    vary, sweep = _paths(experiment)
    candidates = []
    for runs in tried:
        values = experiment.values(runs[0])
        found = [losses.get(run.run_id, math.inf) for run in runs]
        loss = math.fsum(found) / len(found) if all(map(math.isfinite, found)) else None
        candidates.append(Candidate({path: values[path] for path in sweep}, loss, [run.run_id for run in runs]))
    candidates.sort(key=lambda c: math.inf if c.loss is None else c.loss)
    values = experiment.values(tried[0][0])
    return Choice({path: values[path] for path in vary}, candidates)
