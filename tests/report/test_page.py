"""The page: what it says, and that it is a sound, safe, accessible document."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from xml.etree.ElementTree import Element

import html5lib
import pytest

from physlm.errors import MissingObject
from physlm.evaluation.declarations import declarations
from physlm.experiment import Experiment, parse
from physlm.fitting import Fit
from physlm.report import formatting, page
from physlm.store import LocalStore, layout

pytestmark = pytest.mark.slow  # each needs a page

Simulate = Callable[..., Experiment]
FitLaws = Callable[[Experiment], list[Fit]]
Finished = tuple[LocalStore, Experiment, Fit]


def document(store: LocalStore, experiment: Experiment) -> tuple[str, Element]:
    """The page as text and as a tree; raises at the first error of its HTML."""
    html = store.get(page.write(store, experiment, declarations())).decode()
    return html, html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)


def words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


@pytest.fixture(scope="module")
def whole(finished: Finished) -> tuple[str, Element]:
    store, experiment, _ = finished
    return document(store, experiment)


def test_it_answers_the_question_with_the_interval(finished: Finished, whole: tuple[str, Element]) -> None:
    _, experiment, fit = finished
    _, tree = whole
    value, reach = formatting.between(fit.headline.value, fit.headline.interval.low, fit.headline.interval.high)
    assert [words(h) for h in tree.iter("h1")] == [experiment.file.question]
    answer = next(words(p) for p in tree.iter("p") if p.get("class") == "answer")
    assert answer == (
        "In trained gpt2 models, the capacity after 1,000 exposures is "
        f"{value} bits per parameter (95 % interval {reach})."
    )
    verdict = next(words(p) for p in tree.iter("p") if str(p.get("class")).startswith("verdict"))
    assert verdict.startswith(f"{fit.verdict.capitalize()}. ")
    assert fit.reason in verdict.lower()


def test_every_part_is_there(whole: tuple[str, Element]) -> None:
    html, tree = whole
    headings = [words(h) for h in tree.iter("h2")]
    assert headings == ["Knowledge capacity and exposures", "Learning curves", "Runs", "Cost", "Reproduce it"]
    assert "The formula and its parameters" in [words(h) for h in tree.iter("h3")]
    assert len(list(tree.iter("figure"))) == 7
    assert "<math" in html
    assert "physlm run capacity.yaml" in html
    source = next(words(pre) for pre in tree.iter("pre") if "apiVersion" in words(pre))
    assert source.startswith("# How the page is tried out. apiVersion: physlm/v1")


def test_the_document_is_accessible(whole: tuple[str, Element]) -> None:
    html, tree = whole
    assert tree.get("lang") == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(list(tree.iter(landmark))) == 1
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', html)
    assert {name for group in referred for name in group.split()} <= set(ids)
    levels = [int(tag(e)[1]) for e in tree.iter() if re.fullmatch(r"h[1-6]", tag(e))]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    graphics = [e for e in tree.iter() if tag(e) == "svg"]
    assert len(graphics) == 7
    for graphic in graphics:
        assert graphic.get("role") == "img"
        title, description = (next(e for e in graphic.iter() if tag(e) == kind) for kind in ("title", "desc"))
        assert words(title)
        assert re.search(r"\d", words(description)), "the description says no finding"
    for table in tree.iter("table"):
        assert [words(c) for c in table.iter("caption")] != [""]
        assert all(th.get("scope") in ("row", "col") for th in table.iter("th"))
        widths = {len(list(row)) for row in table.iter("tr")}
        assert len(widths) == 1


def test_nothing_comes_from_outside(whole: tuple[str, Element]) -> None:
    html, tree = whole
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag(e) for e in tree.iter()}
    for element in tree.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            if name in ("src", "srcset", "data", "action") or name.endswith("href"):
                assert value.startswith("#")
    style = "".join(element.text or "" for element in tree.iter("style"))
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", html)


def test_equal_results_give_equal_bytes(finished: Finished) -> None:
    store, experiment, _ = finished
    keys = [page.write(store, experiment, declarations()), *store.list(f"{experiment.key}/figures/")]
    assert len(keys) == 15
    first = {key: store.get(key) for key in keys}
    page.write(store, experiment, declarations())
    assert {key: store.get(key) for key in keys} == first


HOSTILE = '</h1><script>alert(1)</script> & "it\'s" $x^2$ <b'


def test_hostile_text_stays_text(text: str, simulate: Simulate, fit_laws: FitLaws, store: LocalStore) -> None:
    written = text.replace(
        "question: How many bits of knowledge does a transformer store per parameter?",
        f"question: >-\n  {HOSTILE}\n# </code></pre><script>alert(2)</script>",
    )
    experiment = simulate(written)
    fit_laws(experiment)
    run = experiment.runs[0].run_id
    store.put_json(f"runs/{run}/run.json", {"made_by": {"physlm": "<img src=x onerror=alert(3)>"}})
    _, tree = document(store, experiment)
    assert "script" not in {tag(e) for e in tree.iter()}
    assert "img" not in {tag(e) for e in tree.iter()}
    assert [words(h) for h in tree.iter("h1")] == [HOSTILE]
    assert any("<script>alert(2)</script>" in words(pre) for pre in tree.iter("pre"))


def test_an_experiment_without_laws_gets_a_page(text: str, simulate: Simulate, store: LocalStore) -> None:
    experiment = simulate(text.replace("laws: [capacity]", "laws: []"))
    html, tree = document(store, experiment)
    answer = next(words(p) for p in tree.iter("p") if p.get("class") == "answer")
    assert answer.startswith("Over 15 conditions, bits per parameter ranges from 1.0")
    assert [words(h) for h in tree.iter("h2")] == ["Learning curves", "Runs", "Cost", "Reproduce it"]
    assert "memorizable accuracy" in html


def test_what_is_missing_is_said(simulate: Simulate, store: LocalStore) -> None:
    experiment = simulate(diverged=(0,), missing=(5,))
    _, tree = document(store, experiment)
    notes = [words(li) for section in tree.iter("section") if section.get("id") == "notes" for li in section.iter("li")]
    diverged, missing, unfitted = notes
    assert experiment.runs[0].run_id in diverged
    assert diverged.startswith("1 run diverged")
    assert missing == f"1 run not trained yet. The page shows what is there: {experiment.runs[5].run_id}."
    assert unfitted == "Not fitted yet: capacity."
    cells = [words(cell) for table in tree.iter("table") for cell in table.iter("td")]
    assert {"1 of 2 1 diverged", "1 of 2 1 missing"} <= set(cells)


def test_before_anything_is_measured(text: str, simulate: Simulate, store: LocalStore) -> None:
    experiment = simulate(text.replace("[0, 1]", "[0]"), diverged=tuple(range(1, 15)), missing=(0,))
    html, _ = document(store, experiment)
    assert "Nothing has been measured yet" in html


def test_without_observations_the_missing_table_is_named(text: str, store: LocalStore) -> None:
    with pytest.raises(MissingObject, match=r"observations\.parquet"):
        page.write(store, parse(text), declarations())


def test_a_law_that_fails_says_so(finished: Finished, simulate: Simulate, store: LocalStore) -> None:
    experiment, fit = simulate(), finished[2]
    first, second, *others = fit.estimates
    missed = [replace(h, observed=1.5 * h.interval.high) for h in fit.held_out]
    store.put_json(
        f"{experiment.key}/laws/capacity.json",
        replace(
            fit,
            converged=False,
            verdict="refuted",
            estimates=(replace(first, at_bound=True), replace(second, identified=False), *others),
            held_out=tuple(missed),
        ).to_json(),
    )
    html, tree = document(store, experiment)
    notes = " ".join(words(li) for li in tree.iter("li"))
    assert "did not converge" in notes
    assert "cₘₐₓ is at the bound" in notes
    assert "the data don't identify E₀" in notes
    assert 'class="verdict refuted"' in html
    assert "0 of 3 held-out conditions lie in their prediction intervals" in html
    assert html.count("<small>missed</small>") == 3


def test_a_thousand_runs_make_a_small_page(text: str, simulate: Simulate, store: LocalStore) -> None:
    grid = text.replace("[8, 12, 16, 20, 24]", str(list(range(8, 208, 4)))).replace(
        "[100, 300, 1000]", str(list(range(100, 1100, 100)))
    )
    experiment = simulate(grid.replace("laws: [capacity]", "laws: []").replace("{model.width: [24]}", "{}"))
    assert len(experiment.runs) == 1000
    html, tree = document(store, experiment)
    assert len(html.encode()) < 1_000_000
    captions = " ".join(words(caption) for caption in tree.iter("caption"))
    assert "60 of 500, evenly spread over the grid" in captions
    assert layout.observations_key(experiment.key) in html
