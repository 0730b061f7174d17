"""The real training process, watched by a real Prometheus."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from physlm import experiment
from physlm.store import open_store
from physlm.training.checkpoints import load_state

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: watched
question: Can everybody see what a shard is doing?
task: {type: biod, people: 60, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {batch_size: 8}
vary:
  training.exposures: [1, 100000]
seeds: [0, 1]
measure: [loss]
"""


@pytest.mark.slow
@pytest.mark.services
def test_prometheus_sees_a_shard_train(prometheus: Any, tmp_path: Path) -> None:
    study = experiment.parse(TEXT)
    store = open_store(tmp_path)
    store.put_json("manifest.json", {"experiment": TEXT, "shards": [[], [[run.run_id for run in study.runs]]]})
    port = prometheus.target_ports[0] - 1  # shard 1 serves on the next port
    process = subprocess.Popen(
        [sys.executable, "-m", "physlm.training", "--store", str(tmp_path), "--runs", "manifest.json", "--shard", "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PHYSLM_METRICS_PORT": str(port)},
        stdout=subprocess.DEVNULL,
    )
    try:
        shard = '{experiment="watched",shard="1"}'
        prometheus.wait_for(f"physlm_shard_runs_completed_total{shard} == 2")
        prometheus.wait_for(f"physlm_training_loss_nats{shard} > 0")
        prometheus.wait_for(f"rate(physlm_training_tokens_total{shard}[1m]) > 0")
        [(_, runs)] = prometheus.wait_for(f"physlm_shard_runs{shard}")
        [(_, seen)] = prometheus.wait_for(f"physlm_training_tokens_total{shard}")
        [(_, rate)] = prometheus.wait_for(f"physlm_training_tokens_per_second{shard}")
    finally:
        process.terminate()
        assert process.wait() == 3
    states = [load_state(store, run.run_id) for run in study.runs if run.training.exposures == 100_000]
    trained = sum(state.clock.tokens for state in states if state) + 2 * study.runs[0].tokens
    assert runs == 4
    assert 0 < seen <= trained
    assert rate > 0
