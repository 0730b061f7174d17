"""The step `collect`: one table of all that was observed."""

from __future__ import annotations

import polars as pl

from physlm import catalog, sweeps
from physlm.catalog import queries
from physlm.evaluation import jobs
from physlm.experiment import CHOSEN_BY, Experiment
from physlm.steps.events import Event, Listener, silent
from physlm.steps.step import Step, register
from physlm.store import Store, layout
from physlm.training.config import CURVE_SOURCE


@register
class Collect(Step):
    """Gather the experiment's observations from the catalogue into one table in the store.

    With the columns `experiment`, `held_out` and `chosen`: false for runs of a sweep that aren't the best of their
    condition. Diverged runs are in it with their learning curves alone.
    """

    name = "collect"
    reads = (
        layout.experiment_file_key,
        layout.run_observations_key,
        layout.batch_key,
        layout.batch_index_key,
    )
    writes = (layout.observations_key, layout.sweep_key)
    quick = True

    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> None:
        """Gather what is there; memory is bounded. Raises CorruptObject for a damaged file."""
        observed = (*jobs.measuring(experiment), *jobs.probing(experiment))
        sources = [CURVE_SOURCE, *(job.source for job in observed)]
        held_out = [run.run_id for run in experiment.runs if experiment.held_out(run)]
        with catalog.gathered(store, [run.run_id for run in experiment.runs], sources) as table:
            choices = (
                sweeps.choose(experiment, queries.final(table, measures=[CHOSEN_BY])) if experiment.file.sweep else []
            )
            if choices:
                store.put_json(layout.sweep_key(experiment.key), [choice.to_json() for choice in choices])
                chosen = [run_id for choice in choices for run_id in choice.run_ids]
            else:
                chosen = [run.run_id for run in experiment.runs]
            marked = table.with_columns(
                pl.lit(experiment.name).alias("experiment"),
                pl.col("run_id").is_in(held_out).alias("held_out"),
                pl.col("run_id").is_in(chosen).alias("chosen"),
            )
            rows = catalog.write_scanned(store, marked, layout.observations_key(experiment.key))
        on_event(Event(self.name, rows, rows, "observations"))
