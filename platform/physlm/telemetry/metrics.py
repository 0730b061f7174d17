"""Every metric physlm exports and every rule's label: names, help, units and the labels' possible values.

Exporter, rules, dashboard and the chart's README are made from these constants, so a name is written once.
Conventions: base units, counters end in `_total`, few labels whose number of values is known, never a run's identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

MAX_CONDITIONS = 1_000
"""An experiment with more conditions exports no values: they are in the catalogue only."""

Bound = Literal["estimate", "low", "high"]
Quantity = Literal["tokens", "exposures", "flops", "parameters", "parameters_counted"]

BOUNDS: tuple[Bound, ...] = get_args(Bound)
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@dataclass(frozen=True)
class Label:
    """A label key; `values` lists what it can be, or is empty where `meaning` says what bounds it."""

    name: str
    meaning: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A metric family, named with its unit as Prometheus has it; a summary exports `_sum` and `_count`."""

    name: str
    kind: Literal["counter", "gauge", "summary"]
    help: str
    unit: str
    labels: tuple[Label, ...]

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the family's series, as PromQL sees them."""
        return (f"{self.name}_sum", f"{self.name}_count") if self.kind == "summary" else (self.name,)


EXPERIMENT = Label("experiment", "name in the experiment file: one per process")
SHARD = Label("shard", "index of the shard: about one per accelerator")
STAGE = Label("stage", "name of the step that a shard was busy with: one per process")
CONDITION = Label("condition", f"identity of a condition, the same for all its seeds: at most {MAX_CONDITIONS:,}")
MEASURE = Label("measure", "a measure or probe result named in the catalogue: some ten per experiment")
QUANTITY = Label("quantity", "what a condition's size is counted in", QUANTITIES)
LAW = Label("law", "a law named in the experiment file")
PARAMETER = Label("parameter", "a parameter of the law: some ten at most")
BOUND = Label("bound", "the estimate, or an end of its interval", BOUNDS)
VERSION = Label("version", "version of physlm")

_PER_SHARD = (EXPERIMENT, SHARD)
_PER_OBSERVATION = (EXPERIMENT, CONDITION, MEASURE)

BUILD_INFO = Metric("physlm_build_info", "gauge", "Always 1; which physlm exports these metrics.", "", (VERSION,))

# Live, from each shard
TRAINING_TOKENS = Metric(
    "physlm_training_tokens_total",
    "counter",
    "Tokens trained on, all runs of the shard together.",
    "tokens",
    _PER_SHARD,
)
TRAINING_TOKENS_PER_SECOND = Metric(
    "physlm_training_tokens_per_second",
    "gauge",
    "Tokens trained on per second, as last measured by the shard itself.",
    "tokens per second",
    _PER_SHARD,
)
TRAINING_LOSS = Metric(
    "physlm_training_loss_nats",
    "gauge",
    "Training loss per token, mean over the members of the cohort in training; NaN before the first step.",
    "nats",
    _PER_SHARD,
)
TRAINING_FLOPS = Metric(
    "physlm_training_flops_total",
    "counter",
    "Floating-point operations of training by the models' formulas, all runs of the shard together.",
    "floating-point operations",
    _PER_SHARD,
)
TRAINING_FLOP_UTILISATION = Metric(
    "physlm_training_flop_utilisation_ratio",
    "gauge",
    "Training's FLOP/s over those of a product of large matrices, measured on the same devices at the start.",
    "ratio",
    _PER_SHARD,
)
TRAINING_LEARNING_RATE = Metric(
    "physlm_training_learning_rate",
    "gauge",
    "Learning rate, the highest among the members in training; NaN before the first step.",
    "",
    _PER_SHARD,
)
TRAINING_GRADIENT_NORM = Metric(
    "physlm_training_gradient_norm",
    "gauge",
    "Gradient's norm before clipping, the largest among the members at the last step; NaN before the first step.",
    "nats per unit of a parameter",
    _PER_SHARD,
)
TRAINING_MEMORY = Metric(
    "physlm_training_memory_bytes",
    "gauge",
    "Most memory taken so far, of GPUs or else of the machine, all processes of the shard together.",
    "bytes",
    _PER_SHARD,
)
SHARD_RUNS = Metric("physlm_shard_runs", "gauge", "Runs assigned to the shard.", "runs", _PER_SHARD)
SHARD_RUNS_COMPLETED = Metric(
    "physlm_shard_runs_completed_total",
    "counter",
    "Runs of the shard that are complete, with those found complete at its start.",
    "runs",
    _PER_SHARD,
)
CHECKPOINTS_WRITTEN = Metric(
    "physlm_checkpoints_written_total", "counter", "Checkpoints written to the store.", "checkpoints", _PER_SHARD
)
STAGE_DURATION = Metric(
    "physlm_stage_duration_seconds", "summary", "Time that finished stages took.", "seconds", (*_PER_SHARD, STAGE)
)

# Results, from the steps that collect and fit
OBSERVATION = Metric(
    "physlm_observation", "gauge", "Value at the end of training, mean over seeds.", "the measure's", _PER_OBSERVATION
)
OBSERVATION_STDERR = Metric(
    "physlm_observation_stderr",
    "gauge",
    "Standard error of the mean over seeds; with a single seed, of its measurement.",
    "the measure's",
    _PER_OBSERVATION,
)
OBSERVATION_SEEDS = Metric(
    "physlm_observation_seeds", "gauge", "Seeds that the mean is over.", "seeds", _PER_OBSERVATION
)
OBSERVATION_SAMPLES = Metric(
    "physlm_observation_samples", "gauge", "Instances measured, all seeds together.", "instances", _PER_OBSERVATION
)
OBSERVATION_CHANCE = Metric(
    "physlm_observation_chance", "gauge", "Value of guessing, mean over seeds.", "the measure's", _PER_OBSERVATION
)
OBSERVATION_FLOOR = Metric(
    "physlm_observation_floor", "gauge", "Lowest possible value, mean over seeds.", "the measure's", _PER_OBSERVATION
)
OBSERVATION_CEILING = Metric(
    "physlm_observation_ceiling", "gauge", "Highest possible value, mean over seeds.", "the measure's", _PER_OBSERVATION
)
CONDITION_INFO = Metric(
    "physlm_condition_info",
    "gauge",
    "Always 1; the varied values of a condition, one more label per varied key with `__` for its dots.",
    "",
    (EXPERIMENT, CONDITION),
)
CONDITION_SIZE = Metric(
    "physlm_condition_size",
    "gauge",
    "How large a condition is in several quantities, mean over seeds.",
    "the quantity's",
    (EXPERIMENT, CONDITION, QUANTITY),
)
EXPERIMENT_CONDITIONS = Metric(
    "physlm_experiment_conditions", "gauge", "Conditions with observations.", "conditions", (EXPERIMENT,)
)
OBSERVATIONS_WITHHELD = Metric(
    "physlm_observations_withheld",
    "gauge",
    f"1 when values are in the catalogue only, since there are more than {MAX_CONDITIONS:,} conditions; otherwise 0.",
    "",
    (EXPERIMENT,),
)
LAW_PARAMETER = Metric(
    "physlm_law_parameter",
    "gauge",
    "Fitted parameter of a law with its interval.",
    "the parameter's",
    (EXPERIMENT, LAW, PARAMETER, BOUND),
)
LAW_HELDOUT_ERROR = Metric(
    "physlm_law_heldout_error_ratio",
    "gauge",
    "Relative error of a law's predictions on the conditions held out from its fit.",
    "ratio",
    (EXPERIMENT, LAW),
)

STATISTICS = {
    "value": OBSERVATION,
    "stderr": OBSERVATION_STDERR,
    "seeds": OBSERVATION_SEEDS,
    "samples": OBSERVATION_SAMPLES,
    "chance": OBSERVATION_CHANCE,
    "floor": OBSERVATION_FLOOR,
    "ceiling": OBSERVATION_CEILING,
}
"""What is known of a condition's measure, by its column in the table of `physlm.telemetry.conditions`."""

LIVE = (
    BUILD_INFO,
    TRAINING_TOKENS,
    TRAINING_TOKENS_PER_SECOND,
    TRAINING_LOSS,
    TRAINING_FLOPS,
    TRAINING_FLOP_UTILISATION,
    TRAINING_LEARNING_RATE,
    TRAINING_GRADIENT_NORM,
    TRAINING_MEMORY,
    SHARD_RUNS,
    SHARD_RUNS_COMPLETED,
    CHECKPOINTS_WRITTEN,
    STAGE_DURATION,
)
"""What a shard's `/metrics` shows."""

RESULTS = (
    *STATISTICS.values(),
    CONDITION_INFO,
    CONDITION_SIZE,
    EXPERIMENT_CONDITIONS,
    OBSERVATIONS_WITHHELD,
    LAW_PARAMETER,
    LAW_HELDOUT_ERROR,
)
"""What the steps that collect and fit push."""

METRICS = LIVE + RESULTS
