"""The training process of one shard: `python -m physlm.training --store URL --runs KEY --shard 0`.

KEY is the manifest that the train step has written: the experiment's file and the cohorts of each shard. Progress goes
to standard output, one JSON object a line; live metrics are served when PHYSLM_METRICS_PORT is set (this port for
shard 0, the next for shard 1, ...; 0 for any free one). SIGTERM asks for a checkpoint and an end with code 3.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from contextlib import ExitStack
from typing import Any

import torch

from physlm import experiment
from physlm.errors import Interrupted, PhyslmError
from physlm.store import open_store
from physlm.telemetry.exporter import TrainingMetrics, serve
from physlm.training import grouping, layout
from physlm.training.loop import Options, Progress, train
from physlm.training.memory import keep_freed_memory


def main(arguments: list[str] | None = None) -> int:
    """Train the shard's cohorts one after the other; runs that are complete already are left alone."""
    parser = argparse.ArgumentParser(prog="python -m physlm.training", description=__doc__)
    parser.add_argument("--store", required=True, help="address of the store, such as ./physlm-store or s3://bucket")
    parser.add_argument("--runs", required=True, help="key of the manifest that names each shard's cohorts")
    parser.add_argument(
        "--shard", type=int, default=int(os.environ.get("JOB_COMPLETION_INDEX", "0")), help="which shard to train"
    )
    parser.add_argument("--checkpoint-seconds", type=float, default=20.0, help="time between checkpoints")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    stop = _stop_on_signal()
    try:
        _train(options.store, options.runs, options.shard, options.checkpoint_seconds, stop)
    except Interrupted as error:
        print(error, file=sys.stderr)
        return 3
    except PhyslmError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _train(address: str, manifest_key: str, shard: int, checkpoint_seconds: float, stop: threading.Event) -> None:
    store = open_store(address)
    manifest: dict[str, Any] = store.get_json(manifest_key)
    study = experiment.parse(manifest["experiment"])
    cohorts = [[study.by_id[run_id] for run_id in cohort] for cohort in manifest["shards"][shard]]
    metrics = TrainingMetrics(study.name, shard)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parent = os.environ.get("PHYSLM_PARENT")

    def report(progress: Progress) -> None:
        metrics.add_tokens(progress.tokens)
        if progress.loss is not None:
            metrics.set_loss(progress.loss)
        metrics.complete_runs(progress.completed)
        for _ in range(progress.checkpoints):
            metrics.wrote_checkpoint()
        metrics.set_tokens_per_second(progress.tokens_per_second)
        print(json.dumps(vars(progress) | {"tokens_per_second": progress.tokens_per_second}), flush=True)

    def stopping() -> bool:
        # A worker whose parent was killed must not go on beside the one that its user starts next.
        return stop.is_set() or (parent is not None and os.getppid() != int(parent))

    with ExitStack() as stack:
        port = os.environ.get("PHYSLM_METRICS_PORT")
        if port is not None:
            address = os.environ.get("PHYSLM_METRICS_ADDRESS", "127.0.0.1")
            url = stack.enter_context(serve(metrics.registry, int(port) and int(port) + shard, address))
            print(json.dumps({"metrics": url}), flush=True)
        done = sum(store.exists(layout.completed_key(run.run_id)) for cohort in cohorts for run in cohort)
        metrics.set_runs(sum(map(len, cohorts)), done)
        stack.enter_context(metrics.stage("train"))
        for cohort in cohorts:
            rest = [run for run in cohort if not store.exists(layout.completed_key(run.run_id))]
            for group in grouping.split(rest, device):
                train(store, group, Options(device, checkpoint_seconds, report=report, stop=stopping))


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    sys.exit(main())
