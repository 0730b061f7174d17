"""What every law must do, whatever it is: a new file in physlm.laws is tested here by being there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from latex2mathml.converter import convert

from physlm import fitting
from physlm.errors import LawDataError
from physlm.fitting.simulation import columns_of, form_of, simulate
from physlm.laws import Law, registry

LAWS = list(registry)
STUDIES = 12
every_law = pytest.mark.parametrize("name", LAWS)


def study(name: str, number: int, **knobs: Any) -> pl.DataFrame:
    law = registry[name]
    return simulate(law, law.example(), np.random.default_rng([number, 3]), **knobs)


def rng_free(name: str) -> pl.DataFrame:
    """A study whose runs lie on the law, but for what makes runs differ."""
    return study(name, 0, spread=0.0 if registry[name].noise.share else 1e-9)


def true_values(name: str) -> tuple[Law, np.ndarray[Any, np.dtype[np.float64]]]:
    law = registry[name]
    form = form_of(law, law.example().design)
    return form, np.array([law.example().truth[p.name] for p in form.parameters])


# -- what it says of itself --------------------------------------------------------------------------------------------


@every_law
def test_it_says_what_it_is(name: str) -> None:
    law = registry[name]
    form, values = true_values(name)
    assert law.title
    assert (law.__doc__ or "").strip()
    assert "<math" in convert(law.latex)
    for variable in (*law.variables, law.response):
        assert variable.meaning
        assert variable.unit
        assert variable.column or variable.measure
    assert law.size in {v.name for v in law.variables}
    assert len({p.name for p in form.parameters}) == len(form.parameters)
    for p, value in zip(form.parameters, values, strict=True):
        assert p.meaning
        assert p.unit
        assert p.low < value < p.high
        assert all(p.low <= guess <= p.high for guess in p.guesses)
        assert p.scale != "log" or p.low > 0


@every_law
def test_it_names_what_is_published(name: str) -> None:
    form, _ = true_values(name)
    quantities = form.derived_quantities(columns_of(form, registry[name].example().design))
    anchors = [a for q in (*form.parameters, *quantities) for a in q.anchors]
    assert anchors or form.source
    for anchor in anchors:
        assert anchor.low <= anchor.high
        assert anchor.source


@every_law
def test_its_forms_agree_with_themselves(name: str) -> None:
    """Of the law and its rivals: one batch or one by one, location and response, exact slopes and differences."""
    table = study(name, 1)
    form, _ = true_values(name)
    for each in (form, *(rival(form.levels) for rival in form.rivals)):
        data = {**columns_of(form, table), form.response.name: table[form.response.name].to_numpy()}
        inputs = columns_of(form, table)
        values = each.starts(data)[:5]
        together = each.predict(values, inputs)
        assert together.shape == (len(values), table.height)
        np.testing.assert_allclose(together, [each.predict(v, inputs) for v in values], rtol=1e-12)
        location = each.location(values, inputs)
        np.testing.assert_allclose(each.restore(location), together, rtol=1e-9, atol=1e-12)
        coordinates = each.coordinates(values)
        np.testing.assert_allclose(each.values(coordinates), values, rtol=1e-12)
        exact = each.slope(coordinates, each.location(values, data), data)
        step = 1e-5 * np.eye(values.shape[1])
        for i in range(values.shape[1]):
            ahead, behind = (each.location(each.values(coordinates + sign * step[i]), data) for sign in (1, -1))
            np.testing.assert_allclose(exact[:, i], (ahead - behind) / 2e-5, rtol=2e-3, atol=1e-4)


# -- what it recovers --------------------------------------------------------------------------------------------------


@every_law
def test_known_constants_are_recovered(name: str) -> None:
    form, values = true_values(name)
    fit = fitting.fit(name, rng_free(name), resamples=20)
    assert fit.converged
    found = fit.model.coordinates(fit.values)
    np.testing.assert_allclose(found, form.coordinates(values), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@every_law
def test_intervals_cover_and_held_out_conditions_are_predicted(name: str) -> None:
    """Pooled over parameters and studies, and thorough enough to catch a wrong interval; for exact rates see

    tests/benchmarks/bench_coverage.py.
    """
    law, example = registry[name], registry[name].example()
    hits, verdicts, inside = [], [], []
    for number in range(STUDIES):
        table = study(name, number)
        fit = fitting.fit(name, table, resamples=120, seed=number)
        hits += [example.truth[e.name] in e.interval for e in fit.estimates]
        tested = fitting.fit(name, table, resamples=120, seed=number, hold_out=example.hold_out)
        verdicts.append(tested.verdict)
        inside += [h.inside for h in tested.held_out]
        assert fit.converged
    # Estimates of one study go together, so the studies are what counts: 95 % gives less than 70 % once in thousands.
    assert np.mean(hits) >= 0.7
    assert np.mean(inside) >= 0.7
    assert verdicts.count("refuted") <= 2
    assert verdicts.count("supported") >= STUDIES // 2, law.name


@pytest.mark.slow
@every_law
def test_a_response_that_depends_on_nothing_supports_no_law(name: str) -> None:
    example = registry[name].example()
    table = study(name, 1)
    supported = 0
    for number in range(6):
        # With the law's own response shuffled over its conditions, what is known of each answer stays with it.
        response = [c for c in table.columns if c in (registry[name].response.name, "censored", "n")]
        order = np.random.default_rng([number, 9]).permutation(table.height)
        shuffled = table.with_columns(table.select(response)[order])
        try:
            fit = fitting.fit(name, shuffled, hold_out=example.hold_out, resamples=40)
        except LawDataError:
            continue
        supported += fit.verdict == "supported"
    assert supported <= 1


@every_law
def test_a_fit_survives_json_and_tells_itself(name: str) -> None:
    fit = fitting.fit(name, study(name, 2), hold_out=registry[name].example().hold_out, resamples=40)
    assert fitting.Fit.from_json(json.loads(json.dumps(fit.to_json(), allow_nan=False))) == fit
    assert fit.model.title in fit.summary()
    assert all(e.name in fit.summary() for e in fit.estimates)


# -- what it refuses ---------------------------------------------------------------------------------------------------


def refusals(law: type[Law]) -> Iterator[tuple[str, Callable[[pl.DataFrame], pl.DataFrame]]]:
    """Changes that leave nothing to be learned from a table."""
    response = law.response.name
    yield "no rows", lambda t: t.head(0)
    yield "one row", lambda t: t.head(1)
    yield "rows given twice", lambda t: pl.concat([t, t])
    yield "one value of everything", lambda t: t.filter(pl.struct(v.name for v in law.variables).rank("dense") == 1)
    yield "one response", lambda t: t.with_columns(pl.lit(0.5).alias(response))
    yield "negative response", lambda t: t.with_columns(-pl.col(response) - 1e-3)
    yield "text for a response", lambda t: t.with_columns(pl.lit("x").alias(response))
    for column in (*(v.name for v in law.variables), response):
        yield f"no {column}", lambda t, column=column: t.drop(column)  # type: ignore[misc]
        yield f"no values of {column}", lambda t, column=column: t.with_columns(pl.lit(None).alias(column))  # type: ignore[misc]
    for v in (*law.variables, law.response, *([law.noise.detail] if law.noise.detail else [])):
        if v.category:
            continue
        for bad in (float("nan"), float("inf")):
            yield (
                f"{bad} in {v.name}",
                lambda t, v=v, bad=bad: t.with_columns(  # type: ignore[misc]
                    pl.when(pl.int_range(pl.len()) == 3).then(bad).otherwise(pl.col(v.name)).alias(v.name)
                ),
            )
        for limit, factor in ((v.low, -1.0), (v.high, 1.0)):
            if limit is not None:
                beyond = limit + factor * (1 + abs(limit))
                yield (
                    f"{beyond} in {v.name}",
                    lambda t, v=v, beyond=beyond: t.with_columns(pl.lit(beyond).alias(v.name)),  # type: ignore[misc]
                )
    for v in law.variables:
        if v.levels > 1:
            yield f"one {v.name}", lambda t, v=v: t.filter(pl.col(v.name) == pl.col(v.name).first())  # type: ignore[misc]
    if law.noise.share:
        yield "percentages", lambda t: t.with_columns(pl.col(response) * 100)


@every_law
def test_tables_that_cannot_identify_it_are_refused(name: str) -> None:
    law, table = registry[name], study(name, 0)
    fitted: list[tuple[str, str]] = []  # shown if the test fails
    for what, change in refusals(law):
        if what == "negative response" and not (law.noise.share or law.noise.scale == "log"):
            continue
        changed = change(table)
        with pytest.raises(LawDataError) as caught:
            fitted.append((what, fitting.fit(name, changed, resamples=20).verdict))
        told = str(caught.value)
        assert told
        assert "\n" not in told
        assert len(told) < 400


NUMBERS = st.one_of(
    st.floats(),
    st.floats(min_value=0, max_value=1),
    st.floats(min_value=1, max_value=1e9),
    st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e300]),
)


@every_law
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_table_gives_a_sentence_or_an_honest_fit(name: str, data: st.DataObject) -> None:
    law = registry[name]
    table = study(name, 0).drop("run_id")
    columns = [v.name for v in (*law.variables, law.response)] + ([law.noise.detail.name] if law.noise.detail else [])
    for column in data.draw(st.lists(st.sampled_from(columns), min_size=1, max_size=2, unique=True)):
        if table[column].dtype == pl.String:
            values = data.draw(st.lists(st.sampled_from(["a", "b", ""]), min_size=table.height, max_size=table.height))
        elif data.draw(st.booleans()):  # a few bad cells
            values = table[column].cast(pl.Float64).to_list()
            for at, value in data.draw(st.dictionaries(st.integers(0, table.height - 1), NUMBERS, max_size=3)).items():
                values[at] = value
        else:
            values = data.draw(st.lists(NUMBERS, min_size=table.height, max_size=table.height))
        table = table.with_columns(pl.Series(column, values))
    table = table[data.draw(st.integers(0, 5)) :: data.draw(st.integers(1, 4))]
    fit: fitting.Fit | None
    try:
        fit = fitting.fit(name, table, resamples=20)
    except LawDataError as error:
        refusal = str(error)
        fit = None
    if fit is None:
        assert "\n" not in refusal
        return
    # What can't be trusted says so.
    assert fit.verdict == "undecided"
    for e in (*fit.estimates, *fit.derived):
        if e.identified and fit.converged:
            assert np.isfinite([e.value, e.interval.low, e.interval.high]).all()
    json.dumps(fit.to_json(), allow_nan=False)
