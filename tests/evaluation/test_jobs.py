"""Measures and probes are dealt out whole, evenly, and to no more processes than they are worth."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm import experiment
from physlm.evaluation import jobs
from physlm.evaluation.jobs import Job
from physlm.experiment import Experiment
from physlm.launch import planning

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: looked-at
question: Is everything looked at once?
task: {{type: cfg, sizes: [1, 3, 3, 3]}}
model: {{type: gpt2, layers: 1, heads: 1}}
training: {{tokens: 1000}}
vary:
  model.width: {widths}
seeds: {seeds}
measure: [loss]
"""


def study(widths: list[int], seeds: int) -> Experiment:
    return experiment.parse(TEXT.format(widths=widths, seeds=list(range(seeds))))


def wanted(made: Experiment, names: list[str]) -> list[Job]:
    return [Job("measure", name, f"{name}-v1", tuple(run.run_id for run in made.runs)) for name in names]


@pytest.mark.slow
@given(
    st.lists(st.integers(2, 20).map(lambda x: 2 * x), min_size=1, max_size=3, unique=True),
    st.integers(1, 12),
    st.lists(st.sampled_from(["loss", "kl", "validity"]), unique=True),
    st.integers(1, 5),
)
@settings(max_examples=30)
def test_every_run_is_looked_at_once_by_each(widths: list[int], seeds: int, names: list[str], parts: int) -> None:
    made = study(widths, seeds)
    dealt = jobs.partition(wanted(made, names), made.by_id, parts)
    assert len(dealt) <= parts
    assert all(dealt)
    looked = Counter((job.name, run_id) for part in dealt for job in part for run_id in job.runs)
    assert looked == Counter((name, run.run_id) for name in names for run in made.runs)
    for part in dealt:
        assert [names.index(job.name) for job in part] == sorted(names.index(job.name) for job in part)
        for job in part:
            assert len({made.by_id[run_id].shape for run_id in job.runs}) == 1
            assert job.source == f"{job.name}-v1"


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_are_even(parts: int) -> None:
    made = study([16, 32], 24)
    dealt = jobs.partition(wanted(made, ["loss", "kl"]), made.by_id, parts)
    work = [sum(planning.work(1, made.by_id[i].flops_per_token) for job in part for i in job.runs) for part in dealt]
    assert len(work) == parts
    assert max(work) < 1.15 * sum(work) / parts


def test_probes_of_one_model_go_to_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_WORTH_A_PROCESS", 0.0)
    made = study([64], 1)
    dealt = jobs.partition(wanted(made, ["linear", "position"]), made.by_id, 4)
    assert sorted(job.name for part in dealt for job in part) == ["linear", "position"]
    assert len(dealt) == 2


def test_little_work_starts_no_processes() -> None:
    made = study([16], 2)
    assert len(jobs.partition(wanted(made, ["loss"]), made.by_id, 8)) == 1


@pytest.mark.parametrize(("parts", "nproc"), [(1, 1), (3, 1), (4, 2), (3, 2), (1, 4)])
def test_a_manifest_has_all_jobs_and_a_list_for_each_rank(parts: int, nproc: int) -> None:
    dealt = [[Job("probe", "v", "probe-v-v2", (f"run-{part}", "another"))] for part in range(parts)]
    shards = jobs.shards(dealt, nproc)
    assert all(len(ranks) == nproc for ranks in shards)
    told = [Job.from_json(job) for ranks in shards for rank in ranks for job in rank]
    assert told == [job for part in dealt for job in part]
