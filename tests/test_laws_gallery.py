"""The gallery of laws: docs/laws.py keeps what experiments have measured, and makes the page of it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from physlm import catalog, experiment, laws, steps
from physlm.errors import UserError
from physlm.fitting import form_of
from physlm.launch import planning
from physlm.measures.loss import Loss
from physlm.steps.collect import Collect
from physlm.steps.fit import Fit
from physlm.steps.measure import Measure
from physlm.store import Store, layout, open_store
from physlm.training.loop import Options, train

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: tinylosses
question: How does a loss fall?
task: {type: cfg, sizes: [1, 2, 2], degree: [2, 2], length: [2, 2]}
model: {type: gpt2, layers: 1, heads: 1}
training: {batch_size: 8, optimizer: {lr: 1e-2}}
vary: {model.width: [4, 8, 12], training.tokens: [300, 600, 1200, 2400]}
seeds: [0, 1]
measure: [loss]
laws: [cfg_kl, capacity]
hold_out: {training.tokens: [2400]}
"""


@pytest.fixture(scope="module")
def page() -> ModuleType:
    path = Path(__file__).parents[1] / "docs/laws.py"
    spec = importlib.util.spec_from_file_location("laws_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["laws_page"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A real experiment's results."""
    store, made = open_store(tmp_path_factory.mktemp("store")), experiment.parse(TEXT, steps.known_names())
    store.put(layout.experiment_file_key(made.key), made.source.encode())  # a plan would refuse the law capacity
    for cohort in planning.cohorts(made.runs):
        train(store, cohort, Options(torch.device("cpu")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loss, "samples", 100)
        Measure().run(store, made)
    Collect().run(store, made)
    Fit().run(store, made)
    return store


@pytest.fixture
def results(page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's results and experiments, in an empty folder."""
    for name, folder in {"SIMULATED": "simulated", "MEASURED": "measured", "EXPERIMENTS": "."}.items():
        monkeypatch.setattr(page, name, tmp_path / folder)
    monkeypatch.setattr(page, "PAGE", tmp_path / "laws.md")
    return tmp_path


@pytest.mark.slow
def test_what_was_measured_stands_with_its_interval_verdict_and_file(
    page: ModuleType, store: Store, results: Path
) -> None:
    (results / "tinylosses.yaml").write_text(TEXT)
    page.record([store])
    made = experiment.parse(TEXT)
    (fit,), _ = catalog.queries.fitted(store, made.key, made.file.laws)
    text = page.page(["capacity", "cfg_kl"])
    link = "[tinylosses.yaml](../pipelines/experiments/tinylosses.yaml)"
    assert f"Measured by {link}: **{fit.verdict}**, {fit.reason}." in text
    for e in fit.estimates:
        assert f"| {e.name} | {page.number(e)}" in text
    assert f"Measured by {link}: not fitted, since no run was measured for learned_bits" in text
    assert f"(#{page.anchor('cfg_kl')})" in text
    # A file that has changed since is told from what was run.
    (results / "tinylosses.yaml").write_text(TEXT.replace("seeds: [0, 1]", "seeds: [0, 1, 2]"))
    assert f"{link} (as `{made.experiment_id}`, not as it is now)" in page.page(["cfg_kl"])


@pytest.mark.slow
def test_results_outlive_the_store_they_are_from(page: ModuleType, store: Store, results: Path, tmp_path: Path) -> None:
    page.record([store])
    known = page.measured()
    page.record([open_store(tmp_path / "another store")])
    assert page.measured() == known
    assert page.restored(page.plain(known["cfg_kl"][0].found)) == known["cfg_kl"][0].found


def test_a_law_without_results_makes_a_page_and_no_drift(page: ModuleType, results: Path) -> None:
    page.PAGE.write_text(page.page(["exposures"]))
    assert "Simulated: not yet; run `python docs/laws.py simulate exposures`." in page.PAGE.read_text()
    assert page.drift() == ""
    page.write(page.SIMULATED / "retry.json", page.plain(page.simulated("retry")))
    assert "run `python docs/laws.py` and commit" in page.drift()
    page.PAGE.write_text(page.page(["exposures", "retry"]))
    assert page.drift() == ""


def test_results_of_a_law_that_is_gone_are_said(page: ModuleType, results: Path) -> None:
    page.write(page.SIMULATED / "phlogiston.json", page.plain(page.simulated("retry")))
    with pytest.raises(UserError, match="results of laws that don't exist: phlogiston"):
        page.page(["retry"])


def test_coverage_is_told_and_what_chance_does_not_explain_is_bold(page: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "coverage.csv"
    path.write_text("law,parameter,studies,bootstrap,profile\nretry,kappa,200,190,190\nretry,err_0,200,150,190\n")
    assert page.coverages(path) == {"retry": {"kappa": "95.0%", "err_0": "**75.0%**"}}


def test_the_page_in_the_repository_is_made_of_its_results(page: ModuleType) -> None:
    assert page.drift() == ""


def test_simulated_results_are_of_todays_laws(page: ModuleType) -> None:
    for name, found in page.simulations().items():
        law = laws.registry[name]
        parameters = [p.name for p in form_of(law, law.example().design).parameters]
        assert [e.name for e in found.numbers][: len(parameters)] == parameters, (
            f"docs/simulated/{name}.json is of other parameters than the law has now; "
            f"run `python docs/laws.py simulate {name}`"
        )
        assert list(found.rivals) == [*(rival.name for rival in law.rivals), "constant"]
