"""The training process of one shard: `python -m physlm.training --store URL --runs KEY --shard 0`.

KEY is the manifest that the train step has written: the experiment's file and the cohorts of each shard. Progress goes
to standard output, one JSON object a line; live metrics are served when PHYSLM_METRICS_PORT is set (this port for
shard 0, the next for shard 1, ...; 0 for any free one). SIGTERM asks for a checkpoint and an end with code 3.

A shard may be trained by several ranks: `torchrun --nproc-per-node 2 -m physlm.training ...`. How they share the work
is said in `physlm.training.rank_assignment`; the first rank reports for all. With `--max-restarts` torchrun begins
anew when a rank is lost, and all go on from the last checkpoints.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from physlm import environment, experiment, orphan_watchdog
from physlm.errors import Interrupted, PhyslmError
from physlm.runs import Run, trunks
from physlm.store import Store, layout, open_store
from physlm.telemetry.exporter import TrainingMetrics, serve
from physlm.training import cohort_tuning, hardware, rank_assignment
from physlm.training.loop import Options, Progress, train
from physlm.training.malloc import keep_freed_memory
from physlm.training.ranks import Counters, Ranks, joined


def main(arguments: list[str] | None = None) -> int:
    """Train the shard's cohorts one after the other; runs that are complete already are left alone."""
    environment.guard()
    parser = argparse.ArgumentParser(prog="python -m physlm.training", description=__doc__)
    parser.add_argument("--store", required=True, help="address of the store, such as ./physlm-store or s3://bucket")
    parser.add_argument("--runs", required=True, help="key of the manifest that names each shard's cohorts")
    parser.add_argument("--shard", type=int, default=environment.completion_index(), help="which shard to train")
    parser.add_argument("--checkpoint-seconds", type=float, default=20.0, help="time between checkpoints")
    parser.add_argument("--memory", type=float, help="bytes that a rank's models may take; measured if not given")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    stop = _stop_on_signal()
    orphan_watchdog.watch(stop.set)
    try:
        with joined(device := hardware.own_device()) as ranks:
            _train(options, device, ranks, stop)
    except Interrupted as error:
        print(error, file=sys.stderr)
        return 3
    except PhyslmError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _train(options: argparse.Namespace, device: torch.device, ranks: Ranks, stop: threading.Event) -> None:
    store = open_store(options.store)
    manifest: dict[str, Any] = store.get_json(options.runs)
    study = experiment.parse(manifest["experiment"])
    cohorts = [[study.by_id[run_id] for run_id in cohort] for cohort in manifest["shards"][options.shard]]
    runs = [run for cohort in cohorts for run in cohort]
    left = ranks.broadcast("left", [run.run_id for run in runs if not store.exists(layout.completed_key(run.run_id))])
    cohorts = [rest for cohort in cohorts if (rest := [run for run in cohort if run.run_id in left])]
    metrics = TrainingMetrics(study.name, options.shard)
    with ExitStack() as stack:
        port = environment.metrics_port()
        if port is not None and ranks.is_first:
            address = environment.text(environment.METRICS_ADDRESS) or "127.0.0.1"
            url = stack.enter_context(serve(metrics.registry, port and port + options.shard, address))
            print(json.dumps({"metrics": url}), flush=True)
        metrics.set_runs(len(runs), len(runs) - len(left))
        stack.enter_context(metrics.stage("train"))
        reporter = _Reporter(metrics, ranks, device, stop)
        basis = Options(device, options.checkpoint_seconds, report=reporter.report, stop=stop.is_set)
        try:
            for job in _jobs(cohorts, ranks, options.memory or hardware.capacity_bytes(device), basis):
                job(store)
        except Interrupted:
            reporter.end()  # the others are asked to stop as well
            raise
        reporter.end()


def _jobs(
    cohorts: Sequence[Sequence[Run]], ranks: Ranks, capacity: float, options: Options
) -> list[Callable[[Store], None]]:
    """What this rank does, in turn: with the others first, and then its own part."""
    division = rank_assignment.divide(cohorts, ranks.rank, ranks.size, capacity)

    def job(cohort: Sequence[Run], **how: Any) -> Callable[[Store], None]:
        together = how["ranks"].size if "ranks" in how else 1
        available = capacity * together if how.get("sharded") else capacity
        size = rank_assignment.micro_batch_size(cohort, together, available)
        return lambda store: train(store, cohort, replace(options, micro_batch_size=size, **how))

    def alone(cohort: Sequence[Run], store: Store) -> None:
        # Runs that share a trunk stay together.
        whole = len(trunks(cohort)) < len(cohort)
        for group in [cohort] if whole else cohort_tuning.split(cohort, options.device):
            job(group)(store)

    return [
        *(job([run], ranks=ranks, sharded=True) for run in division.sharded),
        *(job(cohort, ranks=ranks) for cohort in division.replicated),
        *(partial(alone, cohort) for cohort in division.spread),
    ]


_CHECKPOINT_GRACE_SECONDS = 20
"""Time that the first rank leaves the others to write their checkpoints."""
_COUNTERS = ("tokens", "flops", "completed", "checkpoints")


class _Reporter:
    """Tells what all ranks have done: to Prometheus, and on standard output to whoever has started the shard."""

    def __init__(self, metrics: TrainingMetrics, ranks: Ranks, device: torch.device, stop: threading.Event) -> None:
        self._metrics, self._ranks, self._device, self._stop = metrics, ranks, device, stop
        self._counters = Counters(ranks)
        self._peak = ranks.size * hardware.peak_flops(device)
        self._last = time.monotonic()
        self._ended = 0

    def report(self, progress: Progress) -> None:
        """What this rank has done since it last reported."""
        self._counters.add({name: int(getattr(progress, name)) for name in _COUNTERS})
        for name in ("loss", "learning_rate", "gradient_norm"):
            self._counters.set(name, getattr(progress, name))
        self._counters.set("memory", hardware.memory_bytes(self._device))
        if self._ranks.is_first:
            self._publish()

    def end(self) -> None:
        """This rank has nothing more to do; the first one reports until none has."""
        self._counters.add({"ended": 1})
        asked = time.monotonic()
        while self._ranks.is_first and self._ranks.size > 1:
            self._ended += self._counters.take("ended")
            self._publish()
            if not self._stop.is_set():
                asked = time.monotonic()
            if self._ended == self._ranks.size or time.monotonic() - asked > _CHECKPOINT_GRACE_SECONDS:
                break
            time.sleep(0.2)

    def _publish(self) -> None:
        now = time.monotonic()
        tokens, flops, completed, checkpoints = map(self._counters.take, _COUNTERS)
        losses = self._counters.values("loss")
        progress = Progress(
            tokens=tokens,
            flops=float(flops),
            completed=completed,
            loss=sum(losses) / len(losses) if losses else None,
            checkpoints=checkpoints,
            seconds=now - self._last,
            learning_rate=max(self._counters.values("learning_rate"), default=None),
            gradient_norm=max(self._counters.values("gradient_norm"), default=None),
        )
        self._last = now
        self._export(progress)
        line = vars(progress) | {"tokens_per_second": progress.tokens_per_second}
        try:
            print(json.dumps(line), flush=True)
        except BrokenPipeError:  # whoever listened is gone
            self._stop.set()

    def _export(self, progress: Progress) -> None:
        metrics = self._metrics
        metrics.add_tokens(progress.tokens)
        metrics.add_flops(progress.flops)
        metrics.complete_runs(progress.completed)
        for _ in range(progress.checkpoints):
            metrics.wrote_checkpoint()
        metrics.set_tokens_per_second(progress.tokens_per_second)
        metrics.set_flop_utilisation(progress.flops / max(progress.seconds, 1e-9) / self._peak)
        metrics.set_memory(sum(self._counters.values("memory")))
        if progress.loss is not None:
            metrics.set_loss(progress.loss)
        if progress.learning_rate is not None:
            metrics.set_learning_rate(progress.learning_rate)
        if progress.gradient_norm is not None:
            metrics.set_gradient_norm(progress.gradient_norm)


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    sys.exit(main())
