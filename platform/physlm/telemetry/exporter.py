"""What physlm exports: live state of a shard, and an experiment's observations and laws.

    metrics = TrainingMetrics("capacity", shard=0)
    with serve(metrics.registry, port=9464) as url, metrics.stage("train"):
        metrics.add_tokens(4096)
    PushGroup.of_shard("capacity", 0).push("http://pushgateway:9091", metrics.registry)

Short jobs push their final state, since no scrape may ever meet them; a Pushgateway never forgets, so whoever has
collected it deletes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from threading import Lock
from urllib.error import HTTPError, URLError

import polars as pl
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Summary,
    delete_from_gateway,
    disable_created_metrics,
    push_to_gateway,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from physlm import __version__
from physlm.errors import TelemetryError, UserError
from physlm.telemetry import metrics as m
from physlm.telemetry.conditions import label_name, label_value, per_condition

# A time of creation beside every counter would nearly double the series; Prometheus notices resets without it.
disable_created_metrics()  # type: ignore[no-untyped-call]

PUSH_TIMEOUT_SECONDS = 10


class TrainingMetrics:
    """Live state of one shard; safe to use from several threads. Counters and durations export 0 from the start.

    stages: the steps that the process will be timed in.
    """

    def __init__(
        self,
        experiment: str,
        shard: int,
        registry: CollectorRegistry | None = None,
        stages: Sequence[str] = ("train",),
    ) -> None:
        self.experiment = experiment
        self.shard = shard
        self.registry = CollectorRegistry() if registry is None else registry
        self._tokens = self._counter(m.TRAINING_TOKENS)
        self._tokens_per_second = self._gauge(m.TRAINING_TOKENS_PER_SECOND)
        self._loss = self._gauge(m.TRAINING_LOSS)
        self._loss.set(float("nan"))  # 0 would be a perfect model
        self._flops = self._counter(m.TRAINING_FLOPS)
        self._utilisation = self._gauge(m.TRAINING_FLOP_UTILISATION)
        self._learning_rate = self._gauge(m.TRAINING_LEARNING_RATE)
        self._learning_rate.set(float("nan"))
        self._gradient_norm = self._gauge(m.TRAINING_GRADIENT_NORM)
        self._gradient_norm.set(float("nan"))
        self._memory = self._gauge(m.TRAINING_MEMORY)
        self._runs = self._gauge(m.SHARD_RUNS)
        self._runs_completed = self._counter(m.SHARD_RUNS_COMPLETED)
        self._checkpoints = self._counter(m.CHECKPOINTS_WRITTEN)
        durations = Summary(
            m.STAGE_DURATION.name, m.STAGE_DURATION.help, m.STAGE_DURATION.label_names, registry=self.registry
        )
        self._durations = {stage: durations.labels(experiment, str(shard), stage) for stage in stages}
        build = Gauge(m.BUILD_INFO.name, m.BUILD_INFO.help, m.BUILD_INFO.label_names, registry=self.registry)
        build.labels(__version__).set(1)

    def _counter(self, metric: m.Metric) -> Counter:
        family = Counter(metric.name, metric.help, metric.label_names, registry=self.registry)
        return family.labels(self.experiment, str(self.shard))

    def _gauge(self, metric: m.Metric) -> Gauge:
        family = Gauge(metric.name, metric.help, metric.label_names, registry=self.registry)
        return family.labels(self.experiment, str(self.shard))

    def add_tokens(self, tokens: int) -> None:
        """Tokens trained on since the last call, all runs of the cohort together."""
        self._tokens.inc(tokens)

    def set_tokens_per_second(self, rate: float) -> None:
        """Tokens trained on per second, as the shard measured it over its last interval."""
        self._tokens_per_second.set(rate)

    def add_flops(self, flops: float) -> None:
        """Floating-point operations of training since the last call, by the models' formulas."""
        self._flops.inc(flops)

    def set_flop_utilisation(self, ratio: float) -> None:
        """Training's FLOP/s over the peak that was measured on the same devices."""
        self._utilisation.set(ratio)

    def set_learning_rate(self, rate: float) -> None:
        """Learning rate, the highest among the members in training."""
        self._learning_rate.set(rate)

    def set_gradient_norm(self, norm: float) -> None:
        """Gradient's norm before clipping, the largest among the members at the last step."""
        self._gradient_norm.set(norm)

    def set_memory(self, size: float) -> None:
        """The most bytes taken so far, all processes together."""
        self._memory.set(size)

    def set_loss(self, nats: float) -> None:
        """Training loss per token in nats, mean over the cohort's members that are still in training."""
        self._loss.set(nats)

    def set_runs(self, assigned: int, completed: int = 0) -> None:
        """Call once at the start: runs assigned to the shard, and how many of them the store already holds complete."""
        self._runs.set(assigned)
        self._runs_completed.inc(completed)

    def complete_runs(self, runs: int = 1) -> None:
        """Runs that have become complete."""
        self._runs_completed.inc(runs)

    def wrote_checkpoint(self) -> None:
        """A checkpoint is in the store."""
        self._checkpoints.inc()

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Time one of the stages; one that fails counts too, since its time was spent."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._durations[stage].observe(time.perf_counter() - start)


class ExperimentMetrics(Collector):
    """What an experiment has found: observations per condition, and laws. A scrape sees each table whole."""

    def __init__(self, experiment: str, registry: CollectorRegistry | None = None) -> None:
        self.experiment = experiment
        self.registry = CollectorRegistry() if registry is None else registry
        self._observations: list[GaugeMetricFamily] = []
        self._laws: dict[str, tuple[dict[str, Mapping[m.Bound, float]], float | None]] = {}
        self._lock = Lock()
        self.registry.register(self)

    def export_observations(self, observations: pl.DataFrame, varied: Sequence[str]) -> bool:
        """Show these observations, averaged over seeds, in place of those shown before.

        observations: a table as the catalogue has it. varied: its columns that the experiment varies.

        Returns False above MAX_CONDITIONS: only their number is exported then, and `physlm_observations_withheld` is 1.
        """
        conditions = observations.drop_nulls("value")["condition"].n_unique()
        shown = conditions <= m.MAX_CONDITIONS
        families = [
            self._family(m.EXPERIMENT_CONDITIONS, {(): float(conditions)}),
            self._family(m.OBSERVATIONS_WITHHELD, {(): float(not shown)}),
        ]
        if shown:
            families += self._tables(per_condition(observations, varied))
        with self._lock:
            self._observations = families
        return shown

    def export_law(
        self,
        law: str,
        parameters: Mapping[str, Mapping[m.Bound, float]],
        heldout_error_ratio: float | None = None,
    ) -> None:
        """Show a fitted law in place of its earlier fit.

        parameters: by name, each with its estimate and, where there is an interval, low and high.
        heldout_error_ratio: relative error on held-out conditions, where there are any.
        """
        with self._lock:
            self._laws = {**self._laws, law: (dict(parameters), heldout_error_ratio)}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The registry asks this at each scrape."""
        with self._lock:
            observations, laws = self._observations, self._laws
        yield from observations
        yield self._family(
            m.LAW_PARAMETER,
            {
                (law, parameter, bound): value
                for law, (parameters, _) in laws.items()
                for parameter, bounds in parameters.items()
                for bound, value in bounds.items()
            },
        )
        yield self._family(m.LAW_HELDOUT_ERROR, {(law,): error for law, (_, error) in laws.items()})

    def _family(self, metric: m.Metric, samples: Mapping[tuple[str, ...], float | None]) -> GaugeMetricFamily:
        """A family of samples by the values of the labels after `experiment`; those without a number are left out."""
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.label_names)
        for labels, value in samples.items():
            if value is not None:
                family.add_metric([self.experiment, *labels], value)
        return family

    def _tables(self, table: pl.DataFrame) -> list[GaugeMetricFamily]:
        """The families that carry the table of `per_condition`."""
        keys = table.select("condition", "measure").rows()
        families = [
            self._family(metric, dict(zip(keys, table[column], strict=True))) for column, metric in m.STATISTICS.items()
        ]
        sizes: dict[tuple[str, ...], float | None] = {}
        info = GaugeMetricFamily(m.CONDITION_INFO.name, m.CONDITION_INFO.help)
        for row in table.drop("measure", *m.STATISTICS).unique("condition").iter_rows(named=True):
            condition = row.pop("condition")
            sizes.update({(condition, quantity): row.pop(quantity) for quantity in m.QUANTITIES})
            varied = {label_name(key): label_value(value) for key, value in row.items()}
            info.add_sample(info.name, {"experiment": self.experiment, "condition": condition, **varied}, 1)
        return [*families, self._family(m.CONDITION_SIZE, sizes), info]


@contextmanager
def serve(registry: CollectorRegistry, port: int, address: str = "127.0.0.1") -> Iterator[str]:
    """Serve `/metrics` while the context lasts and give its address; port 0 takes any free port.

    Only this machine can reach the default address; in a pod use 0.0.0.0. Raises UserError when it can't be opened.
    """
    try:
        server, thread = start_http_server(port, address, registry)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(
            f"metrics can't be served on {address}:{port}: {reason.lower()}; use another port, or 0 for any free one"
        ) from None
    try:
        host = f"[{address}]" if ":" in address else address
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class PushGroup:
    """What a Pushgateway keeps together: the final state of one shard, or the results of one experiment."""

    job: str
    labels: Mapping[str, str]

    @classmethod
    def of_shard(cls, experiment: str, shard: int) -> PushGroup:
        return cls("physlm-shard", {m.EXPERIMENT.name: experiment, m.SHARD.name: str(shard)})

    @classmethod
    def of_experiment(cls, experiment: str) -> PushGroup:
        return cls("physlm-experiment", {m.EXPERIMENT.name: experiment})

    def push(self, gateway: str, registry: CollectorRegistry) -> None:
        """Leave the registry's state in place of the group's earlier one. Raises TelemetryError."""
        with _gateway_errors(gateway):
            push_to_gateway(gateway, self.job, registry, dict(self.labels), timeout=PUSH_TIMEOUT_SECONDS)

    def delete(self, gateway: str) -> None:
        """Remove the group once it is collected; nothing happens when there is none. Raises TelemetryError."""
        with _gateway_errors(gateway):
            delete_from_gateway(gateway, self.job, dict(self.labels), timeout=PUSH_TIMEOUT_SECONDS)


@contextmanager
def _gateway_errors(gateway: str) -> Iterator[None]:
    """Turn what the transport raises into one sentence."""
    try:
        yield
    except HTTPError as error:
        reason = error.read().decode(errors="replace").strip() or error.reason
        raise TelemetryError(f"the Pushgateway at {gateway} refused the metrics: {reason}") from None
    except URLError as error:
        raise TelemetryError(f"the Pushgateway at {gateway} can't be reached: {error.reason}") from None
    except (OSError, ValueError, HTTPException) as error:
        raise TelemetryError(f"the Pushgateway at {gateway} can't be used: {error}") from None
