"""Take a measure from trained models in the store."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from physlm import catalog
from physlm.measures.contract import Measure, Member
from physlm.models.decoder import Decoder
from physlm.runs import Run
from physlm.store.contract import Store
from physlm.training import layout
from physlm.training.checkpoints import load_model


def take(store: Store, measure: type[Measure], cohort: Sequence[Run]) -> None:
    """Load the models of runs of one shape, measure them together, and write their observations.

    A diverged run has no model to measure: it gets an empty table. Raises MissingObject for a run not trained.
    """
    markers = {run.run_id: store.get_json(layout.completed_key(run.run_id)) for run in cohort}
    sound = [run for run in cohort if markers[run.run_id]["status"] == "trained"]
    rows: dict[str, list[tuple[catalog.Moment, catalog.Observation]]] = {run.run_id: [] for run in cohort}
    if sound:
        decoder = load(store, sound, [markers[run.run_id]["tokens"] for run in sound])
        members = [Member(run.language, run.seed, run.context_length, run.parameters_counted) for run in sound]
        for run, observations in zip(sound, measure().take(decoder, members), strict=True):
            marker = markers[run.run_id]
            moment = run.moment(marker["tokens"], marker["instances"])
            rows[run.run_id] = [(moment, observation) for observation in observations]
    source = measure.source()
    catalog.write_batch(
        store, source, {run.run_id: catalog.table(run.description(), source, rows[run.run_id]) for run in cohort}
    )


def load(store: Store, runs: Sequence[Run], tokens: Sequence[int]) -> Decoder:
    """The trained models of runs of one shape as one decoder, ready to be measured."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    decoder = Decoder(runs[0].model, len(runs[0].language.vocabulary), len(runs))
    parameters = dict(decoder.named_parameters())
    with torch.no_grad():
        for row, (run, at) in enumerate(zip(runs, tokens, strict=True)):
            for name, value in load_model(store, run.run_id, at).items():
                parameters[name][row] = value
    return decoder.to(device).eval()
