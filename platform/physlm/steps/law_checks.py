"""Laws that the runs of an experiment could not identify, whatever is observed of them: found before anything runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import polars as pl

from physlm import fitting, laws, measures, probes
from physlm.catalog.observations import OBSERVATION_SCHEMA
from physlm.experiment import Experiment
from physlm.fitting import data
from physlm.fitting.engine import ENOUGH
from physlm.laws import Law, Variable
from physlm.tasks.task import Task
from physlm.training.config import CURVE_MEASURE


def unidentified_reason(experiment: Experiment, name: str) -> str | None:
    """Why a law can't be fitted to the runs that aren't held out, as a sentence; None unless that is certain.

    What only observations can tell, such as models that have learned nothing, is left to the step `fit`.
    """
    law = laws.registry[name]
    table = _runs(experiment)
    names = emitted(experiment)
    return (
        _misses_a_measure(law, names, experiment)
        or data.unsupported_reason(law, [*OBSERVATION_SCHEMA, *table.columns])
        or _too_few(law, table, names)
    )


def emitted(experiment: Experiment) -> list[str]:
    """Names of the observations that its runs will have; `<word>` in one stands for what only the models tell."""
    found = {CURVE_MEASURE}
    for task in _languages(experiment):
        for measure in experiment.measures:
            found |= {emission.name for emission in measures.find(measure).emits(task)}
        for probe in experiment.probes:
            found |= {emission.name for emission in probes.registry[probe].emits(task)}
    return sorted(found)


def _may_match(variable: Variable, names: Iterable[str]) -> bool:
    """Whether one of the names may hold a variable; of a name in part unknown what is known is compared."""
    names = list(names)
    if variable.matching(names):
        return True
    wanted = _beginning(re.sub(r"\\(\W)", r"\1", str(variable.measure).partition("(")[0]))
    return any(
        wanted.startswith(_beginning(name)) or _beginning(name).startswith(wanted) for name in names if "<" in name
    )


def _beginning(name: str) -> str:
    return name.partition("<")[0]


def _languages(experiment: Experiment) -> list[Task[Any]]:
    return list({run.task: run.language for run in experiment.runs}.values())


def _runs(experiment: Experiment) -> pl.DataFrame:
    """What is known of the runs to be fitted, a row each: identity, sizes, knobs, and where training will end."""
    rows = [
        {**run.description(), **vars(run.moment(run.tokens, run.instances or 0))}
        for run in experiment.runs
        if not experiment.held_out(run)
    ]
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def _misses_a_measure(law: type[Law], names: Collection[str], experiment: Experiment) -> str | None:
    for variable in (law.made_from or law.response, *law.variables):
        if variable.measure and not _may_match(variable, names):
            what = f"the law {law.name} needs {data.described(variable)}, which no measure or probe asked for gives"
            return f"{what}; {_who_gives(variable, experiment)}"
    return None


def _who_gives(variable: Variable, experiment: Experiment) -> str:
    """What to add to the file, as the end of a sentence."""
    for task in _languages(experiment):
        for kind, known in (("measure", measures.registry), ("probe", probes.registry)):
            for name, cls in known.items():
                if _may_match(variable, [emission.name for emission in cls.emits(task)]):
                    return f"add {name!r} to {kind}"
    return f"nothing measures {variable.measure} of this task"


def _too_few(law: type[Law], table: pl.DataFrame, names: Collection[str]) -> str | None:
    """Whether the values, the runs or the seeds are too few for the law."""
    table = data.with_made([*law.variables, law.response], table)
    groups = law.response.matching(names).values()
    levels: dict[str, Sequence[str]] = {}
    known: list[str] = []  # columns of the law's variables
    for variable in law.variables:
        if variable.group is not None:
            values = pl.Series([parts[variable.group] or str(variable.otherwise) for parts in groups])
        elif variable.measure is None and variable.column in table.columns:
            known.append(variable.column)
            values = table[variable.column].drop_nulls()
        else:
            continue
        if variable.category:
            levels[variable.name] = data.levels(values)
        if (count := values.n_unique()) < variable.levels:
            where = variable.column if variable.group is None else law.response.measure
            return (
                f"the law {law.name} needs at least {variable.levels} values of {data.described(variable)}, and the "
                f"runs that aren't held out have {count} in {where}"
            )
    if fitting.needed(law).places or law.made_from is not None or any(v.category for v in _unknown(law, table)):
        return None  # how many rows a run will have is not known
    rows, parameters = table.height * max(1, len(groups)), len(law(levels).parameters)
    if rows <= parameters:
        return (
            f"the law {law.name} has {parameters} parameters, and {rows} runs aren't held out; fit it to at least "
            f"{parameters + 1}"
        )
    if table.select(known).unique().height == rows and rows - parameters < ENOUGH:
        return (
            f"the law {law.name} is given one run of each condition, so noise can't be told from misfit; use at least "
            f"2 seeds, or {parameters + ENOUGH} conditions"
        )
    return None


def _unknown(law: type[Law], table: pl.DataFrame) -> list[Variable]:
    """Variables whose values only observations tell."""
    return [v for v in law.variables if v.group is None and (v.measure or v.column not in table.columns)]
