"""Recording rules and alerts, as Prometheus reads them. Names follow `level:metric:operation`.

A shard that is both scraped and pushed, or moves to another pod, exports the same series twice for a while: what it
shows is therefore first taken once per experiment and shard.
"""

from __future__ import annotations

from typing import Any

from physlm.telemetry import metrics as m

_SHARD = f"{m.EXPERIMENT.name}, {m.SHARD.name}"


def once_per_shard(expression: str) -> str:
    """Each shard's value, however often it is exported."""
    return f"max by ({_SHARD}) ({expression})"


def of_experiment(expression: str) -> str:
    """Sum over an experiment's shards."""
    return f"sum by ({m.EXPERIMENT.name}) ({once_per_shard(expression)})"


_RUNS = "experiment_shard:physlm_shard_runs:max"
_COMPLETED = "experiment_shard:physlm_shard_runs_completed:max"

RECORDINGS = {
    _RUNS: once_per_shard(m.SHARD_RUNS.name),
    _COMPLETED: once_per_shard(m.SHARD_RUNS_COMPLETED.name),
    "experiment:physlm_shard_runs:sum": of_experiment(m.SHARD_RUNS.name),
    "experiment:physlm_shard_runs_completed:sum": of_experiment(m.SHARD_RUNS_COMPLETED.name),
    "experiment:physlm_training_tokens:rate5m": of_experiment(f"rate({m.TRAINING_TOKENS.name}[5m])"),
}
"""Series that outlive the shards' own: how far an experiment was, and how fast."""

_LOSS = m.TRAINING_LOSS.name
_FINISHED_STAGES = f"sum by ({_SHARD}) (increase({m.STAGE_DURATION.name}_count[15m]))"
_TOKENS = once_per_shard(f"increase({m.TRAINING_TOKENS.name}[15m])")

_ALERTS: list[dict[str, Any]] = [
    {
        "alert": "PhyslmShardStalled",
        "expr": f"({_COMPLETED} < {_RUNS}) and on ({_SHARD}) {_TOKENS} == 0 and on ({_SHARD}) {_FINISHED_STAGES} == 0",
        "for": "15m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "Shard {{ $labels.shard }} of {{ $labels.experiment }} makes no progress.",
            "description": (
                "For half an hour it has trained on no token and finished no stage, with {{ $value }} of its runs "
                "complete. Look at its pod's log; deleting the pod resumes it from its last checkpoint."
            ),
        },
    },
    {
        "alert": "PhyslmShardLost",
        "expr": (f"(last_over_time({_COMPLETED}[1h]) < last_over_time({_RUNS}[1h])) unless on ({_SHARD}) {_RUNS}"),
        "for": "10m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "Shard {{ $labels.shard }} of {{ $labels.experiment }} is gone with runs unfinished.",
            "description": (
                "It completed {{ $value }} of its runs and has shown no metrics for ten minutes. "
                "Submit the experiment again: it does only what is missing."
            ),
        },
    },
    {
        "alert": "PhyslmLossNotFinite",
        "expr": (
            f"{once_per_shard(f'{_LOSS} != {_LOSS} or abs({_LOSS}) == Inf')} "
            f"and on ({_SHARD}) {once_per_shard(m.TRAINING_TOKENS.name)} > 0"
        ),
        "for": "5m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "Training of shard {{ $labels.shard }} of {{ $labels.experiment }} has diverged.",
            "description": "The mean loss of its cohort is {{ $value }}. A lower learning rate is the usual remedy.",
        },
    },
]


def rule_groups() -> dict[str, Any]:
    """The rule file: what is recorded, then what alerts (which reads what is recorded)."""
    recordings = [{"record": name, "expr": expression} for name, expression in RECORDINGS.items()]
    return {"groups": [{"name": "physlm.progress", "rules": recordings}, {"name": "physlm.alerts", "rules": _ALERTS}]}
