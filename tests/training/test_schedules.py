"""Schedules: their shapes, their refusals, and the trunk that runs of several budgets share."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
import torch
from pydantic import ValidationError

from physlm import catalog, experiment, runs
from physlm.errors import ExperimentError, Interrupted
from physlm.launch import planning
from physlm.steps.plan import summary
from physlm.store import Store, layout, open_store
from physlm.training.config import CURVE_SOURCE, ScheduleConfig
from physlm.training.loop import Options, Progress, train
from physlm.training.schedules import lr_factor

CPU = torch.device("cpu")
# Relative difference of losses between batch shapes: rounding grows while the learning rate stays at its peak.
TOLERANCE = 5e-3
TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: branches
question: What does each budget give?
task: {type: biod, people: 60, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {batch_size: 8, optimizer: {lr: 1e-2}, schedule: {type: wsd, warmup_steps: 5, final: 0, decay: 0.25}}
vary:
  training.exposures: [4, 9, 20]
seeds: [0, 1]
measure: [loss]
"""


def test_the_cosine_follows_the_warm_up() -> None:
    config = ScheduleConfig(warmup=0.1, final=0.2)
    assert lr_factor(config, 0, 0) == 0
    assert lr_factor(config, 0.05, 7) == pytest.approx(0.5)
    assert lr_factor(config, 0.1, 9) == pytest.approx(1)
    assert lr_factor(config, 0.55, 0) == pytest.approx(0.6)
    assert lr_factor(config, 1, 0) == pytest.approx(0.2)
    assert lr_factor(ScheduleConfig(warmup=0), 0, 0) == 1
    assert math.isclose(lr_factor(ScheduleConfig(final=1), 0.7, 0), 1)


def test_linear_to_zero_without_warm_up() -> None:
    config = ScheduleConfig(type="linear", warmup=0, final=0)
    assert [lr_factor(config, x, 0) for x in (0, 0.25, 0.5, 1)] == pytest.approx([1, 0.75, 0.5, 0])


def test_wsd_is_flat_and_then_decays() -> None:
    config = ScheduleConfig(type="wsd", warmup=0.1, final=0.1, decay=0.2)
    assert [lr_factor(config, x, 0) for x in (0.05, 0.1, 0.5, 0.8)] == pytest.approx([0.5, 1, 1, 1])
    assert [lr_factor(config, x, 0) for x in (0.9, 1)] == pytest.approx([0.55, 0.1])


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd"])
def test_a_warm_up_may_be_counted_in_steps(kind: str) -> None:
    config = ScheduleConfig.model_validate({"type": kind, "warmup_steps": 4, "final": 1})
    assert [lr_factor(config, 0.3, step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    assert lr_factor(ScheduleConfig(warmup_steps=0, final=1), 0, 0) == 1


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"warmup": 0.1, "warmup_steps": 3}, "give either warmup or warmup_steps"),
        ({"decay": 0.1}, "is a knob of the schedule wsd, not of cosine"),
        ({"type": "wsd", "warmup": 0.5, "decay": 0.6}, "more than the whole budget"),
    ],
)
def test_what_makes_no_sense_is_refused(knobs: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ScheduleConfig.model_validate(knobs)


def curves(store: Store, runs: tuple[runs.Run, ...]) -> pl.DataFrame:
    return catalog.collect(store, [run.run_id for run in runs], [CURVE_SOURCE])


@pytest.mark.slow
def test_several_budgets_from_one_run(tmp_path: Path) -> None:
    """Each budget gets what it gets alone, while the trunk is trained once."""
    study = experiment.parse(TEXT)
    together, alone = open_store(tmp_path / "together"), open_store(tmp_path / "alone")
    heard: list[Progress] = []
    train(together, study.runs, Options(CPU, report=heard.append))
    for run in study.runs:
        train(alone, [run], Options(CPU))
        marker, expected = (store.get_json(layout.completed_key(run.run_id)) for store in (together, alone))
        assert {**marker, "seconds": 0} == {**expected, "seconds": 0}
    ours, theirs = curves(together, study.runs), curves(alone, study.runs)
    assert ours.drop("value").equals(theirs.drop("value"))
    assert ours["value"].to_list() == pytest.approx(theirs["value"].to_list(), rel=TOLERANCE)
    instances = study.runs[0].language.population or 0
    length = study.runs[0].language.max_length
    batch = 8 * length
    # the longest budget whole, and of the others the last quarter and at most a batch of what comes before it
    least = 2 * instances * length * (20 + (9 + 4) / 4)
    assert least - 4 * batch <= sum(p.tokens for p in heard) <= least + 4 * batch


@pytest.mark.slow
def test_a_branch_point_doesnt_depend_on_stops(tmp_path: Path) -> None:
    study = experiment.parse(TEXT)
    calm, rough = open_store(tmp_path / "calm"), open_store(tmp_path / "rough")
    train(calm, study.runs, Options(CPU))
    left, stops = list(study.runs), 0
    while left:
        steps = iter(range(13))
        try:
            train(rough, left, Options(CPU, stop=lambda steps=steps: next(steps, None) is None))
        except Interrupted:
            stops += 1
        left = [run for run in left if not rough.exists(layout.completed_key(run.run_id))]
    assert stops > 5
    assert curves(rough, study.runs).equals(curves(calm, study.runs))


def test_budgets_share_a_trunk_only_where_it_is_the_same() -> None:
    def trunks(*replacements: tuple[str, str]) -> int:
        text = TEXT
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        return len({run.trunk_id for run in experiment.parse(text).runs})

    assert trunks() == 2  # one for each seed
    assert trunks(("warmup_steps: 5", "warmup: 0")) == 2
    assert trunks(("warmup_steps: 5", "warmup: 0.1")) == 6  # the length of the warm-up depends on the budget
    assert (
        trunks(("training.exposures: [4, 9, 20]", "training.schedule.decay: [0.1, 0.5]\n  training.exposures: [4]"))
        == 2
    )
    assert trunks(("training.exposures: [4, 9, 20]", "training.batch_size: [4, 8]\n  training.exposures: [4]")) == 4


def test_a_plan_counts_what_runs_share_once() -> None:
    study = experiment.parse(TEXT)
    longest = max(run.tokens for run in study.runs)
    each = sum(run.tokens for run in study.runs if run.seed == 0)
    expected = 0.75 * longest + 0.25 * each
    assert study.tokens == round(2 * expected) < sum(run.tokens for run in study.runs)
    assert study.flops == pytest.approx(study.tokens * study.runs[0].flops_per_token)
    assert summary(study)["tokens"] == study.tokens
    # The trunk goes as far as the longest that any of them needs.
    many = experiment.parse(
        TEXT.replace(
            "training.exposures: [4, 9, 20]", "training.schedule.decay: [0.1, 0.9]\n  training.exposures: [20]"
        )
    )
    assert many.tokens == round(2 * longest * (0.9 + 0.1 + 0.9))
    with pytest.raises(ExperimentError, match=r"budget.tokens: the runs need"):
        experiment.parse(TEXT + f"budget: {{tokens: {study.tokens - 1}}}\n")
    experiment.parse(TEXT + f"budget: {{tokens: {study.tokens}}}\n")


def test_a_trunk_stays_in_one_cohort_and_is_counted_once() -> None:
    study = experiment.parse(TEXT)
    shards = planning.shards(study.runs, 6)
    assert len(shards) == 2
    for shard in shards:
        (cohort,) = shard.cohorts
        assert {study.by_id[run_id].seed for run_id in cohort} in ({0}, {1})
    longest = [run for run in study.runs if run.training.exposures == 20]
    whole = sum(planning.work(run.tokens, run.flops) for run in longest)
    assert sum(shard.work for shard in shards) == pytest.approx(whole * (1 + 0.25 * (9 + 4) / 20))
