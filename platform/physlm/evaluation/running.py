"""Take a measure of the trained models of a cohort, or train a probe on them, and write what was observed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from physlm import catalog, measures, probes
from physlm.catalog import Emission, Observation, emission
from physlm.errors import UndeclaredObservation
from physlm.evaluation import models
from physlm.evaluation.jobs import Job
from physlm.evaluation.models import Trained
from physlm.experiment import Experiment
from physlm.measures.measure import Measure
from physlm.probes.probe import Probe, Progress, part_of
from physlm.probes.samples import INSTANCES
from physlm.runs import Run
from physlm.store.store import Store
from physlm.tasks.task import TaskConfig

_MAX_STATE_BYTES = 1 << 30  # of all layers' states that are held at once
_MIN_SHARE = 0.01  # of a job that is worth a report


def run_job(store: Store, experiment: Experiment, job: Job, report: Callable[[float], None]) -> None:
    """Do a job.

    report: is told how many runs more are done, in parts of one too. Raises MissingObject for a run not trained.
    """
    cohort = [experiment.by_id[run_id] for run_id in job.runs]
    reported = 0.0

    def progress(share: float) -> None:
        nonlocal reported
        if share >= min(1.0, reported + _MIN_SHARE):
            report(len(job.runs) * (share - reported))
            reported = share

    if job.kind == "measure":
        measure(store, measures.find(job.name), cohort)
    else:
        probe(store, probes.make(job.name, experiment.probes[job.name]), cohort, progress)
    progress(1.0)


def measure(store: Store, cls: type[Measure], cohort: Sequence[Run]) -> None:
    """Measure models of one shape together; a diverged run gets an empty table."""
    if trained := _trained(store, cls.source(), cohort):
        decoder = models.load(store, trained)
        rows = cls().evaluate(decoder, [one.member for one in trained])
        _write(store, cls, cls.source(), trained, rows)


def probe(store: Store, made: Probe, cohort: Sequence[Run], progress: Progress = lambda share: None) -> None:
    """Train a probe on models of one shape, as many at once as memory allows; a diverged run gets an empty table."""
    trained = _trained(store, made.source, cohort)
    done = 0
    for part in _parts(made, trained):
        made.progress = part_of(progress, done / len(trained), len(part) / len(trained))
        members = [one.member for one in part]
        decoder = models.with_untrained(models.load(store, part), members)
        _write(store, type(made), made.source, part, made.evaluate(decoder, members))
        done += len(part)


def _trained(store: Store, source: str, cohort: Sequence[Run]) -> list[Trained]:
    """Runs with a model to look at; of the others it is written that there is nothing to observe."""
    trained = models.trained_runs(store, cohort)
    alive = {one.run.run_id for one in trained}
    nothing = {run.run_id: catalog.table(run.description(), source, []) for run in cohort if run.run_id not in alive}
    catalog.write_batch(store, source, nothing)
    return trained


def _write(
    store: Store,
    emitter: type[Measure | Probe],
    source: str,
    trained: Sequence[Trained],
    observations: Sequence[Sequence[Observation]],
) -> None:
    """Raises UndeclaredObservation for what the measure or probe doesn't say that it emits."""
    tables = {}
    declared: dict[TaskConfig, Sequence[Emission]] = {}
    for one, rows in zip(trained, observations, strict=True):
        if one.run.task not in declared:
            declared[one.run.task] = emitter.emits(one.run.language)
        for fault in emission.faults(declared[one.run.task], rows):
            raise UndeclaredObservation(f"{emitter.__module__}: {fault}")
        moment = one.run.moment(one.tokens, one.instances)
        tables[one.run.run_id] = catalog.table(one.run.description(), source, [(moment, row) for row in rows])
    catalog.write_batch(store, source, tables)


def _parts(made: Probe, trained: Sequence[Trained]) -> Iterator[list[Trained]]:
    """Models that are probed together: of the same targets, and not so many that memory is short."""
    groups: dict[tuple[tuple[str, int], ...], list[Trained]] = defaultdict(list)
    for one in trained:
        groups[tuple(made.targets(one.run.language).items())].append(one)
    for group in groups.values():
        first = group[0].run
        states = 2 * (first.model.layers + 1) * INSTANCES * first.language.max_length * first.model.width * 4
        at_once = max(1, _MAX_STATE_BYTES // states)
        for start in range(0, len(group), at_once):
            yield group[start : start + at_once]
