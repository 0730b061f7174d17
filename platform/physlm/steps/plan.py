"""The step `plan`, the first: what the experiment would run, checked and written down."""

from __future__ import annotations

from typing import Any

from physlm.catalog import queries
from physlm.experiment import Experiment
from physlm.launch import planning
from physlm.steps.checks import check
from physlm.steps.events import Event, Listener, silent
from physlm.steps.step import Outcome, Step, register
from physlm.store import Store, layout


@register
class Plan(Step):
    """Check that an experiment makes sense as a whole, and write its file and its plan to the store."""

    name = "plan"
    reads = ()
    writes = (layout.experiment_file_key, layout.plan_key)
    quick = True

    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> dict[str, Any]:
        """Write them, and return the plan. Raises ExperimentError before anything is written."""
        check(experiment)
        document = summary(experiment)
        run_ids = [run.run_id for run in experiment.runs]
        store.put(layout.experiment_file_key(experiment.key), experiment.source.encode())
        store.put_json(layout.plan_key(experiment.key), {**document, "run_ids": run_ids})
        left = len(queries.untrained(store, run_ids))
        on_event(Event(self.name, len(run_ids) - left, len(run_ids), "runs", f"{left} runs to train"))
        return document

    def outcome(self, store: Store, experiment: Experiment) -> Outcome:
        return Outcome(store.get_json(layout.plan_key(experiment.key)), f"plan: {layout.plan_key(experiment.key)}")


def summary(experiment: Experiment) -> dict[str, Any]:
    """What the experiment would run: counts, parameters, tokens and FLOPs.

    runs_before: that these go on from. Tokens and FLOPs are those of all, and what runs share is counted once.
    """
    runs = experiment.runs
    return {
        "experiment": experiment.name,
        "experiment_id": experiment.experiment_id,
        "question": experiment.file.question,
        "runs": len(runs),
        "conditions": len({run.condition_id for run in runs}),
        "runs_before": len(experiment.by_id) - len({run.run_id for run in runs}),
        "cohorts": sum(len(planning.cohorts(wave)) for wave in experiment.waves),
        "worlds": len({run.world_id for run in experiment.by_id.values()}),
        "held_out_runs": sum(map(experiment.held_out, runs)),
        "parameters": sorted({run.parameters_counted for run in runs}),
        "tokens": experiment.tokens,
        "flops": experiment.flops,
    }
