"""Several ranks under torchrun: the same data, the same loss, and the same end after a rank is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from physlm import catalog, experiment
from physlm.experiment import Experiment
from physlm.models.gpt2 import Gpt2Config
from physlm.runs import Run
from physlm.store import Store, layout, open_store
from physlm.training import rank_assignment
from physlm.training.checkpoints import load_model
from physlm.training.cohort import Cohort
from physlm.training.config import CURVE_SOURCE, OptimizerConfig
from physlm.training.loop import Options, train

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: ranks
question: Does it matter who trains?
task: {type: biod, people: 60, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 2, heads: 1}
training: {exposures: 6, batch_size: 7, optimizer: {lr: 1e-2}}
vary: {model.width: [8, 16]}
seeds: [0]
measure: [loss]
"""
CPU = torch.device("cpu")
# Parts of a batch are added up in another order. Rounding grows over 80 to 100 steps of a model at its highest useful
# learning rate to this relative difference of losses.
TOLERANCE = 5e-4
MEMORY = 100_000.0  # bytes; the models need 50,000 and 170,000


def torchrun(
    root: Path, study: Experiment, *arguments: str, ranks: int = 2, restarts: int = 0, script: str = "physlm.training"
) -> list[str]:
    """Command of a shard with all the experiment's runs; its manifest is written."""
    cohorts: dict[object, list[str]] = {}
    for one in study.runs:
        cohorts.setdefault(one.shape, []).append(one.run_id)
    manifest = {"experiment": study.source, "shards": [list(cohorts.values())]}
    open_store(root).put_json("manifest.json", manifest)
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", f"--max-restarts={restarts}"]
    program = [script] if script.endswith(".py") else ["-m", script]
    shard = ["--store", str(root), "--runs", "manifest.json", "--shard", "0", *arguments]
    return [sys.executable, "-m", *launcher, *program, *shard]


def run(command: Sequence[str]) -> list[dict[str, float]]:
    """Run to the end; returns what the first rank has reported."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def curves(store: Store, runs: Sequence[Run]) -> pl.DataFrame:
    return catalog.collect(store, [run.run_id for run in runs], [CURVE_SOURCE])


def assert_same(ours: Store, theirs: Store, runs: Sequence[Run], tolerance: float = TOLERANCE) -> None:
    a, b = curves(ours, runs), curves(theirs, runs)
    assert a.height
    assert a.drop("value").equals(b.drop("value"))
    assert a["value"].to_list() == pytest.approx(b["value"].to_list(), rel=tolerance)
    for run in runs:
        models = [load_model(store, run.run_id, run.tokens) for store in (ours, theirs)]
        for name, value in models[1].items():
            torch.testing.assert_close(models[0][name], value, rtol=0.02, atol=0.02)


@pytest.fixture(scope="module")
def study() -> Experiment:
    """A run that fits into the memory that a rank is told to have, and one that doesn't."""
    return experiment.parse(TEXT)


@pytest.fixture(scope="module")
def alone(study: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("alone"))
    for one in study.runs:
        train(store, [one], Options(CPU))
    return store


@pytest.mark.slow
def test_two_ranks_get_what_one_gets(study: Experiment, alone: Store, tmp_path: Path) -> None:
    """The smaller model is replicated, the larger one sharded."""
    division = rank_assignment.divide([[one] for one in study.runs], 0, 2, MEMORY)
    assert [one.model.width for (one,) in division.replicated] == [8]
    assert [one.model.width for one in division.sharded] == [16]
    heard = run(torchrun(tmp_path, study, "--memory", str(MEMORY)))
    assert_same(open_store(tmp_path), alone, study.runs)
    assert sum(event["tokens"] for event in heard) == sum(one.tokens for one in study.runs)
    assert sum(event["completed"] for event in heard) == 2


@pytest.mark.slow
def test_members_are_spread_over_ranks(tmp_path: Path) -> None:
    """Nothing is added up across ranks, so each run is that of a cohort of the same members, bit by bit."""
    study = experiment.parse(TEXT.replace("seeds: [0]", "seeds: [0, 1, 2, 3]").replace("[8, 16]", "[8]"))
    ours, theirs = open_store(tmp_path / "ours"), open_store(tmp_path / "theirs")
    heard = run(torchrun(tmp_path / "ours", study))
    for rank in range(2):
        (cohort,) = rank_assignment.divide([study.runs], rank, 2, 1e12).spread
        assert len(cohort) == 2
        train(theirs, cohort, Options(CPU))
    assert curves(ours, study.runs).equals(curves(theirs, study.runs))
    assert sum(event["tokens"] for event in heard) == sum(run.tokens for run in study.runs)
    assert sum(event["completed"] for event in heard) == 4


# A rank of the training process. The second one is killed at its 30th step; its replacement leaves word of its steps.
KILLED_AT_A_STEP = """
import os
import signal
import sys
from pathlib import Path
from physlm.training import __main__ as training, schedules

os.fsync = lambda file: None  # what it does matters when the power fails
second, first_try = os.environ["RANK"] == "1", os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
steps, lr_factor = [], schedules.lr_factor


def counted(*arguments):
    steps.append(None)
    if second and first_try and len(steps) == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return lr_factor(*arguments)


schedules.lr_factor = counted
code = training.main(sys.argv[1:])
if second:
    Path(__file__).with_name("steps").write_text(str(len(steps)))
sys.exit(code)
"""


@pytest.mark.slow
def test_a_killed_rank_is_replaced_and_all_go_on(study: Experiment, alone: Store, tmp_path: Path) -> None:
    """torchrun begins anew when a rank is gone; training goes on from the last checkpoint."""
    (script := tmp_path / "rank.py").write_text(KILLED_AT_A_STEP)
    options = ["--checkpoint-seconds", "0", "--memory", str(MEMORY)]
    root = tmp_path / "store"
    run(torchrun(root, study, *options, restarts=1, script=str(script)))
    assert_same(open_store(root), alone, study.runs)
    updates = sum(alone.get_json(layout.completed_key(one.run_id))["updates"] for one in study.runs)
    # The last checkpoint may be that of the step before, where the first rank was not done with it.
    assert updates - int((tmp_path / "steps").read_text()) in (28, 29)


STARTER = """
import sys
from physlm.launch import local
local.run_shards("physlm.training", sys.argv[1:], 1, lambda shard, event: None, nproc=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["starter", "torchrun"])
def test_no_rank_outlives_whoever_started_it(killed: str, tmp_path: Path) -> None:
    study = experiment.parse(TEXT.replace("exposures: 6", "exposures: 100000"))
    torchrun(tmp_path, study)  # writes the manifest
    shard = ["--store", str(tmp_path), "--runs", "manifest.json", "--checkpoint-seconds", "0.1"]
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, *shard], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as starter:
        launcher = ranks = None
        try:
            while not any((*tmp_path.rglob("state.safetensors"), *tmp_path.rglob("clock.json"))):
                assert starter.poll() is None
                time.sleep(0.1)
            (launcher,) = children(starter.pid)
            ranks = [pid for pid in children(launcher) if b"--runs" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            assert len(ranks) == 2
            os.kill(starter.pid if killed == "starter" else launcher, signal.SIGKILL)
            while any(is_running(pid) for pid in (launcher, *ranks)):
                time.sleep(0.1)
        finally:
            for pid in (starter.pid, launcher, *(ranks or [])):
                if pid is not None and is_running(pid):
                    os.kill(pid, signal.SIGKILL)
            starter.communicate()


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_two_nodes_get_what_one_gets(study: Experiment, alone: Store, tmp_path: Path) -> None:
    """Two torchruns, as on two machines, that find each other by rendezvous."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = torchrun(tmp_path, study, "--memory", str(MEMORY), ranks=1)
    how = ["--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint={address}", "--rdzv-id=7", "--local-addr=127.0.0.1"]
    at = command.index("--standalone")
    command[at : at + 1] = how
    nodes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        outputs = [node.communicate() for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert_same(open_store(tmp_path), alone, study.runs)
    assert sorted(bool(output) for output, _ in outputs) == [False, True]  # the first rank of all reports for all


def children(pid: int) -> list[int]:
    return sorted(int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def test_gradients_accumulate_over_passes() -> None:
    """A batch in several passes gives the same loss and step, to rounding."""
    tokens = torch.randint(0, 11, (2, 7, 9), generator=torch.Generator().manual_seed(0))
    wanted = torch.rand(2, 7, 9, generator=torch.Generator().manual_seed(1)) < 0.7
    found = []
    for at_once in (None, 1, 3, 7, 100):
        cohort = Cohort(Gpt2Config(width=16), 11, [OptimizerConfig()] * 2, [0, 1], CPU, micro_batch_size=at_once)
        found.append([*cohort.step(tokens, wanted, [1.0, 0.5]), cohort.values])
    for other in found[1:]:
        for ours, theirs in zip(other, found[0], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@given(st.integers(1, 9), st.integers(1, 5), st.sampled_from([1e12, 100_000.0]))
def test_every_run_has_one_owner_or_all(seeds: int, size: int, capacity: float) -> None:
    study = experiment.parse(TEXT.replace("seeds: [0]", f"seeds: {list(range(seeds))}"))
    cohorts = [[run for run in study.runs if run.model.width == width] for width in (8, 16)]
    divisions = [rank_assignment.divide(cohorts, rank, size, capacity) for rank in range(size)]
    assert len({tuple(run.run_id for run in d.sharded) for d in divisions}) == 1
    spread = [run.run_id for d in divisions for cohort in d.spread for run in cohort]
    together = [run.run_id for cohort in divisions[0].replicated for run in cohort]
    assert bool(spread) + bool(together) <= 1
    owned = spread + together + [run.run_id for run in divisions[0].sharded]
    assert sorted(owned) == sorted(run.run_id for run in study.runs)
    if size > 1 and capacity < 1e12:
        assert {run.model.width for run in divisions[0].sharded} == {16}
