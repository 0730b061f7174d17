"""The dashboard that answers: is my experiment healthy, how far is it, and what has it found?

Written with Grafana's own builders. They are needed only to generate the chart, so they come with the `dev` extra.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from physlm.telemetry import metrics as m
from physlm.telemetry.rules import of_experiment, once_per_shard

UID = "physlm-experiment"
_SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_NOT_OURS = ("Time", "__name__", "experiment", "instance", "job", "namespace", "pod", "container", "endpoint")
_ONE = '{experiment="$experiment"}'
_RUNS = of_experiment(f"{m.SHARD_RUNS.name}{_ONE}")
_COMPLETED = of_experiment(f"{m.SHARD_RUNS_COMPLETED.name}{_ONE}")
_TOKENS_RATE = once_per_shard(f"rate({m.TRAINING_TOKENS.name}{_ONE}[$__rate_interval])")

AnyPanel = TypeVar("AnyPanel", bargauge.Panel, stat.Panel, table.Panel, timeseries.Panel)


def dashboard_json() -> str:
    """The dashboard as Grafana imports it."""
    either = f'{{__name__=~"{m.SHARD_RUNS.name}|{m.EXPERIMENT_CONDITIONS.name}"}}'
    builder = (
        build.Dashboard("Physlm experiment")
        .uid(UID)
        .description("Is my experiment healthy, how far is it, and what has it found?")
        .tags(["physlm"])
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable(m.EXPERIMENT, either))
        .with_variable(_variable(m.MEASURE, f"{m.OBSERVATION.name}{_ONE}"))
    )
    for title, panels in (
        ("How far is it?", _progress()),
        ("Is it healthy?", _health()),
        ("What has it found?", _findings()),
    ):
        builder.with_row(build.Row(title))
        for panel in panels:
            builder.with_panel(panel)
    board = builder.build()
    for number, placed in enumerate(board.panels or [], start=1):
        placed.id_val = number
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _progress() -> Iterator[Builder[model.Panel]]:
    left = of_experiment(f"rate({m.SHARD_RUNS_COMPLETED.name}{_ONE}[$__range])")
    for title, description, expression, unit in (
        ("Progress", "Share of the runs that are complete.", f"{_COMPLETED} / {_RUNS}", units.PercentUnit),
        ("Runs completed", m.SHARD_RUNS_COMPLETED.help, _COMPLETED, units.Short),
        ("Runs assigned", m.SHARD_RUNS.help, _RUNS, units.Short),
        (
            "Time left",
            "For the runs that remain, at the rate at which runs were completed during the time range shown.",
            f"({_RUNS} - {_COMPLETED}) / ({left} > 0)",
            units.Seconds,
        ),
        ("Tokens per second", "Training speed of all shards now.", f"sum ({_TOKENS_RATE})", units.Short),
        (
            "Checkpoints",
            m.CHECKPOINTS_WRITTEN.help,
            of_experiment(f"{m.CHECKPOINTS_WRITTEN.name}{_ONE}"),
            units.Short,
        ),
    ):
        yield _panel(stat.Panel().unit(unit), title, description, (4, 4), _now(expression))


def _health() -> Iterator[Builder[model.Panel]]:
    yield _panel(
        timeseries.Panel().unit(units.Short).min(0),
        "Training speed",
        "Tokens trained on per second: all shards together, and the slowest one. A slowest shard at 0 is stalled.",
        (12, 8),
        _over_time(f"sum ({_TOKENS_RATE})", "all shards"),
        _over_time(f"min ({_TOKENS_RATE})", "slowest shard"),
    )
    loss = f"({m.TRAINING_LOSS.name}{_ONE} >= 0)"  # drops the NaN of shards that have not begun
    yield _panel(
        timeseries.Panel(),
        "Training loss",
        "Nats per token, each shard's mean over its cohort: the worst, the mean and the best shard.",
        (12, 8),
        _over_time(f"max ({loss})", "worst"),
        _over_time(f"avg ({loss})", "mean"),
        _over_time(f"min ({loss})", "best"),
    )
    yield _panel(
        timeseries.Panel().unit(units.PercentUnit).min(0),
        "FLOP utilisation",
        m.TRAINING_FLOP_UTILISATION.help,
        (8, 8),
        _over_time(f"max ({m.TRAINING_FLOP_UTILISATION.name}{_ONE})", "best shard"),
        _over_time(f"min ({m.TRAINING_FLOP_UTILISATION.name}{_ONE})", "worst shard"),
    )
    yield _panel(
        timeseries.Panel().unit(units.Short).min(0),
        "Gradient norm and learning rate",
        f"{m.TRAINING_GRADIENT_NORM.help} {m.TRAINING_LEARNING_RATE.help}",
        (8, 8),
        _over_time(f"max ({m.TRAINING_GRADIENT_NORM.name}{_ONE} >= 0)", "gradient norm"),
        _over_time(f"max ({m.TRAINING_LEARNING_RATE.name}{_ONE} >= 0)", "learning rate"),
    )
    yield _panel(
        timeseries.Panel().unit(units.BytesIEC).min(0),
        "Memory",
        m.TRAINING_MEMORY.help,
        (8, 8),
        _over_time(f"max ({m.TRAINING_MEMORY.name}{_ONE})", "largest shard"),
    )
    yield _panel(
        timeseries.Panel().unit(units.Short).min(0),
        "Runs",
        "Runs completed, against those assigned to the shards that report.",
        (12, 8),
        _over_time(_COMPLETED, "completed"),
        _over_time(_RUNS, "assigned"),
    )
    seconds, stages = (
        f"sum by (stage) (max by (experiment, shard, stage) ({series}{_ONE}))" for series in m.STAGE_DURATION.series
    )
    yield _panel(
        bargauge.Panel().unit(units.Seconds).min(0),
        "Time by stage",
        "Time that finished stages took, all shards together.",
        (6, 8),
        _now(seconds, "{{stage}}"),
    )
    yield _panel(
        bargauge.Panel().unit(units.Seconds).min(0),
        "Mean duration of a stage",
        "Time that a finished stage took on average; stages that never finished are left out.",
        (6, 8),
        _now(f"{seconds} / ({stages} > 0)", "{{stage}}"),
    )


def _findings() -> Iterator[Builder[model.Panel]]:
    yield _panel(
        stat.Panel().unit(units.Short),
        "Conditions observed",
        m.EXPERIMENT_CONDITIONS.help,
        (4, 4),
        _now(f"max ({m.EXPERIMENT_CONDITIONS.name}{_ONE})"),
    )
    places = {"0": "here", "1": "in the catalogue only"}
    yield _panel(
        stat.Panel().mappings(
            [model.ValueMap(options={key: model.ValueMappingResult(text=text) for key, text in places.items()})]
        ),
        "Values",
        m.OBSERVATIONS_WITHHELD.help,
        (4, 4),
        _now(f"max ({m.OBSERVATIONS_WITHHELD.name}{_ONE})"),
    )
    yield _panel(
        stat.Panel().unit(units.PercentUnit),
        "Held-out error",
        m.LAW_HELDOUT_ERROR.help,
        (16, 4),
        _now(f"max by (law) ({m.LAW_HELDOUT_ERROR.name}{_ONE})", "{{law}}"),
    )
    parameter = f'max by (law, parameter) ({m.LAW_PARAMETER.name}{{experiment="$experiment", bound="%s"}})'
    yield _table(
        "Law parameters",
        m.LAW_PARAMETER.help,
        {"Estimate": parameter % "estimate", "Low": parameter % "low", "High": parameter % "high"},
    )
    yield _table(
        "Observations of $measure",
        f"{m.OBSERVATION.help} A row per condition, with its varied values.",
        {"Value": _of_conditions(m.OBSERVATION), "Standard error": _of_conditions(m.OBSERVATION_STDERR)},
    )


def _of_conditions(metric: m.Metric) -> str:
    """Values of the chosen measure, with the varied values of their conditions as labels."""
    values = f'max by (experiment, condition) ({metric.name}{{experiment="$experiment", measure="$measure"}})'
    return f"{m.CONDITION_INFO.name}{_ONE} * on (experiment, condition) group_left () {values}"


def _variable(label: m.Label, selector: str) -> build.QueryVariable:
    return (
        build.QueryVariable(label.name)
        .label(label.name.capitalize())
        .datasource(_SOURCE)
        .query(f"label_values({selector}, {label.name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _now(expression: str, legend: str = "") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).instant().legend_format(legend)


def _over_time(expression: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).range().legend_format(legend)


def _panel(
    panel: AnyPanel, title: str, description: str, size: tuple[int, int], *queries: prometheus.Dataquery
) -> AnyPanel:
    """A panel whose size is in columns out of 24, and in rows."""
    width, height = size
    panel = panel.title(title).description(description).datasource(_SOURCE).span(width).height(height)
    for ref, query in zip("ABC", queries, strict=False):
        panel = panel.with_target(query.ref_id(ref))
    return panel


def _table(title: str, description: str, columns: dict[str, str]) -> table.Panel:
    """A table with one row for each set of labels, and one column for each query beside those of the labels."""
    named = {f"Value #{ref}": column for ref, column in zip("ABC", columns, strict=False)}
    organize = {"renameByName": named, "excludeByName": dict.fromkeys(_NOT_OURS, True)}
    panel = (
        table.Panel()
        .with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(model.DataTransformerConfig(id_val="organize", options=organize))
    )
    queries = (_now(expression).format(PromQueryFormat.TABLE) for expression in columns.values())
    return _panel(panel, title, description, (12, 10), *queries)
