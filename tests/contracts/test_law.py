"""What every law must do, whatever it is: a new file in physlm.laws is tested here by being there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
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
from physlm.laws import Anchor, Law, latex, registry
from physlm.laws.chinchilla import Chinchilla
from physlm.laws.examples import Example
from physlm.laws.exposures import Exposures
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables, attribute_of
from physlm.registry import nearest

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


def unsaid(law: type[Law]) -> Iterator[str]:
    """What a law doesn't say of itself, or says wrongly, as sentences."""
    whose = f"the law {law.name}"
    if not law.title:
        yield f"{whose} has no title"
    if not (law.__doc__ or "").strip():
        yield f"{whose} has no docstring; say in one line what it claims"
    if law.size not in {v.name for v in law.variables}:
        names = [v.name for v in law.variables]
        yield f"{whose} has the size {law.size!r}, which is no variable; {nearest(law.size, names)}"
    for v in (*law.variables, law.response):
        what = f"the variable {v.name} of {whose}"
        if not v.meaning:
            yield f"{what} has no meaning"
        if not v.unit:
            yield f'{what} has no unit; write "1" for a pure number'
        if not (v.column or v.measure):
            yield f"{what} has neither a column nor a measure, so no experiment can feed it"
        if not attribute_of(v.name).isidentifier():
            yield f"{what} can't be written as x.{v.name} in a formula; name it by letters, digits and _"
    example = law.example()
    form = form_of(law, example.design)
    names = [p.name for p in form.parameters]
    for p in form.parameters:
        what = f"the parameter {p.name} of {whose}"
        if names.count(p.name) > 1:
            yield f"{what} is declared twice"
        if not attribute_of(p.name).isidentifier():
            yield f"{what} can't be written as p.{p.name} in a formula; name it by letters, digits and _"
        if not p.meaning:
            yield f"{what} has no meaning"
        if not p.unit:
            yield f'{what} has no unit; write "1" for a pure number'
        if p.scale == "log" and p.low <= 0:
            yield f"{what} has the scale log, so its lowest value must be above 0, but is {p.low:g}"
        outside = [guess for guess in p.guesses if not p.low <= guess <= p.high]
        if outside:
            yield f"{what} is searched from {outside[0]:g}, which lies outside of {p.low:g} to {p.high:g}"
        if p.name not in example.truth:
            yield f"{what} has no value in the truth of example(); it has {', '.join(example.truth)}"
        elif not p.low < example.truth[p.name] < p.high:
            yield f"{what} is {example.truth[p.name]:g} in example(), which lies outside of {p.low:g} to {p.high:g}"
    for name in sorted(set(example.truth) - set(names)):
        yield f"the truth of example() of {whose} has {name!r}, which is no parameter; {nearest(name, names)}"
    quantities = form.derived_quantities(form.inputs(columns_of(form, example.design)))
    for q in quantities:
        if not (q.meaning and q.unit):
            yield f"the derived quantity {q.name} of {whose} has no meaning or no unit"
    anchors = [(q.name, anchor) for q in (*form.parameters, *quantities) for anchor in q.anchors]
    if not (anchors or form.source):
        yield f"{whose} names nothing that is published: give its parameters anchors, or say its source"
    for name, anchor in anchors:
        if not anchor.source:
            yield f"an anchor of {name} of {whose} has no source"
        if anchor.low > anchor.high:
            yield f"an anchor of {name} of {whose} goes down, from {anchor.low:g} to {anchor.high:g}"
    if "<math" not in convert(law.latex):
        yield f"the LaTeX of {whose} can't be set: {law.latex}"


@every_law
def test_it_says_what_it_is_and_what_is_published(name: str) -> None:
    found = list(unsaid(registry[name]))
    assert not found, "; ".join(found)


def test_what_a_law_leaves_unsaid_is_told() -> None:
    half = replace(Exposures.parameters[1], unit="")

    class Careless(Exposures):
        name = "careless"
        title = ""
        source = ""
        size = "e"
        parameters = (replace(Exposures.parameters[0], anchors=(Anchor(1, 1, ""),)), half, Exposures.parameters[2])

    told = list(unsaid(Careless))
    assert "the law careless has no title" in told
    assert any(each.startswith("the law careless has the size 'e', which is no variable") for each in told)
    assert 'the parameter E_0 of the law careless has no unit; write "1" for a pure number' in told
    assert "an anchor of c_max of the law careless has no source" in told


@every_law
def test_its_latex_is_the_formula(name: str) -> None:
    """Of the law and its rivals, at parameters about the true or guessed ones."""
    example = registry[name].example()
    form, _ = true_values(name)
    for each in (form, *(rival(form.levels) for rival in form.rivals)):
        reason = wrong_latex(each, example)
        assert reason is None, reason


def wrong_latex(form: Law, example: Example) -> str | None:
    """Where a form's LaTeX differs from what it predicts, as a sentence; None where it doesn't."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(example.design.height)[:8]
    data = {variable: column[rows] for variable, column in columns_of(form, example.design).items()}
    guessed = {p.name: p.guesses[0] for p in form.parameters}
    center = form.coordinates(form.vector({**guessed, **{p: v for p, v in example.truth.items() if p in guessed}}))
    for _ in range(3):
        values = form.values(np.clip(center + 0.1 * rng.standard_normal(len(center)), *form.bounds()))
        said, predicted = latex.evaluate(form, values, data), form.evaluate(values, data)
        wrong = np.flatnonzero(~np.isclose(said, predicted, rtol=1e-6, atol=1e-12))
        if len(wrong):
            i = int(wrong[0])
            inputs = ", ".join(f"{variable} = {column[i]:.4g}" for variable, column in data.items())
            parameters = ", ".join(f"{p.name} = {v:.4g}" for p, v in zip(form.parameters, values, strict=True))
            return (
                f"the LaTeX of the law {form.name} isn't its formula: it gives {said[i]:.6g} where predict gives "
                f"{predicted[i]:.6g}, at {inputs} with {parameters}: {form.latex}"
            )
    return None


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (r"c_{\max} \frac{E^{-\gamma}}{E^{\gamma} + E_0^{\gamma}}", "isn't its formula: it gives"),
        (r"c_{\max} \frac{E^{\gamma}}{E^{\gamma} - E_0^{\gamma}}", "isn't its formula: it gives"),
        (r"c_{\max} \frac{E^{\gama}}{E^{\gamma} + E_0^{\gamma}}", "has the symbol 'gama', .* did you mean 'gamma'?"),
        (r"c_{\max} \frac{E^{\gamma}}{E^{\gamma} + E_0^{\gamma}", "where '}' should be"),
    ],
)
def test_a_wrong_latex_is_caught_with_a_sentence(planted: str, told: str) -> None:
    class Planted(Exposures):
        latex = rf"c(E) = {planted}"

    try:
        found = wrong_latex(Planted(), Exposures.example())
    except LawDataError as error:
        found = str(error)
    assert found is not None
    assert re.search(told, found), found


@every_law
def test_its_forms_agree_with_themselves(name: str) -> None:
    """Of the law and its rivals: one batch or one by one, location and response, exact slopes and differences."""
    table = study(name, 1)
    form, _ = true_values(name)
    for each in (form, *(rival(form.levels) for rival in form.rivals)):
        disagreement = disagreeing(each, table)
        assert disagreement is None, disagreement


def disagreeing(form: Law, table: pl.DataFrame) -> str | None:
    """What of a form doesn't agree with the rest of it, as a sentence; None where all does."""
    whose = f"of the law {form.name}"
    data = {**columns_of(form, table), form.response.name: table[form.response.name].to_numpy()}
    inputs = columns_of(form, table)
    values = form.starts(form.inputs(data))[:5]
    together = form.evaluate(values, inputs)
    if together.shape != (len(values), table.height):
        return (
            f"predict {whose} gives the shape {together.shape} for {len(values)} sets of parameters and {table.height} "
            "rows; parameters p.name are [..., 1] and variables x.name [n], so that their product is [..., n]"
        )
    if not np.allclose(together, [form.evaluate(v, inputs) for v in values], rtol=1e-12, atol=0):
        return f"predict {whose} gives other values for several sets of parameters at once than for each alone"
    restored = form.restore(form.locate(values, inputs))
    if not np.allclose(restored, together, rtol=1e-9, atol=1e-12):
        worst = np.unravel_index(np.argmax(np.abs(restored - together)), together.shape)
        return (
            f"location {whose} isn't its response on the scale {form.noise.scale}: it stands for "
            f"{restored[worst]:.6g} where predict gives {together[worst]:.6g}"
        )
    coordinates = form.coordinates(values)
    exact = form.slopes(coordinates, form.locate(values, data), data)
    for i, p in enumerate(form.parameters):
        step = 1e-5 * np.eye(len(form.parameters))[i]
        ahead, behind = (form.locate(form.values(coordinates + sign * step), data) for sign in (1, -1))
        difference = (ahead - behind) / 2e-5
        wrong = ~np.isclose(exact[:, i], difference, rtol=2e-3, atol=1e-4)
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0])
            along = "the logarithm of " if p.scale == "log" else ""
            return (
                f"the slope {whose} along {along}{p.name} is wrong: {exact[:, i][at]:.6g} where differences of the "
                f"{form.noise.scale} response give {difference[at]:.6g}"
            )
    return None


def test_a_wrong_slope_is_told() -> None:
    class Planted(Chinchilla):
        def slope(self, p: Parameters, x: Variables, location: Array) -> Mapping[str, Array]:
            found = super().slope(p, x, location)
            return {**found, "alpha": -found["alpha"]}

    told = disagreeing(Planted(), study("chinchilla", 1))
    assert told is not None
    assert told.startswith("the slope of the law chinchilla along alpha is wrong:")


# -- what it recovers --------------------------------------------------------------------------------------------------


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
