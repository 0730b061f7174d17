"""What measures say of a model's layers, on the page: heat maps after and before training, and a table."""

from __future__ import annotations

from collections.abc import Callable
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


def words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def rows(shift: float) -> list[Observation]:
    """Attention that learns to look two tokens back in layer 1."""
    found = [
        Observation("attention.reach", 2.0 + shift, "tokens"),
        Observation("attention.reach.untrained", 5.0 + shift, "tokens"),
    ]
    for layer in (1, 2, 3):
        for distance in range(4):
            peak = 0.6 if (layer, distance) == (1, 2) else 0.1
            for name, value in (("attention.distance", peak + shift), ("attention.distance.untrained", 0.25)):
                found.append(Observation(name, value, "1", target="heads", layer=layer, position=distance))
                found.append(Observation(name, 0.9, "1", target="head_0", layer=layer, position=distance))
    for role, (trained, before) in {"carrier": (0.75, 1.0), "last": (0.25, 0.0)}.items():
        for layer, share in ((None, trained), (0, trained), (1, trained), (2, 1 - trained)):
            value = share if layer is None else share + shift
            found.append(Observation(f"patching.{role}", value, "share", layer=layer))
            found.append(Observation(f"patching.{role}.untrained", before, "share", layer=layer))
    return found


@pytest.fixture
def tree(simulate: Simulate, store: LocalStore, text: str) -> Element:
    experiment = simulate(text)
    key = layout.observations_key(experiment.key)
    tables = [catalog.read(store, key)]
    for run in experiment.runs:
        shift = 0.01 if run.seed else -0.01
        taken = [(Moment(100, 1.0, 1e6), row) for row in rows(shift)]
        tables.append(catalog.table(run.description(), "attention-v1", taken))
    frame = pl.concat(tables, how="diagonal_relaxed").with_columns(pl.col("held_out").fill_null(False))
    catalog.write(store, frame, key)
    html = store.get(page.write(store, experiment, declarations())).decode()
    parsed: Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    return parsed


@pytest.mark.slow
def test_the_map_says_where_most_weight_is_over_seeds_and_where_it_was_before(tree: Element) -> None:
    assert "What goes on inside" in [words(h) for h in tree.iter("h2")]
    descriptions = [words(e) for e in tree.iter() if str(e.tag).endswith("desc")]
    expected = "Attention puts most weight, 60 %, at layer 1 and distance 2 (before training 25 %)."
    assert expected in descriptions
    (link,) = (a for a in tree.iter("a") if a.get("href") == "#inside")
    assert words(link) == "Inside"


@pytest.mark.slow
def test_the_map_of_roles_says_in_which_layers_the_fact_is_where(tree: Element) -> None:
    drawn = [e for e in tree.iter() if str(e.tag).endswith("svg")]
    (figure,) = (e for e in drawn if any("by layer and role" in words(part) for part in e))
    parts = {str(e.tag).split("}")[-1]: words(e) for e in figure}
    expected = "these states bring back more than half of the answer: carrier (layers 0 and 1) and last (layer 2)."
    assert parts["desc"].endswith(expected)
    ticks = [words(e) for e in figure.iter() if str(e.tag).endswith("text")]
    assert [tick for tick in ticks if tick in ("carrier", "other", "last")] == ["carrier", "last"] * 2
    assert ticks.count("75") == 3


@pytest.mark.slow
def test_the_table_has_the_models_as_wholes_with_what_they_were_before(tree: Element) -> None:
    (table,) = (t for t in tree.iter("table") if "Of models as wholes:" in words(next(t.iter("caption"))))
    (row,) = (r for r in table.iter("tr") if "attention: reach" in words(r))
    assert [words(cell) for cell in row] == ["attention: reach", "2.000 ± 0.010", "5.000 ± 0.010", "tokens"]


@pytest.mark.slow
def test_conditions_are_compared_with_one_row_each(tree: Element) -> None:
    captions = {words(next(t.iter("caption"))): t for t in tree.iter("table") if list(t.iter("caption"))}
    (table,) = (t for caption, t in captions.items() if "Of models as wholes, by condition" in caption)
    heads, *rows = table.iter("tr")
    column = [words(cell).split()[0] for cell in heads].index("attention.reach")
    assert len(rows) > 1
    assert {words(list(row)[column]) for row in rows} == {"2.000 ± 0.010"}
    assert not any("untrained" in words(cell) for cell in heads)
