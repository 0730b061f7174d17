"""What laws are for: advice, the next experiment, conclusions under other conventions, universality."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from physlm import fitting
from physlm.errors import LawDataError, UserError
from physlm.fitting import Fit, simulate
from physlm.fitting.advice import advise, invert
from physlm.fitting.design import narrow_enough, next_conditions
from physlm.fitting.pooling import universality
from physlm.fitting.robustness import Convention, robustness, standard, under_conventions
from physlm.laws import Law, registry
from physlm.laws.capacity import Capacity
from physlm.laws.chinchilla import Chinchilla
from physlm.laws.exposures import Exposures
from physlm.laws.junk import Junk
from physlm.laws.retry import Retry
from physlm.report.law_section import conventions_text


def study(law: type[Law], number: int = 0, **knobs: Any) -> pl.DataFrame:
    return simulate(law, law.example(), np.random.default_rng([number, 21]), **knobs)


@pytest.fixture(scope="module")
def chinchilla() -> Fit:
    return fitting.fit("chinchilla", study(Chinchilla, seeds=1), resamples=200, compare=False)


# -- advice ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_best_size_under_a_budget_is_the_laws_optimum(chinchilla: Fit) -> None:
    budget = 1e21
    found = advise(chinchilla, "min", free=["N", "D"], cost="6 * N * D", budget=budget)
    size, tokens = Chinchilla().optimum(Chinchilla().named(chinchilla.values), np.array([budget]))
    best = Chinchilla().evaluate(chinchilla.values, {"N": size, "D": tokens})[0]
    assert found.cost is not None
    assert found.cost <= budget
    assert found.predicted == pytest.approx(best, rel=3e-3)
    assert found.predicted in found.interval
    assert not found.beyond


@pytest.mark.slow
def test_advice_beyond_the_tested_range_is_refused_unless_asked_for(chinchilla: Fit) -> None:
    with pytest.raises(UserError, match="beyond what the law was tested on"):
        advise(chinchilla, "min", free=["D"], at={"N": 1e15})
    found = advise(chinchilla, "min", free=["D"], at={"N": 1e12}, extrapolate=True)
    assert "N" in found.beyond
    within = advise(chinchilla, "min", free=["N", "D"])
    assert set(within.at_edge) == {"N", "D"}  # more of both is always better


def test_advice_asks_for_what_it_needs(chinchilla: Fit) -> None:
    for options, sentence in (
        ({"free": ["N"]}, "D .* is neither free nor given"),
        ({"free": ["M"]}, "has no variable 'M'"),
        ({"free": ["N", "D"], "cost": "6*N*D"}, "a cost needs a budget"),
        ({"free": ["N", "D"], "cost": "6*N*D", "budget": 1.0}, "nothing within what was tested"),
        ({"free": ["N", "D"], "cost": "6*X", "budget": 1.0}, "is no cost of N, D"),
        ({"free": ["N"], "at": {"D": "much"}}, "must be a number"),
    ):
        with pytest.raises(UserError, match=sentence):
            advise(chinchilla, "min", **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_one_new_run_lies_in_its_interval_at_the_nominal_rate() -> None:
    inside = []
    for number in range(60):
        fit = fitting.fit("retry", study(Retry, number), resamples=100, compare=False)
        found = advise(fit, "max", free=[], at={"q": 0.3})
        share = 1 - 0.22 * np.exp(-2.6 * 0.3)
        new = np.random.default_rng([number, 22]).binomial(1000, share) / 1000
        inside.append(new in found.interval)
    assert np.mean(inside) >= 0.87


@pytest.mark.slow
def test_inverting_a_law_gives_the_value_that_reaches_the_goal() -> None:
    covered = []
    truth = np.array(list(Exposures.example().truth.values()))
    goal = float(Exposures().evaluate(truth, {"E": np.array([250.0])})[0])
    for number in range(30):
        fit = fitting.fit("exposures", study(Exposures, number), resamples=200, compare=False)
        found = invert(fit, "E", goal, {})
        covered.append(250.0 in found.interval)
        assert found.value == pytest.approx(250, rel=0.25)
        assert not found.beyond
    assert np.mean(covered) >= 0.8
    with pytest.raises(UserError, match="beyond that it was not tested"):
        invert(fit, "E", float(fit.values[0]) * 0.999, {})
    with pytest.raises(UserError, match="not 5"):
        invert(fit, "E", 5.0, {}, extrapolate=True)


# -- the next experiment -----------------------------------------------------------------------------------------------


def test_the_chosen_conditions_shrink_the_interval_more_than_others() -> None:
    candidates = pl.DataFrame({"E": [10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0]})
    truth = Exposures.example().truth

    def width(extra: list[float]) -> float:
        """Of the interval of c_max, with four runs more: the mean over studies."""
        found = []
        for number in range(6):
            table = study(Exposures, number)
            rng = np.random.default_rng([number, 23])
            clean = Exposures().evaluate(np.array(list(truth.values())), {"E": np.array(extra)})
            more = pl.DataFrame({"E": extra, "c": clean * np.exp(0.02 * rng.standard_normal(len(extra)))})
            fit = fitting.fit("exposures", pl.concat([table.select("E", "c"), more]), resamples=200, compare=False)
            e = fit.estimate("c_max")
            found.append(e.interval.high - e.interval.low)
        return float(np.mean(found))

    fit = fitting.fit("exposures", study(Exposures), resamples=100, compare=False)
    design = next_conditions(fit, candidates, "c_max", budget=4)
    chosen = [candidates["E"][i] for i in design.rows]
    assert design.cost == 4
    assert list(design.widths) == sorted(design.widths, reverse=True)
    assert width(chosen) < width([30.0, 30.0, 100.0, 100.0])


def test_a_design_spends_its_budget_where_it_is_worth_it() -> None:
    fit = fitting.fit("exposures", study(Exposures), resamples=100, compare=False)
    candidates = pl.DataFrame({"E": [300.0, 10_000.0], "price": [1.0, 1e6]})
    assert set(next_conditions(fit, candidates, "c_max", budget=10, cost="price").rows) == {0}
    with pytest.raises(UserError, match="no candidate costs at most"):
        next_conditions(fit, candidates, "c_max", budget=0.5, cost="price")
    assert next_conditions(fit, candidates, fit.derived[-1].name, budget=1, cost="price").rows == (0,)


def test_one_stops_when_an_interval_is_narrow_enough() -> None:
    fit = fitting.fit("exposures", study(Exposures), resamples=100, compare=False)
    assert narrow_enough(fit, "c_max", 0.5)
    assert not narrow_enough(fit, "c_max", 1e-6)


# -- conventions and universality --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_conclusions_that_a_convention_turns_are_flagged() -> None:
    """Sizes that count an embedding of 2·10⁹ parameters give other exponents."""
    table = study(Chinchilla, seeds=1)
    usual = fitting.fit("chinchilla", table, resamples=100, compare=False)
    conventions = [*standard(Chinchilla, table, usual), Convention("with embeddings", {"N": pl.col("N") + 2e9})]
    outcomes = under_conventions(Chinchilla, table, conventions, resamples=100, compare=False)
    flips = {o.name: o.flips for o in outcomes}
    assert "alpha" in flips["with embeddings"]
    assert not flips["without the smallest N"]
    assert not flips["without the largest N"]
    assert sum("furthest" in name for name in flips) == 1


def test_a_convention_under_which_nothing_can_be_fitted_says_so() -> None:
    table = study(Exposures)
    (_, other) = under_conventions(Exposures, table, [Convention("one", keep=pl.col("E") == 10)], resamples=50)
    assert other.fit is None
    assert "is 10 in all rows" in other.refused


def test_one_constant_for_all_or_one_for_each() -> None:
    kinds = {"a": 2.2, "b": 2.2, "c": 2.2}
    for changed, verdict in (({}, "universal"), ({"c": 1.4}, "differing")):
        tables = []
        for number, (kind, c_max) in enumerate({**kinds, **changed}.items()):
            table = study(Exposures, number, seeds=3)
            tables.append(table.with_columns(pl.col("c") * c_max / 2.2, pl.lit(kind).alias("task")).drop("run_id"))
        found = universality(Exposures, pl.concat(tables), "task", resamples=100)
        assert found.verdict == verdict
        shared = {s.parameter: s for s in found.parameters}
        assert (shared["c_max"].chance < 1e-3) == (verdict == "differing")
        assert shared["gamma"].chance > 1e-3
        assert set(found.separate) == set(kinds)
    with pytest.raises(LawDataError, match="needs at least 2 values"):
        universality(Exposures, pl.concat(tables[:1]), "task")


@pytest.mark.slow
def test_every_law_can_give_advice() -> None:
    for name, law in registry.items():
        fit = fitting.fit(name, study(law), resamples=30, compare=False)
        numbers = [v.name for v in law.variables if not v.category][:1]
        at = {v.name: fit.levels[v.name][0] if v.category else fit.data[v.name][0] for v in law.variables}
        found = advise(fit, "max", free=numbers, at={k: v for k, v in at.items() if k not in numbers})
        assert np.isfinite(found.predicted), name


def test_columns_that_no_task_has_are_made_of_its_knobs() -> None:
    rows = study(Junk)
    knobs = rows.select(
        "run_id",
        pl.col("E").alias("training.exposures"),
        (pl.col("junk") != "none").cast(pl.Float64).mul(0.875).alias("task.junk_fraction"),
        (pl.col("junk") == "tagged").alias("task.tag"),
        pl.lit("bits_per_parameter").alias("measure"),
        pl.col(Junk.response.name).alias("value"),
    )
    needed = fitting.needed(Junk)
    assert {"task.junk_fraction", "task.tag", "training.exposures"} <= set(needed.columns)
    assert needed.measures(["loss", "bits_per_parameter", "bits_per_parameter_max"]) == ["bits_per_parameter"]
    made = fitting.fit("junk", knobs, resamples=30, compare=False)
    named = fitting.fit("junk", rows, resamples=30, compare=False)
    assert made.levels == named.levels
    assert made.values == pytest.approx(named.values)


def test_a_catalogues_table_is_tried_under_the_other_count_of_parameters() -> None:
    """Counted with an embedding that no run uses, capacity per parameter is another."""
    wide = study(Capacity).with_columns((pl.col("P") + 4e3).alias("parameters"))
    runs = wide.select("run_id", "parameters", "E", pl.col("P").alias("parameters_counted"))
    runs = runs.rename({"E": "training.exposures"})
    long = pl.concat(
        runs.with_columns(pl.lit(measure).alias("measure"), wide[name].alias("value"))
        for name, measure in (("B", "bits_max"), ("bits", "learned_bits"))
    )
    usual = fitting.fit("capacity", long, resamples=50, compare=False)
    outcomes = {o.name: o for o in robustness(Capacity, long, usual, resamples=50, compare=False)}
    assert outcomes["as usual"].fit is not None
    assert outcomes["as usual"].fit.values == pytest.approx(usual.values)
    assert "c_max" in outcomes["with all parameters counted"].flips
    told = conventions_text([o.to_json() for o in outcomes.values()])
    assert "Some conclusions depend on them" in told
    assert "with all parameters counted" in told
