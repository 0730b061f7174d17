"""The step `train`: models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from physlm import environment
from physlm.catalog import queries
from physlm.errors import PhyslmError
from physlm.experiment import Experiment
from physlm.launch import local, manifests, planning
from physlm.launch.local import Workers
from physlm.runs import Run
from physlm.steps.events import Event, Listener, silent
from physlm.steps.step import DAY, Nproc, Outcome, Pod, Processes, Step, register
from physlm.store import Store, layout


@register
class Train(Step):
    """Train the experiment's models that the store doesn't hold; what was begun goes on from its last checkpoint.

    In a process for each core, or a rank for each GPU.
    """

    name = "train"
    writes = (
        layout.training_manifest_key,
        layout.run_key,
        layout.state_key,
        layout.sharded_key,
        layout.model_key,
        layout.run_observations_key,
        layout.completed_key,
    )
    after = ("generate",)  # so that a store that holds other worlds is found before hours of training
    pod = Pod("8", "32Gi", 7 * DAY)

    processes: Processes = None
    nproc: Nproc = None
    checkpoint_seconds: Annotated[float, Field(ge=0.01, description="Seconds between checkpoints.")] = 20.0
    metrics_port: Annotated[
        int | None,
        Field(ge=0, le=65_000, description="Serve live metrics of shard 0 on this port, of shard 1 on the next, ..."),
    ] = None

    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> None:
        """Train them. Raises Interrupted on Ctrl-C; the store then holds a state to go on from."""
        workers = Workers.make(self.processes, self.nproc)
        waves = [(wave, rest) for wave in experiment.waves if (rest := _untrained(store, wave))]
        for wave, rest in waves:
            self._train(store, experiment, rest, len(wave) - len(rest), on_event, workers)
        if not waves:
            text = f"nothing to train: all {len(experiment.runs)} runs are in the store"
            on_event(Event(self.name, 1, 1, text=text))

    def outcome(self, store: Store, experiment: Experiment) -> Outcome:
        totals = queries.trained(store, [run.run_id for run in experiment.runs])
        diverged = f", of which {totals['diverged']:,} diverged" if totals["diverged"] else ""
        text = (
            f"{totals['runs']:,} runs are trained{diverged}: {totals['tokens']:,} tokens, {totals['flops']:.3g} FLOPs, "
            f"{totals['seconds']:,.1f} s of training"
        )
        return Outcome(totals, text)

    def _train(
        self,
        store: Store,
        experiment: Experiment,
        runs: Sequence[Run],
        finished: int,
        on_event: Listener,
        workers: Workers,
    ) -> None:
        shards = planning.shards(runs, workers.processes)
        key = manifests.put(store, layout.training_manifest_key, experiment, [shard.cohorts for shard in shards])
        total = sum(shard.work for shard in shards)
        done = {"work": 0.0, "runs": 0}
        rates: dict[int, float] = {}
        say = f"{finished} of {finished + len(runs)} runs are in the store" if finished else ""
        on_event(Event(self.name, 0, total, "work", say))

        def on_progress(shard: int, event: Mapping[str, Any]) -> None:
            if "metrics" in event:
                text = f"metrics of shard {shard}: {event['metrics']}"
                on_event(Event(self.name, done["work"], total, "work", text))
                return
            done["work"] += planning.work(event["tokens"], event["flops"])
            done["runs"] += event["completed"]
            rates[shard] = event["tokens_per_second"]
            rate = f"{sum(rates.values()) / 1e3:,.0f} k tokens/s, {done['runs']:.0f} of {len(runs)} runs"
            on_event(Event(self.name, done["work"], total, "work", rate))

        arguments = ["--store", store.url, "--runs", key, "--checkpoint-seconds", str(self.checkpoint_seconds)]
        variables = {} if self.metrics_port is None else {environment.METRICS_PORT: str(self.metrics_port)}
        local.run_shards("physlm.training", arguments, len(shards), on_progress, workers.nproc, variables)
        if left := _untrained(store, runs):
            raise PhyslmError(
                f"{len(left)} runs were not completed, such as {left[0].run_id}; run the same again to go on"
            )


def _untrained(store: Store, runs: Sequence[Run]) -> list[Run]:
    left = set(queries.untrained(store, [run.run_id for run in runs]))
    return [run for run in runs if run.run_id in left]
