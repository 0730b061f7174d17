"""The gallery of laws: docs/laws.py writes what experiments in a store have measured, with their files named."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from physlm import experiment, laws, steps
from physlm.launch import planning
from physlm.measures import loss
from physlm.store import Store, open_store
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
    steps.plan(store, made)
    for cohort in planning.cohorts(made.runs):
        train(store, cohort, Options(torch.device("cpu")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "INSTANCES", 100)
        steps.measure(store, made)
    steps.collect(store, made)
    steps.fit(store, made)
    return store


@pytest.mark.slow
def test_what_was_measured_stands_with_its_interval_verdict_and_file(
    page: ModuleType, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "EXPERIMENTS", tmp_path)
    (tmp_path / "tinylosses.yaml").write_text(TEXT)
    monkeypatch.setattr(laws, "registry", lambda: {name: KNOWN[name] for name in ("capacity", "cfg_kl")})
    made = experiment.parse(TEXT)
    (fit,), _ = steps.fitted(store, made)
    text = "\n".join(page.gallery([store]))
    link = "[tinylosses.yaml](../pipelines/experiments/tinylosses.yaml)"
    assert f"Measured by {link}: **{fit.verdict}**, {fit.reason}." in text
    for e in fit.estimates:
        assert f"| {e.name} | {page.value(e)}" in text
    assert f"Measured by {link}: not fitted, since no run was measured for learned_bits" in text
    assert f"(#{page.anchor('cfg_kl')})" in text
    # A file that has changed since is told from what was run.
    (tmp_path / "tinylosses.yaml").write_text(TEXT.replace("seeds: [0, 1]", "seeds: [0, 1, 2]"))
    assert f"{link} (as `{made.experiment_id}`, not as it is now)" in "\n".join(page.gallery([store]))


KNOWN = laws.registry


def test_coverage_is_told_and_what_chance_does_not_explain_is_bold(page: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "coverage.csv"
    path.write_text("law,parameter,studies,bootstrap,profile\nretry,kappa,200,190,190\nretry,err_0,200,150,190\n")
    assert page.coverages(path) == {"retry": {"kappa": "95.0%", "err_0": "**75.0%**"}}


def test_the_page_in_the_repository_is_of_todays_laws(page: ModuleType) -> None:
    text = (page.HERE / "laws.md").read_text()
    for name, law in laws.registry.items():
        assert f"## {law.title} (`{name}`)" in text
        assert f"$${law.latex}$$" in text
