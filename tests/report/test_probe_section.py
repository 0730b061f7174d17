"""What probes have read, on the page: a heat map whose finding says it in numbers, and a table with the controls."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import polars as pl
import pytest

from physlm import catalog
from physlm.catalog import Moment, Observation
from physlm.evaluation.declarations import declarations
from physlm.experiment import Experiment
from physlm.report import page
from physlm.store import LocalStore, layout

Simulate = Callable[..., Experiment]

ACCURACY = {"symbol_2": (0.5, 0.7, 0.91), "symbol_10": (0.5, 0.8, 0.99)}


def words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def named(element: Element, name: str) -> list[Element]:
    """Elements of that name, in whatever namespace."""
    return [e for e in element.iter() if str(e.tag).rpartition("}")[2] == name]


def rows(axis: str | None, shift: float) -> list[Observation]:
    """Observations of one run, `shift` away from ACCURACY."""
    found = []
    for target, values in ACCURACY.items():
        for suffix, less in (("", 0.0), (".untrained", 0.3), (".shuffled", 0.4), (".selectivity", 0.6)):
            places: list[dict[str, Any]] = [{}] if axis is None else [{axis: i} for i in range(len(values))]
            for i, place in enumerate(places):
                value = values[i] + shift - less
                found.append(
                    Observation(
                        f"probe.linear.{target}{suffix}", value, "1", 0.01, 200, 0.4, 0.0, 1.0, target=target, **place
                    )
                )
        if axis is not None:
            whole = values[-1 if axis == "layer" else 0] + shift
            found.append(Observation(f"probe.linear.{target}", whole, "1", 0.01, 200, 0.4, 0.0, 1.0, target=target))
    return found


@pytest.fixture
def draw(simulate: Simulate, store: LocalStore, text: str) -> Callable[[str | None], tuple[str, Element]]:
    """The page of an experiment whose seeds read 0.01 above and below ACCURACY."""

    def drawn(axis: str | None) -> tuple[str, Element]:
        experiment = simulate(text.replace("laws: [capacity]", "laws: []\nprobe: [linear]"))
        key = layout.observations_key(experiment.key)
        tables = [catalog.read(store, key)]
        for run in experiment.runs:
            shift = 0.01 if run.seed else -0.01
            at = Moment(100, 1.0, 1e6)
            tables.append(catalog.table(run.description(), "probe-linear-v1", [(at, row) for row in rows(axis, shift)]))
        table = pl.concat(tables, how="diagonal_relaxed").with_columns(pl.col("held_out").fill_null(False))
        catalog.write(store, table, key)
        html = store.get(page.write(store, experiment, declarations())).decode()
        return html, html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)

    return drawn


@pytest.mark.slow
def test_the_heat_map_says_its_finding_in_numbers(draw: Callable[[str | None], tuple[str, Element]]) -> None:
    html, tree = draw("layer")
    assert "What the states tell" in [words(h) for h in tree.iter("h2")]
    figure, by_condition = (f for f in tree.iter("figure") if "probe-linear" in str(named(f, "desc")[0].get("id")))
    description = words(named(figure, "desc")[0])
    assert description == (
        "Read right at the last of 2 layers: symbol 2 91 % (before training 61 %, majority class 40 %, shuffled "
        "labels 51 %) and symbol 10 99 % (before training 69 %, majority class 40 %, shuffled labels 59 %)."
    )
    cells = [words(t) for t in named(figure, "text")]
    assert cells.count("91") == 1
    assert cells.index("symbol 2") < cells.index("symbol 10")
    answers = [words(p) for p in tree.iter("p") if p.get("class") == "answer"]
    assert re.search(
        "reads symbol (2 right in 91|10 right in 99) % of unseen cases at the last of 2 layers", answers[-1]
    )
    assert "data:" not in html
    assert "at each target's best layer, mean over targets: 50 % and 95 % (" in words(named(by_condition, "desc")[0])
    assert [words(t) for t in named(by_condition, "text")].count("91") == 6


@pytest.mark.slow
def test_the_table_has_the_controls_with_their_errors_over_seeds(
    draw: Callable[[str | None], tuple[str, Element]],
) -> None:
    _, tree = draw("layer")
    (table,) = (t for t in tree.iter("table") if "The linear probe" in words(next(t.iter("caption"))))
    first = [words(c) for c in list(table.iter("tr"))[1]]
    assert first == ["symbol 2", "0.910 ± 0.010", "0.400", "0.610 ± 0.010", "0.510 ± 0.010", "0.310 ± 0.010", "400"]


@pytest.mark.slow
def test_layers_and_positions_stay_out_of_the_table_of_runs(
    draw: Callable[[str | None], tuple[str, Element]],
) -> None:
    _, tree = draw("layer")
    (table,) = (t for t in tree.iter("table") if words(next(t.iter("caption"))).startswith("Conditions"))
    assert not re.search("probe|symbol", words(table))


@pytest.mark.slow
def test_positions_make_the_columns_where_there_are_no_layers(
    draw: Callable[[str | None], tuple[str, Element]],
) -> None:
    _, tree = draw("position")
    assert "Read right at the first position: symbol 2 50 %" in words(tree)


@pytest.mark.slow
def test_a_probe_of_one_place_has_a_table_alone(draw: Callable[[str | None], tuple[str, Element]]) -> None:
    _, tree = draw(None)
    assert "What the states tell" in [words(h) for h in tree.iter("h2")]
    assert not [d for d in named(tree, "desc") if "probe-linear" in str(d.get("id"))]
    assert "0.700 ± 0.010" not in words(tree)
    assert "0.500 ± 0.010" in words(tree)
