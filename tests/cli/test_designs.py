"""What to run next: a valid experiment, within its budget, that narrows the interval as it was foretold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from physlm import catalog, experiment, fitting, runs
from physlm.catalog import Observation
from physlm.cli.app import app
from physlm.errors import UserError
from physlm.experiment import Experiment
from physlm.laws.capacity import Capacity
from physlm.laws.exposures import Exposures
from physlm.store import LocalStore, Store

run = CliRunner().invoke
STUDY = """
apiVersion: physlm/v1
kind: Experiment
name: study
question: How many bits of knowledge does a transformer store per parameter?
task: {type: biod, people: 700, attributes: 4, diversity: 32, vocabulary: 64}
model: {type: gpt2, layers: 2, heads: 2}
training: {batch_size: 32, optimizer: {lr: 7e-3}}
vary:
  model.width: [12, 16, 24]
  training.exposures: [30, 100, 1000]
seeds: [0, 1]
measure: [knowledge_bits]
laws: [capacity]
hold_out: {model.width: [24]}
"""
TRUTH = {"c_max": 1.9, "E_0": 180.0, "gamma": 1.0, "s": 8.0}
OPTIONS = ["--law", "capacity", "--quantity", "c_max", "--budget", "3e13"]


def observe(store: Store, study: Experiment) -> None:
    """What measuring would leave of the study's runs, if the law were true."""
    tables: dict[str, pl.DataFrame] = {}
    truth = np.array([TRUTH[p.name] for p in Capacity.parameters])
    for each in study.runs:
        most, exposures = each.language.bits_max, each.training.exposures  # type: ignore[attr-defined]
        data: Mapping[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {
            "P": np.array([float(each.parameters_counted)]),
            "E": np.array([float(exposures or 0)]),
            "B": np.array([float(most)]),
        }
        noise = 0.03 * np.random.default_rng(int(each.run_id, 16)).normal()
        learned = float(Capacity().evaluate(truth, data)[0] * np.exp(noise))
        at = each.moment(each.tokens, each.instances or 0)
        rows = [(at, Observation("learned_bits", learned, "bits")), (at, Observation("bits_max", float(most), "bits"))]
        tables[each.run_id] = catalog.table(each.description(), "knowledge_bits-v1", rows)
    catalog.write_batch(store, "knowledge_bits-v1", tables)


@pytest.mark.slow
def test_the_next_experiment_narrows_the_interval_until_it_is_enough(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    (tmp_path / "study.yaml").write_text(STUDY)
    observe(store, experiment.load(tmp_path / "study.yaml"))
    files, widths = [str(tmp_path / "study.yaml")], []
    for number in range(2):
        path = tmp_path / f"next{number}.yaml"
        result = run(app, ["next", *files, *OPTIONS, "--output", str(path), "--store", store.url])
        assert result.exit_code == 0, result.output
        following = experiment.load(path)
        assert sum(each.flops for each in following.runs) <= 3e13
        assert not {each.run_id for each in following.runs} & {r.run_id for f in files for r in _runs(f)}
        observe(store, following)
        files.append(str(path))
        stop = run(app, ["next", *files, *OPTIONS, "--enough", "1e9", "--store", store.url, "--json"])
        found = json.loads(stop.stdout)
        assert found["stop"]
        widths.append(found["high"] - found["low"])
    first = run(app, ["next", files[0], *OPTIONS, "--enough", "1e9", "--store", store.url, "--json"])
    before = json.loads(first.stdout)
    assert widths[1] < widths[0] < before["high"] - before["low"]
    told = run(app, ["next", *files, *OPTIONS, "--enough", "10", "--store", store.url])
    assert told.stdout.startswith("stop: c_max = ")


def _runs(path: str) -> tuple[runs.Run, ...]:
    return experiment.load(Path(path)).runs


@pytest.mark.slow
def test_levels_are_those_that_were_asked_for(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    (tmp_path / "study.yaml").write_text(STUDY)
    observe(store, experiment.load(tmp_path / "study.yaml"))
    arguments = ["next", str(tmp_path / "study.yaml"), *OPTIONS, "--store", store.url]
    result = run(app, [*arguments, "--try", "model.width=20,13", "--try", "training.exposures=[50]"])
    assert result.exit_code == 0, result.output
    document = yaml.safe_load(result.stdout)  # what it is about is a comment
    assert document["vary"] == {"model.width": [20], "training.exposures": [50]}  # 13 is no width for two heads
    assert document["seeds"][0] == 2
    experiment.parse(result.stdout)
    for more, sentence in (
        (["--budget", "1"], "no candidate costs at most 1; the cheapest costs"),
        (["--quantity", "c_min"], "has no quantity 'c_min'; it has"),
        (["--try", "model.width"], "write PATH=VALUES"),
        (["--try", "model.width=13"], "no condition of model.width, training.exposures is valid"),
    ):
        refused = run(app, [*arguments, *more])
        assert isinstance(refused.exception, UserError)
        assert sentence in str(refused.exception)


def test_a_table_gets_its_next_conditions(tmp_path: Path) -> None:
    table = fitting.simulate(Exposures, Exposures.example(), np.random.default_rng(0))
    table.rename({"E": "shown"}).drop("run_id").write_csv(tmp_path / "runs.csv")
    arguments = ["next", str(tmp_path / "runs.csv"), "--law", "exposures", "--map", "E=shown", "--map", "c=c"]
    options = ["--quantity", "c_max", "--budget", "2000", "--cost", "E", "--output", str(tmp_path / "next.csv")]
    result = run(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    chosen = pl.read_csv(tmp_path / "next.csv")
    assert (chosen["E"] * chosen["runs"]).sum() <= 2000
    assert set(chosen["E"]) <= set(table["E"])
    refused = run(app, [*arguments, "--budget", "1", "--cost", "F"])
    assert "is no cost of a condition" in str(refused.exception)


@pytest.mark.parametrize("names", [["a.yaml", "b.csv"], ["a.csv", "b.csv"]])
def test_tables_are_not_pooled(names: list[str]) -> None:
    refused = run(app, ["next", *names, "--law", "capacity", "--budget", "1"])
    assert "give experiment files" in str(refused.exception)
