"""Which process takes which measures, or trains which probes; torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from physlm import catalog, measures, probes
from physlm.experiment import Experiment
from physlm.launch import planning
from physlm.runs import Run
from physlm.store import Store

# FLOPs. With less to do in all, processes save less than their start takes: some six seconds, at 10 GFLOP/s each.
_WORTH_A_PROCESS = 1e11
_INSTANCES = 1000  # that an average measure reads or writes


@dataclass(frozen=True)
class Job:
    """One measure, or one probe, of a cohort.

    kind    which of the two the name is of
    source  of the observations
    runs    their ids, of one shape
    """

    kind: Literal["measure", "probe"]
    name: str
    source: str
    runs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Job:
        """What `to_json` has made."""
        return cls(**{**document, "runs": tuple(document["runs"])})


def measuring(experiment: Experiment) -> list[Job]:
    """Each measure of the experiment, of all its runs."""
    ids = tuple(run.run_id for run in experiment.runs)
    return [Job("measure", name, measures.find(name).source(), ids) for name in experiment.measures]


def probing(experiment: Experiment) -> list[Job]:
    """Each probe of the experiment, of all its runs."""
    ids = tuple(run.run_id for run in experiment.runs)
    made = (probes.make(name, knobs) for name, knobs in experiment.probes.items())
    return [Job("probe", probe.name, probe.source, ids) for probe in made]


def pending(store: Store, job: Job) -> Job:
    """The same for the runs that the store holds no observations of."""
    observed = catalog.observed(store, job.runs, job.source)
    return replace(job, runs=tuple(run_id for run_id in job.runs if run_id not in observed))


def partition(wanted: Iterable[Job], by_id: Mapping[str, Run], parts: int) -> list[list[Job]]:
    """The same work as cohorts that are looked at together, in at most so many parts that take about as long.

    wanted: of runs of any shapes. There is one part alone where more would not be worth their start.
    """
    wanted = list(wanted)
    if sum(map(_work, [[by_id[run_id] for run_id in job.runs] for job in wanted])) < _WORTH_A_PROCESS:
        parts = 1
    cohorts: list[list[Run]] = []
    jobs: list[Job] = []
    for job in wanted:
        for cohort in planning.split([by_id[run_id] for run_id in job.runs], parts, _work):
            cohorts.append(cohort)
            jobs.append(Job(job.kind, job.name, job.source, tuple(run.run_id for run in cohort)))
    assigned = (members for _, members in planning.assign(cohorts, parts, _work))
    return [[jobs[i] for i in sorted(members)] for members in assigned if members]


def shards(parts: Sequence[Sequence[Job]], nproc: int) -> list[list[list[dict[str, Any]]]]:
    """Parts as a manifest has them, by shard and by rank; ranks of the last shard may have nothing to do."""
    ranks = [[job.to_json() for job in part] for part in parts]
    ranks += [[] for _ in range(-len(parts) % nproc)]
    return [ranks[start : start + nproc] for start in range(0, len(ranks), nproc)]


def _work(cohort: Sequence[Run]) -> float:
    return sum(
        planning.work(tokens, tokens * run.flops_per_token)
        for run in cohort
        for tokens in [_INSTANCES * run.language.max_length]
    )
