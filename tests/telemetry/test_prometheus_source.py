"""Numbers that go through a real Prometheus come back as they were."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from physlm.errors import TelemetryError, UserError
from physlm.telemetry.conditions import key_name, key_value, label_name, label_value, per_condition
from physlm.telemetry.exporter import ExperimentMetrics, PushGroup, TrainingMetrics, serve
from physlm.telemetry.prometheus import Prometheus

VARIED = ["model.width", "training.exposures", "model.type"]


def test_observations_are_averaged_over_seeds(observations: pl.DataFrame) -> None:
    table = per_condition(observations, VARIED)
    assert table.columns[:4] == ["condition", *sorted(VARIED)]
    loss = table.row(by_predicate=(pl.col("condition") == "c16x100") & (pl.col("measure") == "loss"), named=True)
    # two seeds of 1.0 and 2.0 at the end of training; the earlier 5.0 doesn't count
    assert loss["value"] == 1.5
    assert loss["stderr"] == pytest.approx(0.5)
    assert (loss["seeds"], loss["samples"], loss["floor"], loss["chance"]) == (2, 200, 0.25, None)
    assert (loss["tokens"], loss["exposures"]) == (1000, 100)
    single = table.row(by_predicate=(pl.col("condition") == "c32x300") & (pl.col("measure") == "loss"), named=True)
    assert (single["value"], single["stderr"], single["seeds"]) == (0.1 + 0.2, 0.01, 1)


@pytest.mark.services
def test_observations_come_back_unchanged(prometheus: Any, pushgateway: str, observations: pl.DataFrame) -> None:
    expected = per_condition(observations, VARIED)
    metrics = ExperimentMetrics("capacity")
    metrics.export_observations(observations, VARIED)
    metrics.export_law("capacity", {"c": {"estimate": 2 / 3, "low": 0.5, "high": 1.0}})
    group = PushGroup.of_experiment("capacity")
    group.push(pushgateway, metrics.registry)
    with serve(metrics.registry, prometheus.target_ports[0]):  # beside the Pushgateway: the same from two is one
        prometheus.wait_for('count(physlm_law_parameter{experiment="capacity",bound="high"}) == 2')
        with Prometheus(prometheus.address) as source:
            assert_frame_equal(source.observations("capacity"), expected)
            estimate = source.query('physlm_law_parameter{experiment="capacity",bound="estimate",job="test"}')
            assert [value for _, value in estimate] == [2 / 3]

            with pytest.raises(UserError, match=r"holds no observations of 'chinchilla'; .* it has: .*capacity"):
                source.observations("chinchilla")
            with pytest.raises(UserError, match=r"refused 'loss\(': .*parse error"):
                source.query("loss(")
            with pytest.raises(UserError, match="gives a scalar where"):
                source.query("1")
            metrics.export_observations(observations.with_columns(pl.col("value") + 1), VARIED)
            prometheus.wait_for('physlm_observation{measure="loss",job="test"} > 2')
            with pytest.raises(UserError, match="two targets export different observations of 'capacity'; choose one"):
                source.observations("capacity")
            assert_frame_equal(source.observations("capacity", {"job": "physlm-experiment"}), expected)


@pytest.mark.services
def test_withheld_observations_send_to_the_catalogue(prometheus: Any, observations: pl.DataFrame) -> None:
    many = pl.concat([observations.head(1)] * 1240).with_columns(condition=pl.int_range(1240).cast(pl.String))
    metrics = ExperimentMetrics("wide")
    assert not metrics.export_observations(many, VARIED)
    with serve(metrics.registry, prometheus.target_ports[0]), Prometheus(prometheus.address) as source:
        prometheus.wait_for("physlm_observations_withheld == 1")
        with pytest.raises(UserError, match="'wide' has 1,240 conditions, and above 1,000 only the catalogue"):
            source.observations("wide")


@pytest.mark.slow
@pytest.mark.services
def test_a_training_process_is_read_back(prometheus: Any) -> None:
    """Another process trains and serves; what Prometheus has of it is what it says it did."""
    program = """
        import sys
        from physlm.telemetry.exporter import TrainingMetrics, serve

        metrics = TrainingMetrics("elsewhere", 2)
        with serve(metrics.registry, port=int(sys.argv[1])):
            metrics.set_runs(assigned=9, completed=3)
            for step in range(10):
                with metrics.stage("train"):
                    metrics.add_tokens(4096)
                metrics.set_loss(4 / (step + 1))
                metrics.complete_runs(step % 2)
            metrics.wrote_checkpoint()
            sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(prometheus.target_ports[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as training:
        prometheus.wait_for('physlm_checkpoints_written_total{experiment="elsewhere"} == 1')
        for name, expected in (
            ("physlm_training_tokens_total", 40960),
            ("physlm_training_loss_nats", 0.4),
            ("physlm_shard_runs", 9),
            ("physlm_shard_runs_completed_total", 8),
            ("physlm_stage_duration_seconds_count", 10),
        ):
            [(labels, value)] = prometheus.wait_for(f'{name}{{experiment="elsewhere",stage=~"|train"}}')
            assert value == expected, name
            assert labels["shard"] == "2"
        prometheus.wait_for('experiment:physlm_shard_runs_completed:sum{experiment="elsewhere"} == 8')
        training.communicate()


@pytest.mark.services
def test_a_shard_that_is_scraped_and_pushed_counts_once(prometheus: Any, pushgateway: str) -> None:
    registries = []
    for shard, completed in ((0, 3), (1, 2)):
        metrics = TrainingMetrics("twice", shard)
        metrics.set_runs(assigned=5, completed=completed)
        PushGroup.of_shard("twice", shard).push(pushgateway, metrics.registry)
        registries.append(metrics.registry)
    ports = prometheus.target_ports
    with serve(registries[0], ports[0]), serve(registries[1], ports[1]):
        prometheus.wait_for('count(physlm_shard_runs{experiment="twice"}) == 4')
        prometheus.wait_for('experiment:physlm_shard_runs_completed:sum{experiment="twice"} == 5')
        prometheus.wait_for('experiment:physlm_shard_runs:sum{experiment="twice"} == 10')


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that always gives this answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}/prefix/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>Sign in</html>", r"does not answer as Prometheus does \(HTTP 200\); is it the right one\?"),
        (404, b"", r"does not answer as Prometheus does \(HTTP 404\)"),
        (200, b"[1]", r"does not answer as Prometheus does \(HTTP 200\)"),
        (503, json.dumps({"status": "error", "error": "too busy"}).encode(), "refused 'up': too busy"),
    ],
)
def test_what_is_no_prometheus_is_named(status: int, body: bytes, message: str) -> None:
    with answering(status, body) as address, Prometheus(address) as source:
        with pytest.raises(TelemetryError, match=message) as raised:
            source.query("up")
        assert "secret" not in str(raised.value)
        assert "/prefix" in str(raised.value)


def test_an_address_without_an_answer_is_named() -> None:
    with (
        Prometheus("http://127.0.0.1:9") as source,
        pytest.raises(TelemetryError, match=r"Prometheus at http://127.0.0.1:9 can't be reached: "),
    ):
        source.query("up")


@pytest.mark.parametrize("address", ["", "localhost:9090", "ftp://host", "http://", "http://[::1", "http://h:port"])
def test_a_bad_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="is no address of a Prometheus; write it like 'http://localhost:9090'"):
        Prometheus(address)


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers() | st.text(), max_size=3)
)


@given(values)
def test_every_value_survives_as_a_label(value: Any) -> None:
    back = key_value(label_value(value))
    assert type(back) is type(value)
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_keys_survive_as_labels() -> None:
    for key in ("model.width", "training.optimizer.weight_decay", "task.N"):
        assert key_name(label_name(key)) == key
