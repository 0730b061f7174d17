"""Cohorts hold runs of one shape, shards share the work."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm import experiment
from physlm.launch import planning

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: grid
question: Is every run planned once?
task: {{type: biod, people: 30, attributes: 2, diversity: 8, vocabulary: 8}}
model: {{type: gpt2, layers: 1, heads: 1}}
vary:
  model.width: {widths}
  training.exposures: {exposures}
seeds: {seeds}
measure: [loss]
"""


@pytest.mark.slow
@given(
    st.lists(st.integers(2, 20).map(lambda x: 2 * x), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(1, 2000), min_size=1, max_size=4, unique=True),
    st.integers(1, 20),
    st.integers(1, 9),
)
@settings(max_examples=30)
def test_every_run_is_in_one_shard(widths: list[int], exposures: list[int], seeds: int, count: int) -> None:
    study = experiment.parse(TEXT.format(widths=widths, exposures=exposures, seeds=list(range(seeds))))
    shards = planning.shards(study.runs, count)
    planned = [run_id for shard in shards for cohort in shard.cohorts for run_id in cohort]
    assert sorted(planned) == sorted(run.run_id for run in study.runs)
    assert len(shards) <= count
    for shard in shards:
        for cohort in shard.cohorts:
            assert len({study.by_id[run_id].shape for run_id in cohort}) == 1
            assert len(cohort) <= planning.MAX_MEMBERS


@pytest.mark.parametrize("count", [2, 3, 8])
def test_shards_share_the_work_evenly(count: int) -> None:
    study = experiment.parse(TEXT.format(widths=[8, 16], exposures=[100, 300, 1000], seeds=list(range(16))))
    work = [shard.work for shard in planning.shards(study.runs, count)]
    assert len(work) == count
    assert max(work) < 1.15 * sum(work) / count


def test_the_plan_doesnt_depend_on_the_order_of_runs() -> None:
    study = experiment.parse(TEXT.format(widths=[8, 16], exposures=[100, 300], seeds=[0, 1, 2]))
    assert planning.shards(study.runs, 3) == planning.shards(study.runs[::-1], 3)


def test_large_models_train_in_small_cohorts() -> None:
    """Memory and FLOPs of a step bound a cohort, and a run that is too large for both is one of its own."""
    text = TEXT.format(widths=[16, 2048, 16_384], exposures=[1], seeds=list(range(16)))
    groups = planning.cohorts(experiment.parse(text).runs)
    sizes = {width: {len(g) for g in groups if g[0].model.width == width} for width in (16, 2048, 16_384)}
    assert sizes[16] == {16}
    assert max(sizes[2048]) in range(2, 16)
    assert sizes[16_384] == {1}
    for group in groups:
        step = sum(run.training.batch_size * run.context_length * run.flops_per_token for run in group)
        assert len(group) == 1 or step <= planning.STEP_FLOPS
