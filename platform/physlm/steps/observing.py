"""What `measure` and `probe` share: jobs on trained models, dealt out to processes and ranks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from physlm import catalog
from physlm.catalog import queries
from physlm.evaluation import jobs
from physlm.evaluation.jobs import Job
from physlm.experiment import Experiment
from physlm.launch import local, manifests
from physlm.launch.local import Workers
from physlm.report import formatting
from physlm.steps.events import Event, Listener, silent
from physlm.steps.step import DAY, Nproc, Outcome, Pod, Processes, Step
from physlm.store import Store, layout


class ObservingStep(Step):
    """A step that observes trained models. Ranks share nothing but the work."""

    reads = (layout.experiment_file_key, layout.run_key, layout.completed_key, layout.model_key)
    writes = (layout.evaluation_manifest_key, layout.batch_key, layout.batch_index_key)
    pod = Pod("4", "16Gi", DAY)

    processes: Processes = None
    nproc: Nproc = None

    @abstractmethod
    def jobs(self, experiment: Experiment) -> list[Job]:
        """What there is to observe."""

    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> None:
        """Observe what the store holds no observations of. Raises Interrupted on Ctrl-C."""
        wanted, workers = self.jobs(experiment), Workers.make(self.processes, self.nproc)
        left = [jobs.pending(store, job) for job in wanted]
        total = sum(len(job.runs) for job in wanted)
        done = float(total - sum(len(job.runs) for job in left))
        parts = jobs.partition(left, experiment.by_id, workers.processes * workers.nproc)
        if not parts:
            return

        def on_progress(name: str, runs: float) -> None:
            nonlocal done
            done += runs
            on_event(Event(self.name, done, total, f"{self.name}s of runs", name))

        on_progress("", 0)
        if len(parts) == 1:
            from physlm.evaluation.running import run_job

            for job in parts[0]:
                run_job(store, experiment, job, partial(on_progress, job.name))
            return
        shards = jobs.shards(parts, workers.nproc)
        key = manifests.put(store, layout.evaluation_manifest_key, experiment, shards)

        def hear(_: int, event: Mapping[str, Any]) -> None:
            on_progress(**event)

        arguments = ["--store", store.url, "--jobs", key]
        local.run_shards("physlm.evaluation", arguments, len(shards), hear, workers.nproc)

    def missing(self, store: Store, experiment: Experiment) -> str | None:
        """Runs that are not trained."""
        left = queries.untrained(store, [run.run_id for run in experiment.runs])
        if not left:
            return None
        return f"{store.url}: {len(left)} of {len(experiment.runs)} runs are not trained there; physlm run trains them"

    def outcome(self, store: Store, experiment: Experiment) -> Outcome:
        """What was observed of the models as wholes."""
        sources = [job.source for job in self.jobs(experiment)]
        table = catalog.overall(catalog.collect(store, [run.run_id for run in experiment.runs], sources))
        rows = table.select("run_id", "seed", "measure", "value", "stderr", "chance", "floor", "unit").to_dicts()
        return Outcome({"observations": rows}, rows=_readable(rows))


def _readable(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    heads = {"value": "value", "stderr": "± stderr", "chance": "chance", "floor": "floor"}
    return [
        {
            "run": row["run_id"],
            "measure": row["measure"],
            **{head: formatting.number(row[name]) for name, head in heads.items()},
            "unit": "" if row["unit"] == "1" else row["unit"],
        }
        for row in rows
    ]
