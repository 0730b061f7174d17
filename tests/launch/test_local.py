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
