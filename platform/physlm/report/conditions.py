"""An experiment's conditions with what was measured in each, over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from physlm.experiment import Value
from physlm.report import formatting
from physlm.report.page_data import Evidence
from physlm.runs import Run
from physlm.telemetry.conditions import per_condition

SIZE = "parameters_counted"


@dataclass(frozen=True)
class Measured:
    """A measure's mean over a condition's seeds, with the standard error of that mean and its known levels."""

    mean: float
    stderr: float | None
    seeds: int
    chance: float | None
    floor: float | None
    ceiling: float | None


@dataclass(frozen=True)
class Condition:
    """One condition: its varied knobs, its runs (one for each seed), and its measures by name."""

    values: Mapping[str, Value]
    runs: Sequence[Run]
    held_out: bool
    measured: Mapping[str, Measured]

    @property
    def parameters(self) -> int:
        """Counted parameters."""
        return self.runs[0].parameters_counted

    def level(self, quantity: str) -> Value:
        """The condition's value of a varied knob, or of SIZE; a list as text."""
        value = self.parameters if quantity == SIZE else self.values[quantity]
        return str(value) if isinstance(value, list) else value


def conditions(evidence: Evidence) -> list[Condition]:
    """All conditions, in the order of the experiment's grid."""
    experiment = evidence.experiment
    measured: dict[str, dict[str, Measured]] = {}
    for row in per_condition(evidence.measured, experiment.varied).iter_rows(named=True):
        measured.setdefault(row["condition"], {})[row["measure"]] = Measured(
            row["value"], row["stderr"], int(row["seeds"]), row["chance"], row["floor"], row["ceiling"]
        )
    runs: dict[str, list[Run]] = {}
    for run in experiment.runs:
        runs.setdefault(run.condition_id, []).append(run)
    return [
        Condition(experiment.values(group[0]), group, experiment.held_out(group[0]), measured.get(condition, {}))
        for condition, group in runs.items()
    ]


def varying(all_conditions: Sequence[Condition]) -> list[str]:
    """What tells the conditions apart: the model's size first, then the knobs that it doesn't already stand for."""
    sizes = {condition.parameters for condition in all_conditions}
    quantities = [SIZE] if len(sizes) > 1 else []
    for name in all_conditions[0].values:
        if len({(condition.parameters, condition.level(name)) for condition in all_conditions}) > len(sizes):
            quantities.append(name)
    return quantities


def levels(all_conditions: Iterable[Condition], quantity: str) -> list[Value]:
    """The distinct values of a quantity: numbers in their order, others as they come."""
    found = list(dict.fromkeys(condition.level(quantity) for condition in all_conditions))
    return sorted(found) if is_number(found) else found  # type: ignore[type-var]


def is_number(values: Iterable[Value]) -> bool:
    """Whether the values can be an axis."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def title(condition: Condition) -> str:
    """What tells the condition from others, for people."""
    values = [f"{label(path)} {formatting.level(value)}" for path, value in condition.values.items()]
    return ", ".join(values) or "all runs"


def label(quantity: str) -> str:
    """A quantity's name for people: the last part of its path, with the section's where that says too little."""
    if quantity == SIZE:
        return "parameters"
    section, _, name = quantity.partition(".")
    return f"{section} {name}" if name in ("seed", "type") else name.rpartition(".")[2].replace("_", " ")


def spread(items: Sequence[Condition], most: int) -> list[Condition]:
    """At most so many of the conditions, evenly spread over them, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]
