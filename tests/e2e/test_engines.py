"""Every engine leaves the same catalogue: the local one, and the compiled pipeline under kfp.local, in either store."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from physlm import catalog, experiment, steps
from physlm.store import Store, layout, open_store

if TYPE_CHECKING:
    from tests.conftest import S3Server

TINY = """
apiVersion: physlm/v1
kind: Experiment
name: engines
question: Do all engines find the same?
task: {type: biod, people: 40, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1}
training: {batch_size: 8, optimizer: {lr: 1e-2}}
vary:
  model.width: [8, 12, 16]
  training.exposures: [10, 20, 40]
seeds: [0, 1]
measure: [knowledge_bits, loss]
probe: [linear]
laws: [capacity]
hold_out: {model.width: [16]}
"""


def run(store: str, *options: str, text: str = TINY, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "engines.yaml").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "physlm.cli", "run", "engines.yaml", "--store", store, *options],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def observations(store: Store) -> pl.DataFrame:
    key = experiment.parse(TINY, steps.known_names()).key
    return catalog.read(store, layout.observations_key(key)).sort("run_id", "measure", "layer", "tokens")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def local(folder: Path) -> pl.DataFrame:
    outcome = run("local", folder=folder)
    assert (folder / "local/experiments/engines").exists(), outcome.stderr
    return observations(open_store(folder / "local"))


@pytest.mark.slow
def test_the_compiled_pipeline_gives_the_same_catalogue(folder: Path, local: pl.DataFrame) -> None:
    outcome = run("pipeline", "--engine", "kfp-local", folder=folder)
    assert "train: 100 %" in outcome.stderr, outcome.stderr
    found = observations(open_store(folder / "pipeline"))
    same = [name for name in found.columns if name != "seconds"]
    assert found.select(same).equals(local.select(same))
    again = run("pipeline", folder=folder)  # an engine goes on from what another has left
    assert "nothing to train: all 18 runs are in the store" in again.stderr


@pytest.mark.slow
@pytest.mark.services
def test_s3_holds_the_same_catalogue(folder: Path, local: pl.DataFrame, s3_server: S3Server) -> None:
    address = f"s3://{s3_server.bucket}/{uuid.uuid4().hex[:8]}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        outcome = run(address, "--engine", "kfp-local", folder=folder)
        assert f"page: {address}/experiments/engines/" in outcome.stdout, outcome.stderr
        found = observations(open_store(address))
        page = open_store(address).get(outcome.stdout.split(f"{address}/")[1].strip()).decode()
    assert "Do all engines find the same?" in page
    assert s3_server.secret_key not in page + outcome.stdout + outcome.stderr
    same = [name for name in found.columns if name != "seconds"]
    assert found.select(same).equals(local.select(same))


@pytest.mark.slow
def test_what_is_observed_gets_its_page_where_a_law_cannot_be_fitted(folder: Path) -> None:
    text = TINY.replace("[10, 20, 40]", "[1, 2, 3]")  # too few to learn anything, which only observations tell
    outcome = run("unlearned", text=text, folder=folder)
    assert outcome.returncode == 2
    assert outcome.stderr.splitlines()[-1].startswith("error: laws: capacity can't be fitted: ")
    page = (folder / outcome.stdout.split("page: ")[1].strip()).read_text()
    assert "The law capacity can&#39;t be fitted" in page
    assert "Learning curves" in page


@pytest.mark.slow
@pytest.mark.parametrize("image", ["physlm:0.1.0", "example.test/team/physlm@sha256:" + "0" * 64])
def test_specs_are_compiled_without_secrets_for_unprivileged_pods(tmp_path: Path, image: str) -> None:
    command = [sys.executable, "-m", "physlm_pipelines.compile", str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ | {"PHYSLM_IMAGE": image}, capture_output=True)
    compiled = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.yaml")}
    names = [step.name for step in steps.in_order()]
    assert sorted(compiled) == sorted(
        [*(f"components/compiled/{n}.yaml" for n in names), "pipelines/compiled/discover.yaml"]
    )
    pipeline = compiled["pipelines/compiled/discover.yaml"]
    assert pipeline.count(f"image: {image}") == len(names)
    assert pipeline.count("runAsNonRoot: true") == len(names)
    assert "pip install" not in pipeline
    assert len(pipeline) < 100_000  # workflow objects are limited to about 1 MiB
