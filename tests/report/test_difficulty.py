"""Accuracy by difficulty on the page: a figure by operations, a table by evaluation."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import polars as pl
import pytest

from physlm import catalog
from physlm.evaluation.declarations import declarations
from physlm.experiment import Experiment
from physlm.report import difficulty, page
from physlm.report.conditions import conditions
from physlm.report.page_data import gather
from physlm.store import LocalStore, layout

Simulate = Callable[..., Experiment]
ROWS = [
    # measure, value by width, operations
    ("accuracy", {8: 0.5, 12: 0.8}, None),
    ("accuracy", {8: 0.6, 12: 0.9}, 3),
    ("accuracy", {8: 0.4, 12: 0.7}, 4),
    ("accuracy.op_7", {8: 0.1, 12: 0.2}, None),
    ("accuracy.op_7", {8: 0.1, 12: 0.2}, 7),
    ("accuracy.reask", {8: 0.3, 12: 0.5}, None),
    ("accuracy.reask", {8: 0.3, 12: 0.6}, 6),
    ("accuracy.reask", {8: 0.3, 12: 0.4}, 9),
]


@pytest.fixture
def measured(simulate: Simulate, store: LocalStore, text: str) -> Experiment:
    small = text.replace("[8, 12, 16, 20, 24]", "[8, 12]").replace("exposures: [100, 300, 1000]", "exposures: [100]")
    experiment = simulate(small.replace("hold_out: {model.width: [24]}\n", ""))
    key = layout.observations_key(experiment.key)
    table = catalog.read(store, key)
    one = table.filter(pl.col("measure") == "loss")
    width = pl.col("model.width")
    rows = [
        one.with_columns(
            pl.lit(measure).alias("measure"),
            (pl.when(width == 8).then(values[8]).otherwise(values[12]) + 0.01 * pl.col("seed") - 0.005).alias("value"),
            pl.lit(0.02).alias("stderr"),
            pl.lit("1").alias("unit"),
            pl.lit(None if operations is None else "operations", pl.String).alias("target"),
            pl.lit(operations, pl.Int64).alias("position"),
            pl.lit("accuracy-v1").alias("source"),
        )
        for measure, values, operations in ROWS
    ]
    catalog.write(store, pl.concat([table, *rows]), key)
    return experiment


@pytest.mark.slow
def test_operations_of_training_go_on_in_evaluations_of_one_number(measured: Experiment, store: LocalStore) -> None:
    evidence = gather(store, measured, declarations())
    grid = conditions(evidence)
    (part,) = difficulty.found(evidence, grid)
    low, high = part.series
    assert (low.name, high.name) == ("width 8, exposures 100", "width 12, exposures 100")
    assert list(high.trained) == [3, 4]
    assert list(high.beyond) == [7]  # those of `reask` differ in more than the number
    assert high.trained[3].value == pytest.approx(0.9)  # of two seeds
    assert high.trained[3].stderr == pytest.approx(0.02 / sqrt(2))  # of the questions: seeds differ by less
    assert part.table is not None
    assert [h.text for h in part.table.headings[-3:]] == ["accuracy", "accuracy.op 7", "accuracy.reask"]


@pytest.mark.slow
def test_the_page_shows_them(measured: Experiment, store: LocalStore) -> None:
    html = store.get(page.write(store, measured, declarations())).decode()
    assert "Accuracy by difficulty" in html
    assert "from 60 % at 3 to 10 % at 7 (width 8, exposures 100)" in html
    assert store.exists(f"{measured.key}/figures/accuracy_by_operations.svg")


@pytest.mark.slow
def test_without_questions_there_is_nothing_to_show(simulate: Simulate, store: LocalStore) -> None:
    experiment = simulate()
    evidence = gather(store, experiment, declarations())
    assert difficulty.found(evidence, conditions(evidence)) == []
    assert "Accuracy by difficulty" not in store.get(page.write(store, experiment, declarations())).decode()
