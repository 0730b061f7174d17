"""Experiments whose results are simulated, stored as the steps store them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from physlm import catalog, fitting
from physlm import experiment as experiments
from physlm.catalog import Observation
from physlm.experiment import Experiment
from physlm.fitting import Fit
from physlm.runs import Run
from physlm.store import LocalStore, Store, layout
from physlm.training.config import CURVE_SOURCE

EXPERIMENT = """\
# How the page is tried out.
apiVersion: physlm/v1
kind: Experiment
name: capacity
question: How many bits of knowledge does a transformer store per parameter?
task: {type: biod, people: 700, attributes: 4, diversity: 32, vocabulary: 64}
model: {type: gpt2, layers: 2, heads: 2}
training: {batch_size: 32, optimizer: {lr: 7e-3}}
vary:
  model.width: [8, 12, 16, 20, 24]
  training.exposures: [100, 300, 1000]
seeds: [0, 1]
measure: [knowledge_bits, loss]
laws: [capacity]
hold_out: {model.width: [24]}
"""

Simulate = Callable[..., Experiment]
FitLaws = Callable[[Experiment], list[Fit]]


@pytest.fixture(scope="session")
def text() -> str:
    """An experiment file, to be changed and simulated."""
    return EXPERIMENT


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def simulate(store: LocalStore) -> Simulate:
    """Write the results of an experiment to the store: those of runs in `diverged` or `missing` are so."""
    return partial(_simulate, store)


@pytest.fixture
def fit_laws(store: LocalStore) -> FitLaws:
    """Fit the experiment's laws as the step does, with fewer resamples."""
    return partial(_fit_laws, store)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStore, Experiment, Fit]:
    """An experiment with everything a page needs; not to be changed."""
    store = LocalStore(tmp_path_factory.mktemp("finished"))
    experiment = _simulate(store)
    (fit,) = _fit_laws(store, experiment)
    return store, experiment, fit


def _simulate(
    store: Store, text: str = EXPERIMENT, diverged: tuple[int, ...] = (), missing: tuple[int, ...] = ()
) -> Experiment:
    parsed = experiments.parse(text)
    frames = []
    for i, run in enumerate(parsed.runs):
        if i not in missing:
            frames += _simulate_run(store, run, diverged=i in diverged)
    for run in {run.world_id: run for run in parsed.runs}.values():
        card = {"task": run.task.model_dump(mode="json"), "version": 1, "sha256": "5f" * 32}
        store.put_json(f"worlds/{run.world_id}/card.json", card)
    held_out = [run.run_id for run in parsed.runs if parsed.held_out(run)]
    table = pl.concat(frames, how="diagonal_relaxed").with_columns(
        pl.lit(parsed.name).alias("experiment"), pl.col("run_id").is_in(held_out).alias("held_out")
    )
    catalog.write(store, table, layout.observations_key(parsed.key))
    return parsed


def _fit_laws(store: Store, experiment: Experiment) -> list[Fit]:
    table = catalog.read(store, layout.observations_key(experiment.key)).sort("tokens")
    final = table.group_by("run_id", "measure", maintain_order=True).last()
    fits = [fitting.fit(name, final, hold_out=pl.col("held_out"), resamples=200) for name in experiment.file.laws]
    for fit in fits:
        store.put_json(f"{experiment.key}/laws/{fit.law}.json", fit.to_json())
    return fits


def _simulate_run(store: Store, run: Run, *, diverged: bool) -> list[pl.DataFrame]:
    exposures = run.training.exposures
    instances = run.instances
    assert exposures is not None
    assert instances is not None
    noise = np.random.default_rng(int(run.run_id, 16)).normal(size=4)
    tokens = run.tokens * 9 // 10
    most = run.language.bits_max  # type: ignore[attr-defined]
    per_parameter = 2.1 * exposures**0.9 / (exposures**0.9 + 90**0.9)
    learned = (1 / (run.parameters_counted * per_parameter) ** 6 + 1 / most**6) ** (-1 / 6) * (1 + 0.008 * noise[0])
    floor = 0.975
    final = floor + 2.6 * (1 - learned / most) + 0.01 * noise[1] ** 2
    shares = np.geomspace(0.005, 1, 32)
    losses = final + (4.16 - final) / (1 + (shares / 0.04) ** 1.4)
    if diverged:
        losses = np.append(losses[:9], np.nan)
    curve: list[tuple[Any, Observation]] = [
        (
            run.moment(int(tokens * share), int(instances * share)),
            Observation("training_loss", float(loss) if np.isfinite(loss) else None, "nats per token", n=1000),
        )
        for share, loss in zip(shares, losses, strict=False)
    ]
    store.put_json(layout.run_key(run.run_id), {"made_by": {"physlm": "0.1.0", "python": "3.11.2", "torch": "2.13.0"}})
    store.put_json(
        layout.completed_key(run.run_id),
        {
            "status": "diverged" if diverged else "trained",
            "tokens": tokens,
            "instances": instances,
            "updates": 4000,
            "flops": tokens * float(run.flops_per_token),
            "seconds": round(4e-6 * tokens, 3),
        },
    )
    frames = [catalog.table(run.description(), CURVE_SOURCE, curve)]
    if not diverged:
        at = run.moment(tokens, instances)
        share = 1 / run.parameters_counted
        bits = [
            Observation("learned_bits", learned, "bits", 0.004 * learned, 700, 0.0, None, most),
            Observation(
                "bits_per_parameter", learned * share, "bits per parameter", 0.01, 700, 0.0, None, most * share
            ),
            Observation("bits_max", most, "bits"),
            Observation("memorizable_accuracy", (learned / most) ** 2, "1", 0.006, 700, 1 / 32, 0.0, 1.0),
        ]
        loss = [Observation("loss", final + 0.02, "nats per token", 0.004, 700, 4.19, floor)]
        frames.append(catalog.table(run.description(), "knowledge_bits-v1", [(at, row) for row in bits]))
        frames.append(catalog.table(run.description(), "loss-v1", [(at, row) for row in loss]))
    return frames
