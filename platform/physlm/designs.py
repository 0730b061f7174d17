"""The next experiment: new conditions and seeds of a study that narrow an interval most, as an experiment file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import yaml

from physlm import experiment as experiments
from physlm.errors import ExperimentError, UserError
from physlm.experiment import Experiment, Value
from physlm.fitting import Fit
from physlm.fitting.data import with_made
from physlm.fitting.design import Grid, next_grid
from physlm.runs import Run


@dataclass(frozen=True)
class Next:
    """An experiment's text, and the grid that it holds. The interval's width is relative to now; the cost in FLOPs."""

    text: str
    grid: Grid


def next_experiment(
    fit: Fit,
    done: Sequence[Experiment],
    observed: pl.DataFrame,
    estimate: str,
    *,
    budget: float,
    tried: Mapping[str, Sequence[Value]] | None = None,
) -> Next:
    """The grid that narrows the interval of an estimate most for a budget of FLOPs.

    done      experiments of one study that the fit is made of; the first is the model of the next
    observed  the last observation of each of their runs and measures
    tried     levels of knobs to choose from; of the other varied knobs those of the study and, of numbers, one between
              each two of them

    Measured variables of the law, such as the information in a world, are taken from runs with the same task. Raises
    UserError where nothing can be chosen.
    """
    first = done[0]
    tried = tried or {}
    axes = {path: _levels(done, path) for path in first.file.vary}
    for path, values in tried.items():
        axes[path] = list(values)
    if not axes:
        raise UserError(f"the experiment {first.name} varies nothing; give levels with --try PATH=VALUES")
    document = first.file.model_dump(mode="json", exclude_defaults=True, exclude={"hold_out", "budget"})
    seed = 1 + max(seed for each in done for seed in each.file.seeds)
    runs = {place: found for place in _places(axes) if (found := _runs(document, axes, place, seed))}
    measured = _measured(fit, done, observed)
    rows = []
    for place, found in runs.items():
        row = _variables(fit, found[0], measured)
        if row is not None:
            position = dict(zip(axes, place, strict=True))
            rows.append({**row, **position, "flops": sum(run.flops for run in found)})
    if not rows:
        raise UserError(f"no condition of {', '.join(axes)} is valid and has all variables of the law {fit.law}")
    grid = next_grid(
        fit, pl.DataFrame(rows, infer_schema_length=None), list(axes), estimate, budget=budget, cost="flops"
    )
    chosen = {path: [axes[path][i] for i in grid.levels[path]] for path in axes}
    document = {
        **document,
        "name": _name(first.name, len(done)),
        "vary": chosen,
        "seeds": list(range(seed, seed + grid.seeds)),
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    experiments.parse(text)
    return Next(text, grid)


def _levels(done: Sequence[Experiment], path: str) -> list[Value]:
    """Those that were run and, of numbers, one between each two of them."""
    known = list(dict.fromkeys(value for each in done for value in each.file.vary.get(path, [])))
    numbers = sorted(value for value in known if isinstance(value, int | float) and value > 0)
    if len(numbers) < len(known) or any(isinstance(value, bool) for value in known):
        return known
    whole = all(isinstance(value, int) for value in numbers)
    between = [(a * b) ** 0.5 for a, b in itertools.pairwise(numbers)]
    return [*sorted({*numbers, *(round(value) if whole else float(f"{value:.3g}") for value in between)})]


def _places(axes: Mapping[str, Sequence[Value]]) -> itertools.product[tuple[int, ...]]:
    return itertools.product(*(range(len(values)) for values in axes.values()))


def _runs(
    document: Mapping[str, Any], axes: Mapping[str, Sequence[Value]], place: Sequence[int], seed: int
) -> tuple[Run, ...]:
    """The runs of one condition, several where there is a sweep; none where the condition isn't valid."""
    vary = {path: [values[i]] for (path, values), i in zip(axes.items(), place, strict=True)}
    try:
        return experiments.parse(yaml.safe_dump({**document, "vary": vary, "seeds": [seed]}, sort_keys=False)).runs
    except ExperimentError:
        return ()


def _measured(fit: Fit, done: Sequence[Experiment], observed: pl.DataFrame) -> dict[tuple[str, str], float]:
    """Mean of each measured variable of the law over the runs of a world."""
    worlds = {run.run_id: run.world_id for each in done for run in each.runs}
    found = {}
    for v in fit.model.variables:
        if v.measure is None:
            continue
        rows = observed.filter(pl.col("measure") == v.measure, pl.col("value").is_not_null())
        named = rows.with_columns(pl.col("run_id").replace_strict(worlds, default=None).alias("world"))
        for world, value in named.group_by("world").agg(pl.col("value").mean()).iter_rows():
            found[v.name, world] = float(value)
    return found


def _variables(fit: Fit, run: Run, measured: Mapping[tuple[str, str], float]) -> dict[str, Any] | None:
    """The law's variables of a run before it is trained; None where one can't be known."""
    moment = asdict(run.moment(run.tokens, run.instances or 0))
    known = {**run.description(), **{name: value for name, value in moment.items() if value is not None}}
    columns = with_made(fit.model.variables, pl.DataFrame([known])).row(0, named=True)
    found: dict[str, Any] = {}
    for v in fit.model.variables:
        value = measured.get((v.name, run.world_id)) if v.measure else columns.get(str(v.column))
        if value is None or (v.category and str(value) not in fit.levels[v.name]):
            return None
        found[v.name] = str(value) if v.category else float(value)
    return found


def _name(name: str, number: int) -> str:
    return f"{name[: 40 - len(f'-next{number}')]}-next{number}"
