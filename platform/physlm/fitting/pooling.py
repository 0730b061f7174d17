"""Is a law's constant one for all tasks, sizes or architectures? Pooled against separate, and between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy import stats

from physlm.errors import LawDataError
from physlm.fitting.engine import fit
from physlm.fitting.random_effects import Pooled, has_error, pool
from physlm.fitting.result import Estimate, Fit
from physlm.laws.law import Law
from physlm.laws.scales import Array, to_scale

_STRONG = 10.0  # a difference in BIC that is very strong evidence (Kass and Raftery 1995)


@dataclass(frozen=True)
class Shared:
    """One parameter over the groups: Cochran's test of whether they agree, and how much they vary beyond chance.

    chance   how likely groups with one true value differ so much
    spread   share of the variance between groups that isn't noise (I², Higgins and Thompson 2002)
    """

    parameter: str
    chance: float
    spread: float


@dataclass(frozen=True)
class Universality:
    """One law for all groups, one for each, and what lies between.

    pooled       one fit to all
    separate     one for each group
    evidence     BIC of pooled less that of separate
    verdict      universal or differing where the evidence is very strong, undecided otherwise
    partial      parameters as drawn from one distribution over groups, where there are enough groups
    not_partial  why other parameters, or single groups, can't be pooled so
    """

    by: str
    pooled: Fit
    separate: Mapping[str, Fit]
    evidence: float
    parameters: tuple[Shared, ...]
    verdict: Literal["universal", "differing", "undecided"]
    partial: tuple[Pooled, ...]
    not_partial: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the verdict with its evidence, and each parameter with its interval, pooled and of each group."""
        return {
            "law": self.pooled.law,
            "by": self.by,
            "verdict": self.verdict,
            "evidence": self.evidence,
            "parameters": [
                {
                    **asdict(shared),
                    "pooled": _told(self.pooled, shared.parameter),
                    "separate": {name: _told(f, shared.parameter) for name, f in self.separate.items()},
                }
                for shared in self.parameters
            ],
            "partial": [each.to_json() for each in self.partial],
            "not_partial": list(self.not_partial),
        }

    def summary(self) -> str:
        """A few lines for people."""
        lines = [f"  over {self.by}: {self.verdict} (BIC of one law less that of separate ones: {self.evidence:.4g})"]
        for shared in self.parameters:
            each = ", ".join(f"{name} {f.estimate(shared.parameter).value:.4g}" for name, f in self.separate.items())
            pooled = self.pooled.estimate(shared.parameter).value
            lines.append(f"    {shared.parameter}: pooled {pooled:.4g}; {each}; alike by chance {shared.chance:.2g}")
        lines += [f"    partially pooled {each.summary()}" for each in self.partial]
        lines += [f"    not partially pooled: {reason}" for reason in self.not_partial]
        return "\n".join(lines)


def universality(law: type[Law], table: pl.DataFrame, by: str, **options: Any) -> Universality:
    """Fit a law to a table, and to each group of rows that agree in the column `by`. options: of `fit`.

    Raises LawDataError if there are no two groups, or if one can't identify the law.
    """
    if by not in table.columns:
        raise LawDataError(
            f"the table has no column {by!r} to tell groups by; its columns are {', '.join(table.columns)}"
        )
    names = table[by].drop_nulls().unique().sort()
    if len(names) < 2:
        raise LawDataError(f"{by} is the same in all rows, so nothing can be compared; it needs at least 2 values")
    options = {**options, "compare": False}
    pooled = fit(law, table, **options)
    separate = {}
    for name in names:
        try:
            separate[str(name)] = fit(law, table.filter(pl.col(by) == name), **options)
        except LawDataError as error:
            raise LawDataError(f"{by} = {name}: {error}") from None
    evidence = _bic([pooled]) - _bic(list(separate.values()))
    verdict: Literal["universal", "differing", "undecided"] = (
        "differing" if evidence > _STRONG else "universal" if evidence < -_STRONG else "undecided"
    )
    shared, partial, refused = [], [], []
    for p in pooled.model.parameters:
        if not all(p.name in {e.name for e in f.estimates} for f in separate.values()):
            continue
        known = {name: f for name, f in separate.items() if f.estimate(p.name).identified}
        values, errors = _estimates(p.name, list(known.values()))
        # Without a standard error an estimate has no weight that could be told: 1/0 would leave nothing to the others.
        weighed = has_error(values, errors)
        refused += [_unweighed(by, name, known[name].estimate(p.name)) for name in compress(known, ~weighed)]
        known = {name: known[name] for name in compress(known, weighed)}
        values, errors = values[weighed], errors[weighed]
        shared.append(_shared(p.name, values, errors))
        try:
            partial.append(pool(p.name, p.scale, list(known), values, errors, level=pooled.level))
        except LawDataError as error:
            refused.append(str(error))
    return Universality(by, pooled, separate, evidence, tuple(shared), verdict, tuple(partial), tuple(refused))


def _unweighed(by: str, group: str, e: Estimate) -> str:
    """Why an estimate can't be compared with those of other groups, as a sentence."""
    why = "lies at its bound" if e.at_bound else "is of runs that don't scatter about the law"
    return f"{e.name} of {by} = {group} is left out: it {why}, so it has no standard error"


def _told(fit: Fit, parameter: str) -> list[float]:
    e = fit.estimate(parameter)
    return [e.value, e.interval.low, e.interval.high]


def _bic(fits: Sequence[Fit]) -> float:
    """Of fits to different runs as one model, with one dispersion."""
    problems = [f.linear.problem for f in fits]
    total, scatter, freedom = 0.0, 0.0, 0
    for f, problem in zip(fits, problems, strict=True):
        location = problem.location(f.linear.coordinates[None])[0]
        total += float(problem.likelihood.loss(location, problem.outcome, problem.detail).value.sum())
        left = f.linear.freedom_left
        scatter += problem.likelihood.dispersion(location, problem.outcome, problem.detail, left) * left
        freedom += left
    detail = np.concatenate([problem.detail for problem in problems])
    count = sum(len(f.estimates) for f in fits) + 1
    return problems[0].likelihood.lack(total, detail, scatter / freedom) + count * float(np.log(len(detail)))


def _estimates(name: str, fits: Sequence[Fit]) -> tuple[Array, Array]:
    """A parameter's estimates with their standard errors, on its scale, [g] each; 0 for an interval of no width."""
    values, errors = [], []
    for f in fits:
        scale = next(p.scale for p in f.model.parameters if p.name == name)
        e = f.estimate(name)
        low, value, high = (float(to_scale(scale, np.array(x))) for x in (e.interval.low, e.value, e.interval.high))
        values.append(value)
        errors.append((high - low) / (2 * stats.norm.ppf(0.5 + f.level / 2)))
    return np.array(values), np.array(errors)


def _shared(name: str, values: Array, errors: Array) -> Shared:
    if len(values) < 2:
        return Shared(name, 1.0, 0.0)
    weight = 1 / errors**2
    mean = (weight * values).sum() / weight.sum()
    cochran = float((weight * (values - mean) ** 2).sum())
    freedom = len(values) - 1
    return Shared(name, float(stats.chi2.sf(cochran, freedom)), max(0.0, 1 - freedom / cochran) if cochran else 0.0)
