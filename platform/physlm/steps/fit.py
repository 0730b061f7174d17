"""The step `fit`: laws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import polars as pl

from physlm import catalog, fitting, laws
from physlm.catalog import queries
from physlm.errors import LawDataError
from physlm.experiment import Experiment
from physlm.fitting import pooling, random_effects, robustness
from physlm.steps.checks import check
from physlm.steps.events import Event, Listener, silent
from physlm.steps.step import DAY, Outcome, Pod, Step, register
from physlm.store import Store, layout

_TRIED = 200  # resamples of fits under other conventions: whether a conclusion turns, not by how much


@register
class Fit(Step):
    """Fit the experiment's laws to its observations, and test them on what is held out.

    Of a sweep only the best runs count. A law that the observations can't identify is stored with the reason, and the
    page tells it: what was observed is worth its page all the same.
    """

    name = "fit"
    reads = (layout.experiment_file_key, layout.observations_key, layout.completed_key)
    writes = (layout.law_key, layout.conventions_key, layout.groups_key, layout.evidence_key, layout.score_key)
    pod = Pod("2", "8Gi", DAY)
    shows = ("metrics", "summary")

    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> list[fitting.Fit]:
        """Fit them, store them as JSON, and return those that could be fitted."""
        fits = []
        for done, name in enumerate(experiment.file.laws, 1):
            try:
                table = queries.table_of(store, experiment.key, name)
                result = fitting.fit(name, table, hold_out=pl.col("held_out"))
            except LawDataError as error:
                store.put_json(layout.law_key(experiment.key, name), {"law": name, "refused": str(error)})
            else:
                store.put_json(layout.law_key(experiment.key, name), result.to_json())
                tried = robustness.robustness(
                    laws.registry[name], table, result, hold_out="held_out", resamples=_TRIED, compare=False
                )
                store.put_json(layout.conventions_key(experiment.key, name), [outcome.to_json() for outcome in tried])
                store.put_json(
                    layout.groups_key(experiment.key, name),
                    [found.to_json() for found in _grouped(store, experiment, name)],
                )
                catalog.laws.record(store, result, experiment.key, _scored(store, experiment, result))
                fits.append(result)
            on_event(Event(self.name, done, len(experiment.file.laws), "laws", name))
        return fits

    def outcome(self, store: Store, experiment: Experiment) -> Outcome:
        fits, refused = queries.fitted(store, experiment.key, experiment.file.laws)
        document = {"laws": {fit.law: fit.to_json() for fit in fits}, "refused": refused}
        reasons = [f"{law} can't be fitted: {reason}" for law, reason in refused.items()]
        summary = "\n\n".join([*(fit.summary() for fit in fits), *reasons]) or "No laws were asked for."
        return Outcome(document, summary, metrics=dict(_numbers(fits)))


def _numbers(fits: list[fitting.Fit]) -> Iterator[tuple[str, float]]:
    for fit in fits:
        for estimate in (*fit.estimates, *fit.derived):
            yield f"{fit.law}.{estimate.name}", estimate.value
        if fit.heldout_error_ratio is not None:
            yield f"{fit.law}.heldout_error_ratio", fit.heldout_error_ratio


def _grouped(store: Store, experiment: Experiment, law: str) -> Iterator[pooling.Universality]:
    """One law for all against one for each value of a varied knob of which the law says nothing, and for each seed."""
    own = fitting.needed(laws.registry[law]).columns
    varied = [path for path in experiment.varied if path not in own]
    for by in [*varied, *(["seed"] if len(experiment.file.seeds) >= random_effects.FEWEST else [])]:
        with suppress(LawDataError):  # groups that each can't identify the law don't tell whether they share it
            yield pooling.universality(
                laws.registry[law],
                queries.table_of(store, experiment.key, law, [by]),
                by,
                hold_out="held_out",
                resamples=_TRIED,
            )


def _scored(store: Store, experiment: Experiment, fit: fitting.Fit) -> str | None:
    """Id of the score of a law that was registered, once all held-out runs have finished."""
    registration = catalog.preregistration.find(store, experiment.name, experiment.experiment_id)
    if registration is None:
        return None
    held_out: list[str] = registration["held_out"]
    unfinished = set(queries.untrained(store, held_out))
    finished = [run_id for run_id in held_out if run_id not in unfinished]
    score = catalog.preregistration.score(store, registration, fit, finished)
    return None if score is None else str(score["id"])


def preregister(store: Store, experiment: Experiment) -> Mapping[str, Any]:
    """Freeze the experiment's laws and its held-out runs before these start; returns the registration.

    Raises UserError if a held-out run has started, or nothing is held out. `Fit` scores the laws once, when all
    held-out runs have finished.
    """
    check(experiment)
    held_out = [run.run_id for run in experiment.runs if experiment.held_out(run)]
    return catalog.preregistration.register(
        store, experiment.name, experiment.experiment_id, experiment.file.question, experiment.file.laws, held_out
    )
