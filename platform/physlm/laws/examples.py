"""Examples: a study that identifies a law, and the smallest experiment whose observations feed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass(frozen=True)
class TinyExperiment:
    """The smallest experiment that writes all that a law reads, as an experiment file has it; seconds on one core.

    task, measure, vary, probe, model, training, seeds   as in the file; what a model and a training lack is tiny
    truth   parameters by name that so small a grid identifies, where the example's own are of another size
    beside  measures that the law reads beside its response, as regular expressions, each with a lowest and a highest
            value: runs that have learned nothing show no differences, so the contract test spreads numbers between them
    plant   for laws that derive their response: sets the rows that it is derived from to what the law says of them.
            Takes a catalogue's table and the parameters by name
    """

    task: Mapping[str, Any]
    measure: Sequence[str]
    vary: Mapping[str, Sequence[Any]]
    probe: Sequence[Mapping[str, Any]] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1)
    truth: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    plant: Callable[[pl.DataFrame, Mapping[str, float]], pl.DataFrame] | None = None

    def document(self, law: str) -> dict[str, Any]:
        """The experiment file's document for the law of this name."""
        has_budget = {"tokens", "exposures"} & {*self.training, *(path.split(".")[-1] for path in self.vary)}
        return {
            "apiVersion": "physlm/v1",
            "kind": "Experiment",
            "name": law.replace("_", "-"),
            "question": f"Does the law {law} hold?",
            "task": dict(self.task),
            "model": {"type": "gpt2", "layers": 1, "heads": 1, "width": 8, **self.model},
            "training": {"batch_size": 8, **({} if has_budget else {"tokens": 600}), **self.training},
            "vary": {path: list(values) for path, values in self.vary.items()},
            "seeds": list(self.seeds),
            "measure": list(self.measure),
            "probe": [dict(probe) for probe in self.probe],
            "laws": [law],
        }


@dataclass(frozen=True)
class Example:
    """A study that identifies a law: what its tests simulate, and what people can start a design from.

    design      a row for each condition: the variables by name, and what the noise asks for
    truth       the parameters' values by name, as published where they are
    hold_out    the conditions that the others should predict
    experiment  the smallest one that feeds the law from real runs
    spread      scatter of one run: of the response's logarithm, or of the response; shares scatter by their items
    """

    design: pl.DataFrame
    truth: Mapping[str, float]
    hold_out: pl.Expr
    experiment: TinyExperiment
    spread: float = 0.02


# Tasks and grids that several laws are fed from.
BIOGRAPHIES = {"type": "biod", "people": 400, "vocabulary": 16, "diversity": 16}
QUESTIONS = {
    "people": 40,
    "sentences": 2,
    "names": [10, 10, 10],
    "qa_fraction": 0.5,
    "years": 5,
    "cities": 5,
    "universities": 5,
    "majors": 5,
    "companies": 5,
}
PROBLEMS = {
    "type": "igsm",
    "max_op": 5,
    "max_edges": 3,
    "max_depth": 2,
    "max_width": 2,
    "modulus": 7,
    "max_tokens": 192,
    "chains": 1,
    "names": 4,
    "letters": 7,
}
GRAMMAR = {"type": "cfg", "sizes": [1, 2, 2], "degree": [2, 2], "length": [2, 2]}
SHOWN_FEW_TIMES = {"training.exposures": [1, 2, 3, 4]}
SIZES_AND_TOKENS = {"model.width": [8, 12, 16], "training.tokens": [300, 600, 1200, 2400]}
SHORT_PROBE = {"instances": 60, "questions": 200, "steps": 2}
