"""Partial pooling: recovers what groups have in common and how much they differ, with intervals that hold."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from physlm import fitting
from physlm.errors import LawDataError
from physlm.fitting import Fit, pooling
from physlm.fitting.pooling import universality
from physlm.fitting.random_effects import pool
from physlm.laws import Interval
from physlm.laws.exposures import Exposures


def groups(count: int) -> list[str]:
    return [f"g{i}" for i in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "spread"), [(4, 0.3), (8, 0.0), (8, 0.2)])
def test_intervals_hold_the_mean_the_spread_each_group_and_a_new_one(count: int, spread: float) -> None:
    held = []
    for number in range(150):
        rng = np.random.default_rng([number, count])
        errors = rng.uniform(0.05, 0.2, count)
        truth = 1 + spread * rng.standard_normal(count)
        found = pool("x", "linear", groups(count), truth + errors * rng.standard_normal(count), errors)
        new = 1 + spread * rng.standard_normal()
        inside = np.mean([value in interval for value, interval in zip(truth, found.pooled, strict=True)])
        held.append([1 in found.mean_interval, spread in found.spread_interval, new in found.new, inside])
    # 95 % of 150 is below 89 % once in a thousand.
    assert (np.mean(held, 0) >= 0.89).all(), np.mean(held, 0)


def test_groups_are_drawn_together_as_far_as_they_are_alike() -> None:
    rng = np.random.default_rng(5)
    errors = np.full(30, 0.1)
    noise = errors * rng.standard_normal(30)
    alike = pool("x", "linear", groups(30), 1 + noise, errors)
    apart = pool("x", "linear", groups(30), 1 + 2 * rng.standard_normal(30) + noise, errors)
    assert alike.spread < 0.05
    assert np.std(alike.shrunken) < 0.5 * np.std(alike.estimates)
    assert apart.spread == pytest.approx(2, rel=0.3)
    assert np.std(apart.shrunken) == pytest.approx(np.std(apart.estimates), rel=0.02)
    width = np.mean([i.high - i.low for i in alike.pooled]) / np.mean([i.high - i.low for i in alike.alone])
    assert width < 0.6  # the others tell of a group too


def test_a_logarithmic_parameter_keeps_its_sign_and_unit() -> None:
    values = np.log([2.0, 2.2, 1.9, 2.1])
    found = pool("c", "log", groups(4), values, np.full(4, 0.02))
    assert found.mean == pytest.approx(2.05, rel=0.02)
    assert found.new.low > 0
    other = pool("c", "log", groups(4), values + np.log(1000), np.full(4, 0.02))
    assert other.mean == pytest.approx(1000 * found.mean)
    assert other.spread == pytest.approx(found.spread)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(LawDataError, match=r"identified in 3 groups.*needs at least 4"):
        pool("c", "log", groups(3), np.zeros(3), np.ones(3))


def test_an_estimate_without_a_standard_error_is_refused() -> None:
    with pytest.raises(LawDataError, match=r"c has no standard error in g2, so .* leave them out"):
        pool("c", "log", groups(5), np.zeros(5), np.array([0.1, 0.1, 0.0, 0.1, 0.1]))


@pytest.mark.parametrize(("at_bound", "why"), [(True, "lies at its bound"), (False, "runs that don't scatter")])
def test_a_group_without_a_standard_error_is_left_out_and_said(
    at_bound: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the first group's c_max gets an interval of no width, as an estimate at its bound has it."""
    law = Exposures
    tables = [
        fitting.simulate(law, law.example(), np.random.default_rng([n, 4])).with_columns(model=pl.lit(f"m{n}"))
        for n in range(5)
    ]

    def planted(law: type[Exposures], table: pl.DataFrame, **options: Any) -> Fit:
        found = fitting.fit(law, table, **options)
        if table["model"].unique().to_list() != ["m0"]:
            return found
        first, *others = found.estimates
        at = Interval(first.value, first.value, found.level)
        return replace(found, estimates=(replace(first, interval=at, at_bound=at_bound), *others))

    monkeypatch.setattr(pooling, "fit", planted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = universality(law, pl.concat(tables), "model", resamples=50)
    (c_max,) = (each for each in found.partial if each.parameter == "c_max")
    assert c_max.names == ("m1", "m2", "m3", "m4")
    assert all(0 <= each.chance <= 1 for each in found.parameters)
    (reason,) = found.not_partial
    assert reason.startswith("c_max of model = m0 is left out")
    assert why in reason
    assert reason in found.summary()


@pytest.mark.slow
def test_a_law_is_pooled_over_groups_of_runs() -> None:
    law, tables = Exposures, []
    capacities = 2.2 * np.exp(0.15 * np.random.default_rng(3).standard_normal(8))
    for number, c_max in enumerate(capacities):
        table = fitting.simulate(law, law.example(), np.random.default_rng([number, 4]))
        tables.append(table.with_columns(pl.col("c") * c_max / 2.2, pl.lit(f"m{number}").alias("model")).drop("run_id"))
    found = universality(law, pl.concat(tables), "model", resamples=100)
    pooled = {each.parameter: each for each in found.partial}
    assert 0.15 in pooled["c_max"].spread_interval
    assert pooled["c_max"].mean == pytest.approx(np.exp(np.log(capacities).mean()), rel=0.02)
    assert pooled["gamma"].spread_interval.low < 0.01
    assert "a new group in" in found.summary()
    few = universality(law, pl.concat(tables[:2]), "model", resamples=50)
    assert not few.partial
    assert "needs at least 4" in few.summary()
