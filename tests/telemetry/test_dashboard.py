"""The dashboard: every query gives an answer in a real Prometheus, and reads only what is exported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import polars as pl
import pytest

from physlm.telemetry import metrics as m
from physlm.telemetry.dashboard import UID, dashboard_json
from physlm.telemetry.exporter import ExperimentMetrics, PushGroup, TrainingMetrics, serve

BOARD: dict[str, Any] = json.loads(dashboard_json())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in BOARD["templating"]["list"]}


def queries() -> Iterator[str]:
    for panel in PANELS:
        yield from (target["expr"] for target in panel["targets"])
    yield from (variable["query"] for variable in VARIABLES.values() if variable["type"] == "query")


def test_it_reads_what_is_exported() -> None:
    exported = {name for metric in m.METRICS for name in metric.series}
    labels = {label.name for metric in m.METRICS for label in metric.labels}
    for query in queries():
        names = set(re.findall(r"physlm_\w+", query))
        assert names
        assert names <= exported, query
        keys = re.findall(r"(?:by|on) \(([^)]*)\)", query) + re.findall(r"(\w+)=~?\"", query)
        assert {key.strip() for group in keys for key in group.split(",")} <= labels | {"__name__"}, query


def test_it_answers_a_question_in_a_way_people_can_rely_on() -> None:
    assert BOARD["uid"] == UID == "physlm-experiment"
    assert BOARD["description"].endswith("?")
    assert VARIABLES["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert references == ["A", "B", "C"][: len(references)]
        for target in panel["targets"]:
            if "rate(" in target["expr"]:
                assert re.search(r"\[\$__(rate_interval|range)\]", target["expr"])
    assert dashboard_json() == dashboard_json()


def test_panels_fill_the_grid_without_overlap() -> None:
    cells = [
        (x, y)
        for panel in BOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


@pytest.mark.slow
@pytest.mark.services
def test_every_panel_has_an_answer(prometheus: Any, pushgateway: str, observations: pl.DataFrame) -> None:
    training, found = TrainingMetrics("watched", 0), ExperimentMetrics("watched")
    found.export_observations(observations, ["model.width", "training.exposures"])
    found.export_law("capacity", {"c": {"estimate": 2.0, "low": 1.9, "high": 2.1}}, heldout_error_ratio=0.03)
    training.set_runs(assigned=10, completed=2)
    training.set_loss(1.5)
    training.set_gradient_norm(0.5)
    training.set_learning_rate(0.01)
    with training.stage("train"):
        pass
    PushGroup.of_experiment("watched").push(pushgateway, found.registry)  # seen twice, as during a scraped fit
    with ExitStack() as stack:
        for metrics, port in zip((training, found), prometheus.target_ports, strict=True):
            stack.enter_context(serve(metrics.registry, port))
        prometheus.wait_for('physlm_shard_runs{experiment="watched"}')
        training.add_tokens(10_000)
        training.complete_runs(3)
        prometheus.wait_for('rate(physlm_shard_runs_completed_total{experiment="watched"}[5m]) > 0')
        prometheus.wait_for('count(physlm_law_heldout_error_ratio{experiment="watched"}) == 2')
        answers = {}
        for panel in PANELS:
            for target in panel["targets"]:
                answers[panel["title"]] = prometheus.wait_for(filled_in(target["expr"]))
        for name, value in (("experiment", "watched"), ("measure", "loss")):
            inner = re.fullmatch(rf"label_values\((.*), {name}\)", VARIABLES[name]["query"])
            assert inner
            assert value in {labels[name] for labels, _ in prometheus.wait_for(filled_in(inner[1]))}
    assert answers["Progress"] == [({"experiment": "watched"}, 0.5)]
    assert answers["Held-out error"] == [({"law": "capacity"}, 0.03)]
    assert answers["Law parameters"] == [({"law": "capacity", "parameter": "c"}, 2.1)]
    rows = {labels["condition"]: labels for labels, _ in answers["Observations of $measure"]}
    assert rows["c16x300"]["model__width"] == "16"
    assert rows["c16x300"]["training__exposures"] == "300"


def filled_in(query: str) -> str:
    """The query as Grafana would send it."""
    for name, value in (("experiment", "watched"), ("measure", "loss"), ("__rate_interval", "5m"), ("__range", "5m")):
        query = query.replace(f"${name}", value)
    assert "$" not in query
    return query
