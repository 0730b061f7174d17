"""Figures of every law: whatever its noise, its scales and its categories, it can be drawn."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

from physlm import fitting
from physlm.fitting import Fit, simulate
from physlm.fitting.pooling import universality
from physlm.laws import registry
from physlm.laws.exposures import Exposures
from physlm.report.figures import Drawing, groups, held_out, interval, isoflop, law, profiles, residuals


def fitted(name: str) -> Fit:
    cls = registry[name]
    table = simulate(cls, cls.example(), np.random.default_rng(2))
    return fitting.fit(name, table, hold_out=cls.example().hold_out, resamples=40, compare=False)


def check(drawing: Drawing | None) -> None:
    assert drawing is not None
    drawing.figure.canvas.draw()  # tick labels and layout are made here
    for axes in drawing.figure.axes:
        limits = np.array([axes.get_xlim(), axes.get_ylim()])
        assert np.isfinite(limits).all()
        assert (limits[:, 0] != limits[:, 1]).all()
    assert drawing.finding.endswith(".")
    assert "nan" not in drawing.finding
    plt.close(drawing.figure)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(registry))
def test_every_law_can_be_drawn(name: str) -> None:
    fit = fitted(name)
    for drawing in (law.draw(fit), held_out.draw(fit), residuals.draw(fit), profiles.draw(fit)):
        check(drawing)
    if any(e.anchors for e in (*fit.estimates, *fit.derived)):
        check(interval.draw(fit))
    figure, axes = plt.subplots()
    fit.plot(axes)
    assert len(axes.get_lines()) == 3
    plt.close(figure)


def test_equal_compute_is_drawn_for_chinchilla_alone() -> None:
    check(isoflop.draw(fitted("chinchilla")))
    assert isoflop.draw(fitted("retry")) is None


def test_pooled_and_separate_are_drawn_together() -> None:
    tables: list[Any] = [
        simulate(Exposures, Exposures.example(), np.random.default_rng(i)).with_columns(
            pl.lit(f"task {i}").alias("task")
        )
        for i in range(4)
    ]
    found = universality(Exposures, pl.concat(tables).drop("run_id"), "task", resamples=40)
    assert found.partial
    check(groups.draw(found.to_json()))
