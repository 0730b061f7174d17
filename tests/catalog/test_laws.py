"""The catalogue of laws and what is registered before its test: written once, checked, and never taken back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from physlm import catalog, fitting
from physlm import experiment as experiments
from physlm.errors import CorruptObject, MissingObject, UserError
from physlm.experiment import Experiment
from physlm.laws.capacity import Capacity
from physlm.steps.fit import Fit, preregister
from physlm.store import LocalStore, layout

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: registered
question: How many bits of knowledge does a transformer store per parameter?
task: {type: biod, people: 700, attributes: 4, diversity: 32, vocabulary: 64}
model: {type: gpt2, layers: 2, heads: 2}
training: {batch_size: 32, optimizer: {lr: 7e-3}}
vary:
  model.width: [8, 12, 16, 20, 24]
  training.exposures: [100, 300, 1000]
seeds: [0, 1]
measure: [knowledge_bits]
laws: [capacity]
hold_out: {model.width: [24]}
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def experiment() -> Experiment:
    return experiments.parse(TEXT)


def write_results(store: LocalStore, experiment: Experiment, tilt: float = 0.0) -> None:
    """What training and measuring would leave, from a law whose capacity grows as size to the power `tilt`."""
    rows = []
    for run in experiment.runs:
        rng = np.random.default_rng(int(run.run_id, 16))
        size, exposures = float(run.parameters_counted), float(run.training.exposures or 0)
        at = {"P": np.array([size * (size / 8000) ** tilt]), "E": np.array([exposures]), "B": np.array([5e4])}
        bits = Capacity().evaluate(np.array([1.9, 180.0, 1.8, 12.0]), at)[0] * np.exp(0.02 * rng.standard_normal())
        shared = {"run_id": run.run_id, "tokens": run.tokens, "parameters_counted": run.parameters_counted}
        shared |= {"training.exposures": exposures, "held_out": experiment.held_out(run), "chosen": True}
        rows += [{**shared, "measure": "learned_bits", "value": bits}, {**shared, "measure": "bits_max", "value": 5e4}]
        store.put_json(layout.completed_key(run.run_id), {"status": "trained"})
    catalog.write(store, pl.DataFrame(rows), layout.observations_key(experiment.key))


@pytest.mark.slow
def test_a_registered_law_is_scored_once_and_catalogued(store: LocalStore, experiment: Experiment) -> None:
    registration = preregister(store, experiment)
    assert len(registration["held_out"]) == 6
    assert preregister(store, experiment) == registration
    write_results(store, experiment)
    (fit,) = Fit().run(store, experiment)
    assert fit.verdict == "supported"
    key = layout.score_key(experiment.name, experiment.experiment_id, "capacity")
    score = catalog.sealed.read(store, key)
    assert score["registration"] == registration["id"]
    assert len(score["held_out"]) == 3

    # Other results later give another fit, not another score.
    write_results(store, experiment, tilt=0.8)
    (other,) = Fit().run(store, experiment)
    assert other.verdict != "supported"
    assert catalog.sealed.read(store, key) == score
    (entry,) = catalog.laws.catalogue(store)
    assert len(entry.evidence) == 2
    assert all(document["registered"] == score["id"] for document in entry.evidence)


def test_nothing_is_registered_after_a_held_out_run_has_started(store: LocalStore, experiment: Experiment) -> None:
    run = next(run for run in experiment.runs if experiment.held_out(run))
    store.put_json(layout.run_key(run.run_id), {})
    with pytest.raises(UserError, match=f"{run.run_id} has started already"):
        preregister(store, experiment)


def test_a_registration_needs_something_to_test(store: LocalStore) -> None:
    for line, sentence in (
        ("laws: [capacity]", "names no law"),
        ("hold_out: {model.width: [24]}", "holds nothing out"),
    ):
        with pytest.raises(UserError, match=sentence):
            preregister(store, experiments.parse(TEXT.replace(line, "")))


def test_no_score_before_all_held_out_runs_have_finished(store: LocalStore, experiment: Experiment) -> None:
    preregister(store, experiment)
    write_results(store, experiment)
    run = next(run for run in experiment.runs if experiment.held_out(run))
    store.delete(layout.completed_key(run.run_id))
    Fit().run(store, experiment)
    assert not store.exists(layout.score_key(experiment.name, experiment.experiment_id, "capacity"))


def test_edited_documents_are_told(store: LocalStore, experiment: Experiment) -> None:
    registration = preregister(store, experiment)
    key = layout.registration_key(experiment.name, experiment.experiment_id)
    store.put_json(key, {**registration, "held_out": registration["held_out"][:1]})
    with pytest.raises(CorruptObject, match="was changed after it was written"):
        preregister(store, experiment)


def study(lost: float) -> pl.DataFrame:
    """A study whose largest models, which are held out, have lost this share of what the law gives them."""
    table = fitting.simulate(Capacity, Capacity.example(), np.random.default_rng(4), seeds=3)
    return table.with_columns(pl.col("bits") * pl.when(pl.col("P") == 16152).then(1 - lost).otherwise(1))


def test_refuted_laws_stay_with_their_counter_examples(store: LocalStore) -> None:
    for lost in (0.3, 0.0):
        fit = fitting.fit("capacity", study(lost), hold_out=pl.col("P") == 16152, resamples=100)
        cited = catalog.laws.record(store, fit, f"lost {lost}")
        assert catalog.laws.record(store, fit, f"lost {lost}") == cited  # recorded once
        assert catalog.laws.cite(store, cited)["verdict"] == fit.verdict
    (entry,) = catalog.laws.catalogue(store)
    assert entry.status == "refuted"
    assert {document["verdict"] for document in entry.evidence} == {"supported", "refuted"}
    assert entry.counter_examples
    assert "P 4620 to 1.615e+04" in entry.domain


def test_what_is_cited_must_exist(store: LocalStore) -> None:
    with pytest.raises(UserError, match="write LAW@ID"):
        catalog.laws.cite(store, "capacity")
    with pytest.raises(MissingObject):
        catalog.laws.cite(store, "capacity@0123456789abcdef")


@pytest.mark.parametrize("content", [b"hi", b"[]", b"{}", b'{"law": 1}'])
def test_a_stray_file_costs_only_itself(store: LocalStore, content: bytes) -> None:
    fit = fitting.fit("capacity", fitting.simulate(Capacity, Capacity.example(), np.random.default_rng(0)))
    catalog.laws.record(store, fit, "here")
    store.put(layout.evidence_key("notes", "stray"), content)
    with pytest.warns(UserWarning, match="left out: .*stray.json"):
        (entry,) = catalog.laws.catalogue(store)
    assert entry.law == "capacity"
