"""What is damaged is found, and after `repair` the next run makes it anew, bit by bit the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from physlm import experiment, steps
from physlm.experiment import Experiment
from physlm.store import layout, repair
from physlm.store.local import LocalStore

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: damaged
question: What is left?
task: {type: biod, people: 20, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {batch_size: 8, exposures: 2}
measure: [loss]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStore, Experiment, dict[str, bytes]]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    study = experiment.parse(TEXT, steps.known_names())
    steps.run(store, study)
    return store, study, {key: store.get(key) for key in store.list() if key.endswith((".parquet", ".safetensors"))}


def kinds(store: LocalStore, study: Experiment) -> dict[str, str]:
    """A key of each kind of object."""
    run = study.runs[0]
    return {
        "marker": layout.completed_key(run.run_id),
        "model": next(key for key in store.list(layout.run_prefix(run.run_id)) if key.endswith("model.safetensors")),
        "curve": next(key for key in store.list(layout.run_prefix(run.run_id)) if key.endswith(".parquet")),
        "batch": next(key for key in store.list("observations/") if key.endswith(".parquet")),
        "world": layout.facts_key(run.world_id),
        "table": layout.observations_key(study.key),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["marker", "model", "curve", "batch", "world", "table"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_object_is_found_removed_and_made_anew(
    finished: tuple[LocalStore, Experiment, dict[str, bytes]], kind: str, damage: str
) -> None:
    store, study, before = finished
    assert list(repair.damaged(store)) == []
    key = kinds(store, study)[kind]
    path: Path = store.root / key
    data = path.read_bytes()
    path.write_bytes(b"" if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    (found,) = repair.damaged(store)
    assert (found.key, found.removable) == (key, True)
    assert key in repair.remove(store, found)
    steps.run(store, study)
    assert list(repair.damaged(store)) == []
    after = {key: store.get(key) for key in store.list() if key.endswith((".parquet", ".safetensors"))}
    assert after.keys() == before.keys()
    assert [key for key in before if key.startswith(("runs/", "worlds/")) and after[key] != before[key]] == []


def test_evidence_is_told_and_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    key = layout.evidence_key("capacity", "0123456789abcdef")
    store.put_json(key, {"law": "capacity"})
    (tmp_path / key).write_bytes(b"{}")
    (found,) = repair.damaged(store)
    assert not found.removable


def test_what_is_no_json_is_damaged_though_its_checksum_is_right(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put(layout.completed_key("3f2a"), b"")
    (found,) = repair.damaged(store)
    assert "is not JSON" in found.reason
