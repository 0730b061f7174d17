"""The best of a sweep: chosen on validation data, for all seeds of a condition together, and alone seen by laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from physlm import catalog, steps, sweeps
from physlm import experiment as experiments
from physlm.catalog import Observation
from physlm.experiment import Experiment
from physlm.measures.validation_loss import ValidationLoss
from physlm.steps.collect import Collect
from physlm.steps.fit import Fit
from physlm.store import LocalStore, Store, layout
from physlm.tasks.biod import Biod, BiodConfig
from physlm.tasks.task import Stream

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: swept
question: Which learning rate is best?
task: {type: biod, people: 60, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {batch_size: 8, optimizer: {clip_norm: 1e30, weight_decay: 10}}
vary: {training.exposures: [10, 20]}
sweep: {training.optimizer.lr: [10.0, 1e-2, 1e-5]}
seeds: [0, 1]
measure: [loss]
"""
CAPACITY = """
apiVersion: physlm/v1
kind: Experiment
name: capacity
question: Do the laws see the best alone?
task: {type: biod, people: 700, attributes: 4, diversity: 32, vocabulary: 64}
model: {type: gpt2, layers: 2, heads: 2}
vary:
  model.width: [8, 12, 16, 20]
  training.exposures: [100, 300, 1000]
sweep: {training.optimizer.lr: [1e-3, 7e-3, 1e-2]}
seeds: [0, 1]
measure: [knowledge_bits]
laws: [capacity]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Experiment]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    study = experiments.parse(TEXT, steps.known_names())
    steps.run(store, study, processes=1)
    return store, study


@pytest.mark.slow
def test_a_sweep_is_trained_whole_and_the_best_is_chosen(done: tuple[Store, Experiment]) -> None:
    store, study = done
    assert len(study.runs) == 12
    assert all(store.exists(layout.completed_key(run.run_id)) for run in study.runs)
    choices = [sweeps.Choice.from_json(c) for c in store.get_json(layout.sweep_key(study.key))]
    assert [choice.varied for choice in choices] == [{"training.exposures": 10}, {"training.exposures": 20}]
    for choice in choices:
        assert choice.best is not None
        assert choice.best.swept == {"training.optimizer.lr": 1e-2}
        assert len(choice.run_ids) == 2
        assert not choice.at_edge(study.file.sweep)
        assert [c.swept["training.optimizer.lr"] for c in choice.candidates] == [1e-2, 1e-5, 10.0]
        assert choice.candidates[-1].loss is None  # it has diverged
    table = catalog.read(store, layout.observations_key(study.key))
    assert set(table.filter("chosen")["training.optimizer.lr"]) == {1e-2}
    assert set(table.filter(~pl.col("chosen"))["training.optimizer.lr"]) == {10.0, 1e-5}


@pytest.mark.slow
def test_the_choice_is_on_the_page(done: tuple[Store, Experiment]) -> None:
    store, study = done
    page = store.get(f"{study.key}/report.html").decode()
    assert "training.optimizer.lr = 0.01 in 2 conditions" in page
    assert "at the edge" not in page


def test_validation_data_are_neither_those_of_training_nor_of_the_test() -> None:
    task = Biod(BiodConfig(people=60))
    streams = [task.sample(Stream(split), np.arange(60)) for split in ("train", "validation", "test")]
    assert len({sample.tokens.tobytes() for sample in streams}) == 3


@pytest.mark.slow
def test_laws_see_the_best_alone(tmp_path: Path) -> None:
    """What isn't chosen is far off the law; the fit is that of an experiment without it."""
    store = LocalStore(tmp_path)
    swept = experiments.parse(CAPACITY)
    plain = experiments.parse(
        CAPACITY.replace("sweep: {training.optimizer.lr: [1e-3, 7e-3, 1e-2]}", "training: {optimizer: {lr: 7e-3}}")
    )
    for run in swept.runs:
        best = run.training.optimizer.lr == 7e-3
        exposures, most = run.training.exposures or 0, run.language.bits_max  # type: ignore[attr-defined]
        per_parameter = 2.1 * exposures**0.9 / (exposures**0.9 + 90**0.9)
        learned = (1 / (run.parameters_counted * per_parameter) ** 6 + 1 / most**6) ** (-1 / 6)
        learned *= 1 + 0.01 * np.random.default_rng(int(run.run_id, 16)).normal() if best else 0.3
        at = run.moment(run.tokens, run.instances or 0)
        for source, observation in {
            "knowledge_bits-v1": Observation("learned_bits", learned, "bits", ceiling=most),
            f"validation_loss-v{ValidationLoss.version}": Observation(
                "validation_loss", 1.0 if best else 1.1, "nats per token"
            ),
        }.items():
            rows = [(at, observation)]
            if observation.measure == "learned_bits":
                rows.append((at, Observation("bits_max", most, "bits")))
            table = catalog.table(run.description(), source, rows)
            catalog.write(store, table, layout.run_observations_key(run.run_id, source))
    fits = []
    for study in (swept, plain):
        Collect().run(store, study)
        (fit,) = Fit().run(store, study)
        fits.append([(e.name, e.value) for e in fit.estimates])
    assert fits[0] == fits[1]
