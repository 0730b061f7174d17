"""Every law can be named in an experiment: real tasks, measures, probes and learning curves write all that it asks for.

The experiment is that of the law's own example: its runs are trained for a few steps, measured and collected. Nothing
is learned in so short a time, so what the law is about is then set to what the law says, in the rows that were written,
and the law is fitted as `physlm run` does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from physlm import catalog, experiment, fitting, laws, measures, steps
from physlm.catalog.observations import OBSERVATION_SCHEMA
from physlm.experiment import Experiment
from physlm.fitting import form_of
from physlm.fitting.data import unsupported_reason, wide
from physlm.fitting.simulation import columns_of
from physlm.launch import planning
from physlm.laws import Law
from physlm.laws.capacity import Capacity
from physlm.laws.noise import Binomial
from physlm.probes import depth
from physlm.steps.collect import Collect
from physlm.steps.fit import Fit
from physlm.steps.measure import Measure
from physlm.steps.plan import Plan
from physlm.steps.probe import Probe
from physlm.store import Store, open_store
from physlm.training.loop import Options, train

GOLDEN = 0.381966  # of a turn: steps that spread numbers evenly, however many there are
every_law = pytest.mark.parametrize("name", list(laws.registry))


def experiment_of(law: type[Law]) -> Experiment:
    document = law.example().experiment.document(law.name)
    return experiment.parse(yaml.safe_dump(document), steps.known_names())


def columns(made: Experiment) -> list[str]:
    """Those of a catalogue's table of the experiment."""
    return list(dict.fromkeys([*OBSERVATION_SCHEMA, *(name for run in made.runs for name in run.description())]))


@pytest.mark.slow
@every_law
def test_its_experiment_can_be_planned_and_has_the_columns_that_the_law_reads(name: str, tmp_path: Path) -> None:
    law = laws.registry[name]
    made = experiment_of(law)
    Plan().run(open_store(tmp_path), made)
    reason = unsupported_reason(law, columns(made))
    assert reason is None, reason


def test_a_misspelt_column_or_measure_is_named_with_the_right_one() -> None:
    size, exposures, world = Capacity.variables
    known = columns(experiment_of(Capacity))

    class Misspelt(Capacity):
        variables = (replace(size, column="parameter_counted"), exposures, world)

    told = unsupported_reason(Misspelt, known)
    assert told is not None
    assert "P (parameters in use, parameters) from the column 'parameter_counted', which no run has" in told
    assert "did you mean 'parameters_counted'?" in told

    class Unmeasured(Capacity):
        response = replace(Capacity.response, measure="learned_bit")

    told = unsupported_reason(Unmeasured, known, ["learned_bits", "bits_max"])
    assert told is not None
    assert "from the measure 'learned_bit', which nothing emits; did you mean 'learned_bits'?" in told

    class Made(Capacity):
        variables = (size, replace(exposures, column="made", made='"training.exposure" * 2'), world)

    assert "did you mean 'training.exposures'?" in str(unsupported_reason(Made, known))

    class Grouped(Capacity):
        variables = (size, replace(exposures, column="{question}"), world)

    assert "no measure of it has such a group" in str(unsupported_reason(Grouped, known))


@pytest.mark.slow
@every_law
def test_its_experiment_feeds_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for measure in measures.registry.values():
        if measure.samples is not None:
            monkeypatch.setattr(measure, "samples", 20)
    monkeypatch.setattr(depth, "FEWEST", 2)
    law = laws.registry[name]
    store, made = open_store(tmp_path), experiment_of(law)
    steps.check(made)
    for cohort in planning.cohorts(made.runs):
        train(store, cohort, Options(torch.device("cpu")))
    for step in (Measure, Probe):
        step(processes=1).run(store, made)  # this one, where all is made fast
    Collect().run(store, made)
    measured = catalog.read(store, f"{made.key}/observations.parquet")["measure"].drop_nulls().unique().sort()
    reason = unsupported_reason(law, columns(made), measured.to_list())
    assert reason is None, reason
    truth = simulate(store, made, law)
    (fit,) = Fit().run(store, made) or pytest.fail(str(catalog.queries.fitted(store, made.key, made.file.laws)[1]))
    assert fit.converged, f"the fit of {name} to its own experiment does not converge"
    assert set(truth) == {e.name for e in fit.estimates}
    data = {variable: np.array(column) for variable, column in fit.data.items()}
    said = fit.model.evaluate(fit.model.vector(truth), data)
    np.testing.assert_allclose(fit.model.evaluate(fit.values, data), said, rtol=5e-3, atol=2e-3)


def simulate(store: Store, made: Experiment, law: type[Law]) -> dict[str, float]:
    """Set what was observed to what the law says of it; returns the parameters that it says it with."""
    tiny = law.example().experiment
    key = f"{made.key}/observations.parquet"
    table = catalog.read(store, key)
    for pattern, (low, high) in tiny.beside.items():
        here = table["measure"].str.contains(f"^({pattern})$")
        assert here.any(), f"the experiment of {law.name} gives no row of {pattern}, which its example spreads"
        table = table.with_columns(value=pl.when(here).then(spread(here, low, high)).otherwise(pl.col("value")))
    if isinstance(law.noise, Binomial):  # items enough for a precise test
        table = table.with_columns(n=pl.when(pl.col("n").is_not_null()).then(10**6))
    if tiny.plant is not None:
        catalog.write(store, tiny.plant(table, tiny.truth), key)
        return dict(tiny.truth)
    catalog.write(store, table, key)
    rows = wide(law, catalog.queries.table_of(store, made.key, law.name))
    form = form_of(law, rows)
    known = {**law.example().truth, **tiny.truth}
    truth = {p.name: known.get(p.name, p.guesses[0]) for p in form.parameters}
    found = form.evaluate(form.vector(truth), columns_of(form, rows))
    scatter = 0 if law.noise.share else 1e-3 * np.random.default_rng(0).standard_normal(len(found))
    found = found * np.exp(scatter)
    names = law.response.matching(table["measure"].unique())
    by_place = pl.any_horizontal(pl.col("layer", "position").is_not_null()) == fitting.needed(law).places
    here = table.select(by_place & table["measure"].is_in(list(names)))["layer"]
    assert here.sum() == len(found)
    values = dict(zip(np.flatnonzero(here), found, strict=True))
    table = table.with_columns(value=pl.Series([values.get(i, v) for i, v in enumerate(table["value"])]))
    catalog.write(store, table, key)
    return truth


def spread(here: pl.Series, low: float, high: float) -> pl.Series:
    """A number between low and high for each row that is meant."""
    place = here.cast(pl.Int64).cum_sum() - 1
    return low + (high - low) * (place * GOLDEN % 1)
