r"""Two laws in a row: a loss from size and data, and an accuracy from the loss (Bhagia et al. 2024, arXiv 2412.04403).

    accuracy(N, D) = g(f(N, D)),    f such as `chinchilla`, g such as `skill`

What a prediction doesn't know comes from both steps. Each resample draws runs once and fits both laws to them, so that
a run that is lucky in its loss is lucky in both; the noise of a new run is that of its loss, carried through g, and
that of its accuracy about g.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from physlm.errors import LawDataError
from physlm.fitting.data import wide
from physlm.fitting.engine import fit
from physlm.fitting.intervals import Linear, reach
from physlm.fitting.optimizer import Problem, solve
from physlm.fitting.result import Fit, HeldOut
from physlm.fitting.simulation import columns_of
from physlm.laws.law import Interval, Law
from physlm.laws.scales import Array


@dataclass(frozen=True)
class Chain:
    """Two fits in a row; `link` is the variable of the second that the first one predicts.

    held_out     conditions that neither step has seen, with the accuracy that both together predict
    draws        of both laws' parameters together, from the same resamples: [resamples, k] each
    """

    first: Fit
    second: Fit
    link: str
    held_out: tuple[HeldOut, ...]
    draws: tuple[Array, Array]
    _linear: tuple[Linear, Linear]
    _dispersion: tuple[float, float]

    @property
    def error(self) -> float | None:
        """Mean error on held-out conditions; of accuracies a difference, 0.02 for two points."""
        return float(np.mean([h.error_ratio for h in self.held_out])) if self.held_out else None

    def predict(self, data: Mapping[str, Array], items: float | None = None) -> tuple[Array, Array, Array]:
        """The response of the second law with its interval, [n] each: value, low, high.

        data: the variables of the first law, and those of the second beside the link. items: of one new run whose
        response is a share of so many, whose noise then counts; none for the curve alone.
        """
        one, two = self.first.model, self.second.model
        loss = one.evaluate(self.first.values, data)
        center = two.locate(self.second.values, {**data, self.link: loss})
        losses = one.evaluate(self.draws[0], data)  # [b, n]
        drawn = np.stack(
            [two.locate(values, {**data, self.link: own}) for values, own in zip(self.draws[1], losses, strict=True)]
        )
        freedom = np.minimum(*(self._freedom(i, data, loss) for i in (0, 1)))
        below, above = reach(drawn - center, self.first.level, freedom)
        if items is None:
            return two.restore(center), two.restore(center - below), two.restore(center + above)
        scatter, linear = self._linear[1].problem.likelihood, self._linear
        wobble = stats.t.ppf(0.5 + self.first.level / 2, linear[0].freedom_left) * np.sqrt(self._dispersion[0])
        shifted = [
            two.locate(self.second.values, {**data, self.link: one.restore(_located(one, loss) + sign * wobble)})
            for sign in (-1, 1)
        ]
        below = np.hypot(below, np.maximum(0.0, center - np.minimum(*shifted)))
        above = np.hypot(above, np.maximum(0.0, np.maximum(*shifted) - center))
        ends = [
            scatter.predictive(
                center[i : i + 1],
                below[i : i + 1],
                above[i : i + 1],
                items,
                self._dispersion[1],
                linear[1].freedom_left,
                self.first.level,
            )
            for i in range(len(center))
        ]
        low, high = np.array(ends).T
        return two.restore(center), low, high

    def _freedom(self, step: int, data: Mapping[str, Array], loss: Array) -> Array:
        model = (self.first.model, self.second.model)[step]
        inputs = data if step == 0 else {**data, self.link: loss}
        return self._linear[step].freedom(lambda coordinates: model.locate(model.values(coordinates), inputs))

    def summary(self) -> str:
        """A few lines for people."""
        inside = sum(h.inside for h in self.held_out)
        lines = [f"{self.first.model.title}, then {self.second.model.title}"]
        if self.held_out:
            lines.append(
                f"  {inside} of {len(self.held_out)} held-out conditions lie in their prediction intervals through "
                f"both steps; mean error {self.error:.3g}"
            )
        for h in self.held_out:
            at = ", ".join(f"{name} {value:.4g}" for name, value in h.variables.items())
            lines.append(
                f"  {at}: observed {h.observed:.4g}, predicted {h.predicted:.4g} "
                f"[{h.interval.low:.4g}, {h.interval.high:.4g}]"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: both fits, and the test of the two steps together."""
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "error": self.error,
            "held_out": [h.score() for h in self.held_out],
        }


def chain(
    first: type[Law],
    second: type[Law],
    table: pl.DataFrame,
    *,
    hold_out: pl.Expr | str | None = None,
    columns: Mapping[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    compare: bool = True,
) -> Chain:
    """Fit two laws to one table of runs, a catalogue's or any other with a row for each run.

    The first law's response must be a variable of the second: they share a measure, or `columns` maps both to one
    column. compare: whether to fit their rivals too. Raises LawDataError, with one sentence, where the laws don't
    follow each other or one can't be fitted.
    """
    mapped = dict(columns or {})
    link = _link(first, second, mapped)
    runs = _runs(first, second, link, table, mapped, hold_out)
    fits = [
        fit(
            law,
            runs,
            hold_out="held out",
            cluster=["run_id"],
            resamples=resamples,
            seed=seed,
            level=level,
            compare=compare,
        )
        for law in (first, second)
    ]
    used = runs.filter(~pl.col("held out"))
    linear = [_linear(each, used) for each in fits]
    rng = np.random.Generator(np.random.Philox(seed))
    counts = rng.multinomial(used.height, np.full(used.height, 1 / used.height), resamples).astype(float)
    draws = []
    for each, own in zip(fits, linear, strict=True):
        start = np.repeat(own.coordinates[None], resamples, axis=0)
        with np.errstate(all="ignore"):
            found = solve(own.problem, start, weights=counts, tolerance=1e-7).coordinates
        draws.append(each.model.values(found))
    both = linear[0], linear[1]
    made = Chain(fits[0], fits[1], link, (), (draws[0], draws[1]), both, _dispersions(both))
    return replace(made, held_out=tuple(_test(made, runs.filter("held out"))))


def _link(first: type[Law], second: type[Law], columns: Mapping[str, str]) -> str:
    response = first.response
    for v in second.variables:
        same = v.measure is not None and v.measure == response.measure
        if same or columns.get(v.name, v.name) == columns.get(response.name, response.name):
            return v.name
    raise LawDataError(
        f"the law {second.name} has no variable that is the response of {first.name} ({response.meaning}); it has "
        + ", ".join(f"{v.name} ({v.meaning})" for v in second.variables)
    )


def _runs(
    first: type[Law],
    second: type[Law],
    link: str,
    table: pl.DataFrame,
    columns: Mapping[str, str],
    hold_out: pl.Expr | str | None,
) -> pl.DataFrame:
    """One row for each run, with the variables of both laws by name."""
    chosen = pl.col(hold_out) if isinstance(hold_out, str) else pl.lit(False) if hold_out is None else hold_out
    marked = table.with_columns(chosen.fill_null(False).alias("held out"))
    if "measure" in table.columns:
        one, two = wide(first, marked, ["held out"]), wide(second, marked)
        shared = [name for name in two.columns if name in one.columns and name != "run_id"]
        return one.join(two.drop(shared), on="run_id").with_columns(pl.col(first.response.name).alias(link))
    named = marked.with_columns(pl.col(column).alias(name) for name, column in columns.items())
    response = first.response.name
    known = response if response in named.columns else link
    if known not in named.columns:
        raise LawDataError(f"the table has no column {response!r} for {first.response.meaning}")
    named = named.with_columns(pl.col(known).alias(response), pl.col(known).alias(link))
    return named if "run_id" in named.columns else named.with_row_index("run_id")


def _linear(fitted: Fit, runs: pl.DataFrame) -> Linear:
    form = fitted.model
    data = {**columns_of(form, runs), form.response.name: runs[form.response.name].cast(pl.Float64).to_numpy()}
    noise = fitted.linear.problem.noise
    detail = runs[noise.detail.name].cast(pl.Float64).to_numpy() if noise.detail else np.ones(runs.height)
    return Linear(
        Problem(form, fitted.linear.problem.likelihood, data, detail),
        form.coordinates(fitted.values),
        np.arange(runs.height),
    )


def _dispersions(linear: tuple[Linear, Linear]) -> tuple[float, float]:
    found = []
    for each in linear:
        problem = each.problem
        location = problem.location(each.coordinates[None])[0]
        found.append(problem.likelihood.dispersion(location, problem.outcome, problem.detail, each.freedom_left))
    return found[0], found[1]


def _located(law: Law, response: Array) -> Array:
    return np.log(response) if law.noise.scale == "log" else response


def _test(made: Chain, runs: pl.DataFrame) -> list[HeldOut]:
    """Each held-out condition, with the mean of its seeds."""
    second = made.second.model
    names = [v.name for v in made.first.model.variables] + [
        v.name for v in second.variables if v.name != made.link and v.name not in made.first.data
    ]
    found = []
    for _, rows in runs.group_by(names, maintain_order=True):
        point = {name: rows[name].cast(pl.Float64).to_numpy()[:1] for name in names}
        detail = made._linear[1].problem.noise.detail
        items = float(rows[detail.name].sum()) if detail else 1.0
        value, low, high = made.predict(point, items)
        observed = float(rows[second.response.name].mean())  # type: ignore[arg-type]
        scale = 1.0 if second.noise.share else abs(observed)
        interval = Interval(float(low[0]), float(high[0]), made.first.level)
        variables = {name: float(x[0]) for name, x in point.items()}
        found.append(HeldOut(variables, observed, float(value[0]), interval, rows.height, scale))
    return found
