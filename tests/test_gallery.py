"""The gallery of experiments: every file is valid, suits its tasks and measures, and says what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from physlm import experiment, steps

FILES = sorted((Path(__file__).parents[1] / "pipelines/experiments").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_can_be_run(path: Path) -> None:
    loaded = experiment.load(path, steps.known_names())
    steps.check(loaded)
    assert loaded.name == path.stem
    assert path.read_text().startswith("# "), "a comment says what the experiment shows, and how long it takes"
