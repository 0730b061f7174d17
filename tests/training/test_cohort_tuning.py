"""Groups of the size that is quickest on the device, and every run in one of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from physlm import experiment
from physlm.runs import Run
from physlm.training import cohort_tuning

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: many
question: How many at once?
task: {type: copying, length: 4, symbols: 4}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {tokens: 1000000, batch_size: 4}
seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
measure: [loss]
"""
RUNS = experiment.parse(TEXT).runs
CPU = torch.device("cpu")


@given(st.integers(0, 20), st.integers(1, 30))
def test_groups_are_of_the_quickest_size(count: int, cache_holds: int) -> None:
    def rate(group: Sequence[Run]) -> float:
        return 1000.0 * len(group) if len(group) <= cache_holds else 300.0 * cache_holds

    groups = cohort_tuning.split(RUNS[:count], CPU, rate)
    assert sorted(run.run_id for group in groups for run in group) == sorted(run.run_id for run in RUNS[:count])
    if count <= max(7, cache_holds):
        assert len(groups) == min(1, count)
    elif cache_holds >= count / 2:
        assert {len(group) for group in groups} <= {count // 2, count // 2 + 1}


def test_a_short_training_is_not_split() -> None:
    assert len(cohort_tuning.split(RUNS, CPU, lambda group: 1e9 / len(group))) == 1


@pytest.mark.parametrize("members", [1, 3])
def test_the_device_is_measured_by_real_steps(members: int) -> None:
    assert 10 < cohort_tuning.tokens_per_second(RUNS[:members], CPU) < 1e9
