"""Processes on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from physlm.launch import local


@pytest.mark.parametrize(
    ("quota", "most"), [("100000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", 4096), (None, 4096)]
)
def test_a_container_s_quota_limits_the_cores(quota: str | None, most: int, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    allowed = local.cores(tmp_path / "nothing here")
    assert local.cores(file) == min(allowed, most)


@pytest.mark.parametrize(
    ("present", "visible", "expected"), [(0, None, ""), (3, None, "012"), (4, "2,3", "23"), (4, "", ""), (0, "0", "")]
)
def test_gpus_are_counted_without_loading_what_uses_them(
    present: int, visible: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    for number in range(present):
        (tmp_path / f"0000:{number:02}:00.0").mkdir()
    assert local.gpus(tmp_path) == list(expected)
    assert local.gpus(tmp_path / "no driver") == []


@pytest.mark.parametrize(
    ("gpus", "processes", "nproc", "expected"),
    [
        (0, None, None, (8, 1)),
        (0, None, 2, (4, 2)),
        (0, 3, None, (3, 1)),
        (4, None, None, (1, 4)),
        (4, None, 1, (4, 1)),
        (4, 2, 2, (2, 2)),
        (1, None, 16, (1, 16)),
    ],
)
def test_a_rank_has_a_gpu_or_a_core_to_itself(
    gpus: int, processes: int | None, nproc: int | None, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "gpus", lambda: ["0"] * gpus)
    monkeypatch.setattr(local, "cores", lambda: 8)
    assert local.Workers.make(processes, nproc) == local.Workers(*expected)


def test_shards_side_by_side_have_gpus_of_their_own() -> None:
    assert [local.gpus_of(shard, 2, list("0123")) for shard in range(2)] == [["0", "1"], ["2", "3"]]
    assert [local.gpus_of(shard, 1, list("01")) for shard in range(3)] == [["0"], ["1"], ["0"]]
    assert local.gpus_of(0, 4, list("01")) == ["0", "1"]
    assert local.gpus_of(5, 2, []) == []


@pytest.mark.parametrize(("told", "expected"), [("1", "1"), ("3", "3"), ("", "2"), (None, "2")])
def test_a_user_s_number_of_threads_is_respected(
    told: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    (tmp_path / "tells_threads.py").write_text(
        "import json, os; print(json.dumps({'threads': os.environ['OMP_NUM_THREADS']}))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = {}
    local.run_shards("tells_threads", [], 2, lambda shard, event: found.update({shard: event["threads"]}))
    assert found == {0: expected, 1: expected}
