"""What a shard and an experiment export, read as Prometheus would."""

from __future__ import annotations

import math
import socket
import subprocess
import threading
from collections.abc import Callable

import httpx
import polars as pl
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from physlm.errors import TelemetryError, UserError
from physlm.telemetry import metrics as m
from physlm.telemetry.exporter import ExperimentMetrics, PushGroup, TrainingMetrics, serve


def exported(metrics: TrainingMetrics | ExperimentMetrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Value by series name and by the values of the labels in alphabetical order."""
    values: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            values.setdefault(sample.name, {})[labels] = sample.value
    return values


def experiment_metrics(observations: pl.DataFrame) -> ExperimentMetrics:
    metrics = ExperimentMetrics("capacity")
    metrics.export_observations(observations, ["model.width", "training.exposures"])
    metrics.export_law("capacity", {"c": {"estimate": 2.0, "low": 1.9, "high": 2.1}}, heldout_error_ratio=0.03)
    return metrics


def test_known_series_are_there_from_the_start() -> None:
    found = exported(TrainingMetrics("capacity", 3, stages=("train", "probe")))
    assert found.pop("physlm_build_info").popitem()[1] == 1
    for name in ("loss_nats", "learning_rate", "gradient_norm"):
        assert math.isnan(found.pop(f"physlm_training_{name}")["capacity", "3"])
    stages = {("capacity", "3", stage): 0.0 for stage in ("train", "probe")}
    assert found.pop("physlm_stage_duration_seconds_sum") == stages
    assert found.pop("physlm_stage_duration_seconds_count") == stages
    assert len(found) == 8
    assert all(series == {("capacity", "3"): 0.0} for series in found.values())


def test_training_is_counted() -> None:
    metrics = TrainingMetrics("capacity", 0)
    metrics.set_runs(assigned=12, completed=4)
    metrics.complete_runs()
    metrics.complete_runs(2)
    metrics.add_tokens(4096)
    metrics.add_tokens(1024)
    metrics.set_loss(1.25)
    metrics.set_tokens_per_second(419_000)
    metrics.add_flops(3e9)
    metrics.add_flops(2e9)
    metrics.set_flop_utilisation(0.25)
    metrics.set_learning_rate(3e-4)
    metrics.set_gradient_norm(0.7)
    metrics.set_memory(2**30)
    metrics.wrote_checkpoint()
    with metrics.stage("train"):
        pass
    with pytest.raises(KeyboardInterrupt), metrics.stage("train"):
        raise KeyboardInterrupt
    one = ("capacity", "0")
    found = exported(metrics)
    assert found["physlm_shard_runs"] == {one: 12}
    assert found["physlm_shard_runs_completed_total"] == {one: 7}
    assert found["physlm_training_tokens_total"] == {one: 5120}
    assert found["physlm_training_loss_nats"] == {one: 1.25}
    assert found["physlm_training_tokens_per_second"] == {one: 419_000}
    assert found["physlm_training_flops_total"] == {one: 5e9}
    assert found["physlm_training_flop_utilisation_ratio"] == {one: 0.25}
    assert found["physlm_training_learning_rate"] == {one: 3e-4}
    assert found["physlm_training_gradient_norm"] == {one: 0.7}
    assert found["physlm_training_memory_bytes"] == {one: 2**30}
    assert found["physlm_checkpoints_written_total"] == {one: 1}
    assert found["physlm_stage_duration_seconds_count"][*one, "train"] == 2
    assert 0 < found["physlm_stage_duration_seconds_sum"][*one, "train"] < 1


def test_what_is_documented_is_exported_and_nothing_else(observations: pl.DataFrame) -> None:
    training, results = TrainingMetrics("capacity", 0), experiment_metrics(observations)
    for metrics, documented in ((training, m.LIVE), (results, m.RESULTS)):
        families = {family.name: family for family in metrics.registry.collect()}
        assert len(families) == len(documented)
        for metric in documented:
            family = families[metric.name.removesuffix("_total")]
            assert (family.type, family.documentation) == (metric.kind, metric.help)
            assert family.samples, metric.name
            assert {sample.name for sample in family.samples} == set(metric.series)
            for sample in family.samples:
                varied = {"model__width", "training__exposures"} if metric is m.CONDITION_INFO else set()
                assert set(sample.labels) == set(metric.label_names) | varied
                for label in metric.labels:
                    assert not label.values or sample.labels[label.name] in label.values


def test_names_follow_the_conventions() -> None:
    assert len({metric.name for metric in m.METRICS}) == len(m.METRICS)
    for metric in m.METRICS:
        assert metric.name.startswith("physlm_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.help.endswith(".")
        assert not {"run", "run_id", "seed", "pod", "instance"} & set(metric.label_names)
    assert {metric for metric in vars(m).values() if isinstance(metric, m.Metric)} == set(m.METRICS)


@pytest.mark.services
def test_promtool_has_nothing_against_the_exposition(binary: Callable[[str], str], observations: pl.DataFrame) -> None:
    for registry in (TrainingMetrics("capacity", 0).registry, experiment_metrics(observations).registry):
        with serve(registry, port=0) as url:
            text = httpx.get(url).text
        lint = subprocess.run([binary("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
        assert (lint.returncode, lint.stdout, lint.stderr) == (0, "", "")


def test_a_second_export_replaces_the_first(observations: pl.DataFrame) -> None:
    metrics = experiment_metrics(observations)
    metrics.export_observations(observations.filter(pl.col("model.width") == 16), ["model.width"])
    metrics.export_law("capacity", {"gamma": {"estimate": 0.5}})
    found = exported(metrics)
    assert found["physlm_experiment_conditions"] == {("capacity",): 2}
    assert len(found["physlm_condition_info"]) == 2
    assert found["physlm_law_parameter"] == {("estimate", "capacity", "capacity", "gamma"): 0.5}
    assert "physlm_law_heldout_error_ratio" not in found


@pytest.mark.slow
@pytest.mark.parametrize("conditions", [m.MAX_CONDITIONS, m.MAX_CONDITIONS + 1])
def test_values_of_too_many_conditions_are_withheld(observations: pl.DataFrame, conditions: int) -> None:
    row = observations.head(1)
    many = pl.concat([row] * conditions).with_columns(condition=pl.int_range(conditions).cast(pl.String))
    metrics = ExperimentMetrics("capacity")
    shown = metrics.export_observations(many, ["model.width"])
    found = exported(metrics)
    assert shown == (conditions <= 1000) == ("physlm_observation" in found)
    assert found["physlm_observations_withheld"] == {("capacity",): float(not shown)}
    assert found["physlm_experiment_conditions"] == {("capacity",): conditions}


def test_the_server_says_where_it_is_and_leaves_nothing_behind() -> None:
    metrics = TrainingMetrics("capacity", 0)
    before = threading.active_count()
    with serve(metrics.registry, port=0) as url:
        assert url.startswith("http://127.0.0.1:")
        assert "physlm_training_tokens_total" in httpx.get(url).text
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_port_that_cannot_be_opened_is_one_sentence() -> None:
    registry = TrainingMetrics("capacity", 0).registry
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port}: address already in use; use another port, or 0"):
            serve(registry, port).__enter__()
    for address, port in (("127.0.0.1", 70_000), ("no.such.host.invalid", 0), ("192.0.2.1", 0)):
        with pytest.raises(UserError, match=f"metrics can't be served on {address}:{port}: "):
            serve(registry, port, address).__enter__()


@pytest.mark.services
def test_final_state_is_pushed_replaced_and_deleted(pushgateway: str) -> None:
    metrics, group = TrainingMetrics("capacity", 7), PushGroup.of_shard("capacity", 7)
    other = PushGroup.of_shard("capacity", 8)
    other.push(pushgateway, TrainingMetrics("capacity", 8).registry)
    for _ in range(2):
        metrics.add_tokens(100)
        group.push(pushgateway, metrics.registry)
    series = 'physlm_training_tokens_total{experiment="capacity",instance="",job="physlm-shard",shard="7"}'
    assert f"{series} 200" in httpx.get(f"{pushgateway}/metrics").text
    group.delete(pushgateway)
    group.delete(pushgateway)
    left = httpx.get(f"{pushgateway}/metrics").text
    assert 'shard="7"' not in left
    assert 'shard="8"' in left


@pytest.mark.services
def test_a_pushgateway_that_cannot_be_used_is_one_sentence(pushgateway: str) -> None:
    metrics, group = TrainingMetrics("capacity", 7), PushGroup.of_shard("capacity", 7)
    for address, reason in (
        ("http://127.0.0.1:9", "can't be reached: .*refused"),
        ("http://no.such.host.invalid", "can't be reached: "),
        ("http://127.0.0.1:port", "can't be used: "),
        (f"{pushgateway}/elsewhere", "refused the metrics: 404"),
    ):
        with pytest.raises(TelemetryError, match=f"the Pushgateway at {address} {reason}"):
            group.push(address, metrics.registry)
        with pytest.raises(TelemetryError):
            group.delete(address)
