"""Several processes, and several ranks, observe what one does, and nothing twice; none outlives its user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from physlm import catalog, experiment, measures, probes, steps
from physlm.errors import PhyslmError
from physlm.evaluation import jobs
from physlm.experiment import Experiment
from physlm.steps import Event
from physlm.steps.measure import Measure
from physlm.steps.probe import Probe
from physlm.steps.train import Train
from physlm.store import Store, open_store

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: looked-at
question: Do many processes see what one sees?
task: {type: parity, length: 6}
model: {type: gpt2, layers: 1, heads: 1}
training: {tokens: 2000, batch_size: 4}
vary:
  model.width: [8, 16]
seeds: [0, 1]
measure: [loss, accuracy]
probe: [linear]
"""


@pytest.fixture(scope="module")
def study() -> Experiment:
    return experiment.parse(TEXT, steps.known_names())


@pytest.fixture(scope="module")
def trained(study: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its models, observed by one process."""
    root = tmp_path_factory.mktemp("trained")
    Train(processes=1).run(open_store(str(root)), study)
    return root


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_WORTH_A_PROCESS", 0.0)


def copied(root: Path, to: Path) -> Store:
    subprocess.run(["cp", "-r", str(root), str(to)], check=True)
    return open_store(str(to))


def observed(store: Store, study: Experiment) -> pl.DataFrame:
    sources = [
        *(measures.find(name).source() for name in study.measures),
        *(probes.make(name, knobs).source for name, knobs in study.probes.items()),
    ]
    return catalog.collect(store, [run.run_id for run in study.runs], sources)


def modified(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "nproc"), [(2, 1), (1, 2)])
@pytest.mark.usefixtures("many")
def test_many_see_what_one_sees_and_do_nothing_twice(
    processes: int, nproc: int, study: Experiment, trained: Path, tmp_path: Path
) -> None:
    alone, together = copied(trained, tmp_path / "one"), copied(trained, tmp_path / "many")
    heard: list[Event] = []
    for step in (Measure, Probe):
        step(processes=1).run(alone, study)
        step(processes=processes, nproc=nproc).run(together, study, heard.append)
    assert list((tmp_path / "many" / study.key / "jobs").iterdir())
    assert not (tmp_path / "one" / study.key / "jobs").exists()
    one, many = observed(alone, study), observed(together, study)
    assert many.height
    assert one.drop("value", "stderr").equals(many.drop("value", "stderr"))
    for column in ("value", "stderr"):
        assert many[column].to_list() == pytest.approx(one[column].to_list(), abs=2e-3)
    for name, total in (("measure", 8), ("probe", 4)):
        done = [event.done for event in heard if event.step == name]
        assert done == sorted(done)
        assert done[0] == 0
        assert done[-1] == pytest.approx(total)
    heard.clear()
    stored = modified(tmp_path / "many")
    for step in (Measure, Probe):
        step(processes=processes, nproc=nproc).run(together, study, heard.append)
    assert not heard
    assert stored == modified(tmp_path / "many")


@pytest.mark.slow
@pytest.mark.usefixtures("many")
def test_the_failure_of_one_is_told(study: Experiment, trained: Path, tmp_path: Path) -> None:
    store = copied(trained, tmp_path / "store")
    (damaged,) = (tmp_path / "store" / "runs" / study.runs[0].run_id).rglob("*.safetensors")
    damaged.write_bytes(b"not a model")
    with pytest.raises(PhyslmError, match="shard"):
        Measure(processes=2).run(store, study)


STARTER = """
import sys
from physlm import experiment, steps
from physlm.evaluation import jobs
from physlm.steps.probe import Probe
from physlm.store import open_store
jobs._WORTH_A_PROCESS = 0
Probe(processes=2).run(open_store(sys.argv[1]), experiment.parse(sys.argv[2], steps.known_names()))
"""


@pytest.mark.slow
def test_no_process_outlives_a_killed_starter(tmp_path: Path) -> None:
    text = TEXT.replace("type: parity, length: 6", "type: igsm, max_op: 3").replace("tokens: 2000", "tokens: 300")
    text = text.replace("linear", "{type: v, instances: 30, steps: 1000000}")
    study = experiment.parse(text, steps.known_names())
    Train(processes=1).run(open_store(str(tmp_path)), study)
    workers: list[int] = []
    with subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path), text], stderr=subprocess.PIPE) as starter:
        try:
            while len(workers := children(starter.pid)) < 2:
                assert starter.poll() is None
                time.sleep(0.05)
            starter.kill()
            while any(is_running(pid) for pid in workers):
                time.sleep(0.05)
        finally:
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]
