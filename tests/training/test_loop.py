"""Training through the store: resumed, regrouped, stopped and killed, the result stays the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import torch

from physlm import catalog, experiment
from physlm.errors import Interrupted
from physlm.experiment import Experiment
from physlm.runs import Run
from physlm.store import Store, layout, open_store
from physlm.training.checkpoints import load_model, load_state
from physlm.training.config import CURVE_SOURCE
from physlm.training.loop import Options, Progress, train

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: small
question: Does training survive everything?
task: {type: biod, people: 60, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {batch_size: 8, optimizer: {lr: 1e-2}}
vary:
  training.exposures: [4, 9]
  training.optimizer.lr: [1e-2, 3e-3]
seeds: [0, 1]
measure: [knowledge_bits]
"""
CPU = torch.device("cpu")
# Relative difference of losses between a run alone and in a cohort, whose batch shapes differ.
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def study() -> Experiment:
    return experiment.parse(TEXT)


@pytest.fixture(scope="module")
def undisturbed(study: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("undisturbed"))
    train(store, study.runs, Options(CPU))
    return store


def curves(store: Store, runs: Sequence[Run]) -> pl.DataFrame:
    return catalog.collect(store, [run.run_id for run in runs], [CURVE_SOURCE])


@pytest.mark.slow
def test_budgets_are_met_exactly(study: Experiment, undisturbed: Store) -> None:
    for run in study.runs:
        marker = undisturbed.get_json(layout.completed_key(run.run_id))
        assert marker["status"] == "trained"
        assert marker["instances"] == run.instances == run.training.exposures * 60
        assert marker["tokens"] == run.tokens
    table = curves(undisturbed, study.runs)
    last = table.group_by("run_id").agg(pl.col("exposures").max(), pl.col("training.exposures").first())
    assert (last["exposures"] == last["training.exposures"]).all()


def test_training_learns(study: Experiment, undisturbed: Store) -> None:
    table = curves(undisturbed, study.runs).sort("tokens")
    change = table.group_by("run_id").agg(pl.col("value").last() - pl.col("value").first())
    assert (change["value"] < -0.1).all()


def test_the_curve_counts_every_predicted_token_once(study: Experiment, undisturbed: Store) -> None:
    table = curves(undisturbed, study.runs)
    predicted = table.group_by("run_id").agg(pl.col("n").sum(), pl.col("tokens").max())
    length = study.runs[0].language.max_length
    # windows hold one instance, whose first token is not predicted
    assert (predicted["n"] * length == predicted["tokens"] * (length - 1)).all()


@pytest.mark.slow
def test_a_run_alone_gets_what_it_gets_in_the_cohort(study: Experiment, undisturbed: Store, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for run in study.runs[::3]:
        train(store, [run], Options(CPU))
        alone, together = curves(store, [run]), curves(undisturbed, [run])
        assert alone["tokens"].to_list() == together["tokens"].to_list()
        assert alone["value"].to_list() == pytest.approx(together["value"].to_list(), rel=TOLERANCE)


@pytest.mark.slow
def test_a_stopped_cohort_goes_on_exactly(study: Experiment, undisturbed: Store, tmp_path: Path) -> None:
    """Stopped after every few steps, each run's parameters are equal bit by bit to the undisturbed ones."""
    store = open_store(tmp_path)
    left = list(study.runs)
    stops = 0
    while left:
        steps = iter(range(17))
        try:
            train(store, left, Options(CPU, stop=lambda steps=steps: next(steps, None) is None))
        except Interrupted:
            stops += 1
        left = [run for run in left if not store.exists(layout.completed_key(run.run_id))]
    assert stops >= 3
    assert curves(store, study.runs).equals(curves(undisturbed, study.runs))
    for run in study.runs:
        ours, theirs = load_model(store, run.run_id, run.tokens), load_model(undisturbed, run.run_id, run.tokens)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert load_state(store, run.run_id) is None  # nothing but the result is left


@pytest.mark.slow
def test_runs_at_different_points_may_train_together(study: Experiment, undisturbed: Store, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    steps = iter(range(20))
    with pytest.raises(Interrupted):
        train(store, study.runs[:3], Options(CPU, stop=lambda: next(steps, None) is None))
    train(store, study.runs, Options(CPU))
    ours, theirs = curves(store, study.runs), curves(undisturbed, study.runs)
    assert ours["value"].to_list() == pytest.approx(theirs["value"].to_list(), rel=TOLERANCE)


def test_a_damaged_checkpoint_is_not_trusted(study: Experiment, undisturbed: Store, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    steps = iter(range(20))
    with pytest.raises(Interrupted):
        train(store, study.runs[:1], Options(CPU, stop=lambda: next(steps, None) is None))
    (state,) = tmp_path.rglob("state.safetensors")
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)
    train(store, study.runs[:1], Options(CPU))
    ours, theirs = curves(store, study.runs[:1]), curves(undisturbed, study.runs[:1])
    assert ours["value"].to_list() == pytest.approx(theirs["value"].to_list(), rel=TOLERANCE)


def test_divergence_is_an_observation(tmp_path: Path) -> None:
    study = experiment.parse(
        TEXT.replace("[1e-2, 3e-3]", "[10.0, 3e-3]").replace(
            "{lr: 1e-2}", "{lr: 1e-2, clip_norm: 1e30, weight_decay: 10}"
        )
    )
    store = open_store(tmp_path)
    train(store, study.runs, Options(CPU))
    status = {run.run_id: store.get_json(layout.completed_key(run.run_id))["status"] for run in study.runs}
    wild = [status[run.run_id] for run in study.runs if run.training.optimizer.lr == 10]
    tame = [status[run.run_id] for run in study.runs if run.training.optimizer.lr < 1]
    assert "diverged" in wild
    assert set(tame) == {"trained"}
    diverged = [run for run in study.runs if status[run.run_id] == "diverged"]
    assert curves(store, diverged).filter(pl.col("value").is_null()).height >= len(diverged)


@pytest.mark.slow
def test_divergence_beside_it_changes_no_bit_of_a_run(tmp_path: Path) -> None:
    """A sane run gets the same beside a wild one, which diverges and leaves, as beside its like."""
    text = TEXT.replace("{lr: 1e-2}", "{lr: 1e-2, clip_norm: 1e30, weight_decay: 10}").replace("[4, 9]", "[9]")
    beside = {}
    for name, lr in (("wild", "10.0"), ("calm", "2e-3")):
        study = experiment.parse(text.replace("[1e-2, 3e-3]", f"[{lr}, 3e-3]").replace("seeds: [0, 1]", "seeds: [0]"))
        store = open_store(tmp_path / name)
        train(store, study.runs, Options(CPU))
        status = [store.get_json(layout.completed_key(run.run_id))["status"] for run in study.runs]
        assert status == ["diverged" if name == "wild" else "trained", "trained"]
        beside[name] = load_model(store, study.runs[1].run_id, study.runs[1].tokens)
    assert all(torch.equal(beside["wild"][name], beside["calm"][name]) for name in beside["calm"])


def test_progress_adds_up(study: Experiment, tmp_path: Path) -> None:
    heard: list[Progress] = []
    train(open_store(tmp_path), study.runs, Options(CPU, report=heard.append, report_seconds=0))
    assert sum(p.tokens for p in heard) == sum(run.tokens for run in study.runs)
    assert sum(p.completed for p in heard) == len(study.runs)
    assert sum(p.flops for p in heard) == pytest.approx(sum(run.flops for run in study.runs))


@contextmanager
def worker(root: Path, study: Experiment, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The training process of a shard with the experiment's runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "physlm.training", *shard(root, study)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def shard(root: Path, study: Experiment) -> list[str]:
    """Arguments of a training process with all runs; its manifest is written."""
    manifest = {"experiment": study.source, "shards": [[[run.run_id for run in study.runs]]]}
    open_store(root).put_json("manifest.json", manifest)
    return ["--store", str(root), "--runs", "manifest.json", "--shard", "0"]


# Forks training processes from one that has imported everything. Each is killed at its n-th change of a file (just
# before it), a larger n from process to process, until one has nothing more to do. Prints how many were killed.
KILLER = """
import os
import signal
import sys
from itertools import count
from physlm.training import __main__ as training

os.fsync = lambda file: None  # what it does matters when the power fails
CHANGES = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.truncate"}


def kill_at(last):
    passed = count(1)

    def on_event(name, arguments):
        if name in CHANGES and (name != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR)) and next(passed) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)


for killed in count():
    child = os.fork()
    if not child:
        kill_at(7 + 17 * killed)
        os._exit(training.main(sys.argv[1:]))
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        print(killed, "killed")
        sys.exit(os.WEXITSTATUS(status))
"""


@pytest.mark.slow
def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    """The training process is killed amidst its writing again and again; the result is the undisturbed one."""
    study = experiment.parse(TEXT.replace("[4, 9]", "[2, 3]").replace("seeds: [0, 1]", "seeds: [0]"))
    calm, rough = open_store(tmp_path / "calm"), open_store(tmp_path / "rough")
    train(calm, study.runs, Options(CPU))
    command = [sys.executable, "-c", KILLER, *shard(tmp_path / "rough", study), "--checkpoint-seconds", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    killed, _ = done.stdout.splitlines()[-1].split()
    assert int(killed) >= 10, "the budget is too small for so many kills"
    ours, theirs = curves(rough, study.runs), curves(calm, study.runs)
    assert ours["tokens"].to_list() == theirs["tokens"].to_list()
    assert ours["n"].to_list() == theirs["n"].to_list()
    assert ours["value"].to_list() == pytest.approx(theirs["value"].to_list(), rel=TOLERANCE)


@pytest.mark.slow
def test_sigterm_stores_the_state_and_ends(tmp_path: Path) -> None:
    study = experiment.parse(TEXT.replace("[4, 9]", "[5000, 9000]"))
    with worker(tmp_path, study) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        others, errors = process.communicate()
    assert process.returncode == 3, errors
    assert "their state is stored" in errors
    told = sum(json.loads(line)["tokens"] for line in (first, *others.splitlines()))
    # Some runs may not have begun, since a cohort may be trained in groups; what came after the last report isn't told.
    states = [state for run in study.runs if (state := load_state(open_store(tmp_path), run.run_id))]
    assert 0 < told <= sum(state.clock.tokens for state in states), "progress that was told is lost"


@pytest.mark.slow
def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    study = experiment.parse(TEXT.replace("[4, 9]", "[5000, 9000]"))
    # Its parent is this process, not the one it is told of: as if that one had been killed.
    with worker(tmp_path, study, PHYSLM_PARENT=str(os.getpid() + 1)) as process:
        _, errors = process.communicate()
    assert process.returncode == 3, errors
