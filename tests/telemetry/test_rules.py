"""The rules, judged by promtool: they are valid, and alert when they should and only then."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from physlm.telemetry import metrics as m
from physlm.telemetry.rules import RECORDINGS, rule_groups

SHARD = '{experiment="capacity", shard="0"}'

# Each minute of two hours, in promtool's notation: start+step x times; _ is a minute without the series.
HEALTHY = {
    f"physlm_shard_runs{SHARD}": "8x120",
    f"physlm_shard_runs_completed_total{SHARD}": "0+0x30 1+0x90",
    f"physlm_training_tokens_total{SHARD}": "0+5000x120",
    f"physlm_training_loss_nats{SHARD}": "NaN 3-0.01x119",
    'physlm_stage_duration_seconds_count{experiment="capacity", shard="0", stage="train"}': "0x120",
}
STANDSTILL = {**HEALTHY, f"physlm_training_tokens_total{SHARD}": "0+5000x20 100000+0x100"}
MEASURING = {
    **STANDSTILL,
    'physlm_stage_duration_seconds_count{experiment="capacity", shard="0", stage="train"}': "0+0.1x120",
}
FINISHED = {**STANDSTILL, f"physlm_shard_runs_completed_total{SHARD}": "0+1x8 8x112"}
GONE = {
    f"physlm_shard_runs{SHARD}": "8x20 _x100",
    f"physlm_shard_runs_completed_total{SHARD}": "0x20 _x100",
    f"physlm_training_tokens_total{SHARD}": "0+5000x20 _x100",
}
MOVED = {**GONE, **{series.replace("}", ', pod="b"}'): f"_x21 {values}" for series, values in HEALTHY.items()}}
DIVERGED = {**HEALTHY, f"physlm_training_loss_nats{SHARD}": "NaN 3-0.01x20" + 100 * " NaN"}


@pytest.fixture
def promtool(binary: Callable[[str], str], tmp_path: Path) -> Callable[[str, object], None]:
    """Run `promtool CHECK rules` over the rules, or over a file that tests them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_groups()))

    def run(check: str, tests: object = None) -> None:
        file = tmp_path / "rules.yaml"
        if tests is not None:
            file = tmp_path / "tests.yaml"
            file.write_text(yaml.safe_dump(tests))
        command = [binary("promtool"), check, "rules", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.mark.services
def test_rules_are_valid(promtool: Callable[..., None]) -> None:
    promtool("check")


@pytest.mark.services
@pytest.mark.parametrize(
    ("series", "alert"),
    [
        (HEALTHY, None),
        (STANDSTILL, "PhyslmShardStalled"),
        (MEASURING, None),
        (FINISHED, None),
        (GONE, "PhyslmShardLost"),
        (MOVED, None),
        (DIVERGED, "PhyslmLossNotFinite"),
    ],
    ids=["healthy", "standstill", "measuring", "finished", "gone", "moved", "diverged"],
)
def test_alerts_tell_trouble_from_work(
    promtool: Callable[..., None], series: dict[str, str], alert: str | None
) -> None:
    firing = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if alert else []
    query = {"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": "60m", "exp_samples": firing}
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [query, {**query, "eval_time": "15m", "exp_samples": []}],
    }
    promtool("test", {"rule_files": ["rules.yaml"], "tests": [case]})


@pytest.mark.services
def test_progress_is_recorded(promtool: Callable[..., None]) -> None:
    both = {**HEALTHY, **{series.replace('"0"', '"1"'): values for series, values in HEALTHY.items()}}
    both |= {series.replace("}", ', job="pushed"}'): values for series, values in HEALTHY.items()}
    expected = {
        "experiment:physlm_shard_runs:sum": 16,
        "experiment:physlm_shard_runs_completed:sum": 2,
        "experiment:physlm_training_tokens:rate5m": 2 * 5000 / 60,
    }
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in both.items()],
        "promql_expr_test": [
            {
                "expr": f"round({name}, 0.001)",
                "eval_time": "60m",
                "exp_samples": [{"labels": '{experiment="capacity"}', "value": round(value, 3)}],
            }
            for name, value in expected.items()
        ],
    }
    promtool("test", {"rule_files": ["rules.yaml"], "tests": [case]})


def test_rules_read_what_exists() -> None:
    exported = {name for metric in m.METRICS for name in metric.series}
    rules = [rule for group in rule_groups()["groups"] for rule in group["rules"]]
    for rule in rules:
        read = set(re.findall(r"[a-z_:]*physlm_\w+(?::\w+)?", rule["expr"]))
        assert read
        assert read <= exported | set(RECORDINGS), rule["expr"]
    for name in RECORDINGS:
        assert re.fullmatch(r"experiment(_shard)?:physlm_\w+:\w+", name)
    for alert in (rule for rule in rules if "alert" in rule):
        assert alert["labels"]["severity"] == "warning"
        assert set(alert["annotations"]) == {"summary", "description"}
