"""The commands on laws, as people and programs use them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from physlm import experiment, fitting, laws
from physlm.cli.app import app
from physlm.errors import LawDataError, UserError
from physlm.launch import planning
from physlm.laws.chinchilla import Chinchilla
from physlm.laws.skill import Skill
from physlm.measures.accuracy import Accuracy
from physlm.steps.measure import Measure
from physlm.steps.plan import Plan
from physlm.store import open_store
from physlm.training.loop import Options, train

run = CliRunner().invoke


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "runs.csv"
    table = fitting.simulate(Chinchilla, Chinchilla.example(), np.random.default_rng(0), seeds=1)
    table.rename({"N": "params", "D": "seen", "L": "nats"}).write_csv(path)
    table.write_parquet(path.with_suffix(".parquet"))
    return path


GUESSING = """
apiVersion: physlm/v1
kind: Experiment
name: guessing
question: Does a model that has read next to nothing copy by chance?
task: {type: copying, length: 6, symbols: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 4}
training: {tokens: 400, batch_size: 4}
seeds: [0, 1]
measure: [accuracy]
"""


def test_accuracies_are_tested_for_being_no_more_than_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accuracy, "samples", 200)
    file, store = tmp_path / "guessing.yaml", ["--store", str(tmp_path / "store")]
    file.write_text(GUESSING)
    made, opened = experiment.load(file), open_store(store[1])
    Plan().run(opened, made)
    for cohort in planning.cohorts(made.runs):
        train(opened, cohort, Options(torch.device("cpu")))
    Measure().run(opened, made)
    command = ["laws", "equivalent", str(file), *store, "--measure"]
    result = run(app, [*command, "accuracy", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["accuracy"]
    assert (found["accuracy"], found["verdict"]) == (0, "equivalent")
    assert found["reference"] == pytest.approx(8**-6)
    assert run(app, [*command, "accuracy", "--reference", "0.5"]).stdout.startswith("accuracy: different: ")
    refused: tuple[tuple[list[str], str], ...] = (
        (["accuracy("], "is no regular expression"),
        (["validity"], "no run was measured for validity"),
        (["answer.*"], "accuracies must be shares"),
    )
    for arguments, sentence in refused:
        outcome = run(app, [*command, *arguments, "--reference", "0"])
        assert isinstance(outcome.exception, LawDataError)
        assert sentence in str(outcome.exception)


MAP = ["--map", "N=params", "--map", "D=seen", "--map", "L=nats"]


@pytest.mark.slow
def test_a_published_table_is_fitted_by_its_own_columns(file: Path) -> None:
    options = [*MAP, "--hold-out", "params > 2e10 AND seen > 1e10", "--resamples", "50", "--json"]
    result = run(app, ["fit", str(file), "--law", "chinchilla", *options])
    assert result.exit_code == 0, result.output
    fit = fitting.Fit.from_json(json.loads(result.stdout))
    assert fit.held_out
    assert fit.estimate("alpha").value == pytest.approx(0.3478, abs=0.03)
    shown = run(app, ["fit", str(file.with_suffix(".parquet")), "--law", "chinchilla", "--resamples", "50"])
    assert shown.exit_code == 0
    assert "alpha" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a law with --law"),
        (["--law", "chinchila"], "there is no law 'chinchila'"),
        (["--law", "chinchilla"], "the table has no column 'N'"),
        (["--law", "chinchilla", *MAP, "--hold-out", "params >"], "is not a condition on columns"),
        (["--law", "chinchilla", *MAP, "--hold-out", "nonsense > 1"], "the table can't be read"),
        (["--law", "chinchilla", "--map", "params"], "write VARIABLE=COLUMN"),
        (["--law", "chinchilla", *MAP, "--cluster", "family"], "no column 'family' to cluster by"),
    ],
)
def test_what_cannot_be_fitted_is_told_in_a_sentence(file: Path, arguments: list[str], sentence: str) -> None:
    result = run(app, ["fit", str(file), *arguments])
    assert isinstance(result.exception, LawDataError)  # which ends the command with code 2
    assert sentence in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.slow
def test_advice_comes_with_its_interval_and_range(file: Path, tmp_path: Path) -> None:
    fit = tmp_path / "fit.json"
    fit.write_text(run(app, ["fit", str(file), "--law", "chinchilla", *MAP, "--resamples", "60", "--json"]).stdout)
    best = run(
        app, ["advise", str(fit), "--goal", "min", "--free=N", "--free=D", "--cost", "6*N*D", "--budget", "1e21"]
    )
    assert best.exit_code == 0, best.output
    assert "one run within [" in best.stdout
    reached = run(app, ["advise", str(fit), "--free", "D", "--at", "N=1e9", "--reach", "2.5", "--json"])
    assert json.loads(reached.stdout)["interval"]["low"] < json.loads(reached.stdout)["value"]
    for arguments, sentence in (
        (["--free", "D", "--at", "N=1e15"], "beyond what the law was tested on"),
        (["--goal", "best", "--free", "D"], "must be max or min"),
        (["--reach", "2.5"], "exactly one --free"),
    ):
        result = run(app, ["advise", str(fit), *arguments])
        assert isinstance(result.exception, UserError)
        assert sentence in str(result.exception)
    fit.write_text("{}")
    assert "is not a fit" in str(run(app, ["advise", str(fit)]).exception)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    (tmp_path / "x.csv").write_text("")
    for name in ("x.parquet", "x.csv", "absent.csv"):
        result = run(app, ["fit", str(tmp_path / name), "--law", "chinchilla"])
        assert isinstance(result.exception, LawDataError), name
        assert "\n" not in str(result.exception)


@pytest.mark.slow
def test_laws_are_listed_and_shown() -> None:
    assert set(json.loads(run(app, ["laws", "list", "--json"]).stdout)) == set(laws.registry)
    for name in laws.registry:
        shown = run(app, ["laws", "show", name])
        assert shown.exit_code == 0
        assert laws.registry[name].title in shown.stdout
        json.loads(run(app, ["laws", "show", name, "--json"]).stdout)


def test_an_empty_catalogue_is_empty(tmp_path: Path) -> None:
    result = run(app, ["laws", "catalog", "--store", str(tmp_path / "store"), "--json"])
    assert json.loads(result.stdout) == []


@pytest.mark.slow
def test_a_fit_tells_what_conventions_turn_and_whether_groups_share_it(tmp_path: Path) -> None:
    table = fitting.simulate(Chinchilla, Chinchilla.example(), np.random.default_rng(1), seeds=1).drop("run_id")
    table = table.with_columns(pl.Series("family", ["a", "b"] * (table.height // 2)))
    table = table.with_columns(pl.when(pl.col("family") == "b").then(1.3 * pl.col("L")).otherwise("L").alias("L"))
    table.rename({"N": "params", "D": "seen", "L": "nats"}).write_csv(tmp_path / "runs.csv")
    options = ["--law", "chinchilla", *MAP, "--resamples", "60", "--conventions", "--by", "family"]
    document = json.loads(run(app, ["fit", str(tmp_path / "runs.csv"), *options, "--json"]).stdout)
    assert document["universality"]["verdict"] == "differing"
    separate = {p["parameter"]: p["separate"] for p in document["universality"]["parameters"]}
    assert separate["E"]["b"][0] == pytest.approx(1.3 * separate["E"]["a"][0], rel=0.05)
    assert any("needs at least 4" in reason for reason in document["universality"]["not_partial"])
    usual, *others = document["conventions"]
    assert usual["convention"] == "as usual"
    assert {other["convention"] for other in others} >= {"without the smallest N", "without the largest N"}


@pytest.mark.slow
def test_accuracy_is_predicted_in_two_steps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    size, tokens = (x.ravel() for x in np.meshgrid(np.geomspace(1e3, 1e5, 5), np.geomspace(1e4, 1e6, 5)))
    loss = Chinchilla().evaluate(np.array([0.5, 20, 60, 0.4, 0.4]), {"N": size, "D": tokens})
    loss = loss * np.exp(0.01 * rng.standard_normal(25))
    share = Skill().evaluate(np.array([0.25, 1.3, 5.0, 0.65]), {"x": loss})
    path = tmp_path / "ladder.csv"
    pl.DataFrame(
        {"N": size, "D": tokens, "L": loss, "accuracy": rng.binomial(2000, share) / 2000, "n": 2000}
    ).write_csv(path)
    options = ["--law", "chinchilla", "--map", "x=L", "--map", "L=L", "--hold-out", "N > 9e4", "--resamples", "30"]
    result = run(app, ["fit", str(path), *options, "--then", "skill", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert len(found["held_out"]) == 5
    assert found["error"] < 0.05
    other = run(app, ["fit", str(path), *options, "--then", "skil"])
    assert "name two with --law and --then" in str(other.exception)
