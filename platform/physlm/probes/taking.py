"""Train a probe on models from the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch

from physlm import catalog
from physlm.measures.taking import load, member
from physlm.models.decoder import Decoder, initialise
from physlm.probes.contract import Probe
from physlm.probes.samples import INSTANCES
from physlm.runs import Run
from physlm.store.contract import Store
from physlm.training import layout

_BYTES = 1 << 30  # of the states of all layers that are held at once


def take(store: Store, probe: Probe, cohort: Sequence[Run]) -> None:
    """Train the probe on runs of one shape, and write their observations.

    A diverged run has no model to probe: it gets an empty table. Raises MissingObject for a run not trained.
    """
    markers = {run.run_id: store.get_json(layout.completed_key(run.run_id)) for run in cohort}
    sound = [run for run in cohort if markers[run.run_id]["status"] == "trained"]
    nothing = {run.run_id: catalog.table(run.description(), probe.source, []) for run in cohort if run not in sound}
    catalog.write_batch(store, probe.source, nothing)
    for part in _parts(probe, sound):
        decoder = _with_twins(load(store, part, [markers[run.run_id]["tokens"] for run in part]), part)
        members = [member(run) for run in part]
        tables = {}
        for run, observations in zip(part, probe.read(decoder, members), strict=True):
            marker = markers[run.run_id]
            moment = run.moment(marker["tokens"], marker["instances"])
            tables[run.run_id] = catalog.table(run.description(), probe.source, [(moment, o) for o in observations])
        catalog.write_batch(store, probe.source, tables)


def _parts(probe: Probe, runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs whose models are probed together: of the same targets, and not so many that memory is short."""
    groups: dict[tuple[tuple[str, int], ...], list[Run]] = defaultdict(list)
    for run in runs:
        groups[tuple(probe.targets(run.language).items())].append(run)
    for group in groups.values():
        first = group[0]
        states = 2 * (first.model.layers + 1) * INSTANCES * first.language.max_length * first.model.width * 4
        at_once = max(1, _BYTES // states)
        for start in range(0, len(group), at_once):
            yield group[start : start + at_once]


def _with_twins(trained: Decoder, runs: Sequence[Run]) -> Decoder:
    """The models and, behind them, the same models with their initial parameters, frozen."""
    twins = Decoder(trained.config, trained.vocabulary, len(runs))
    initialise(twins, [run.seed for run in runs])
    both = Decoder(trained.config, trained.vocabulary, 2 * len(runs))
    initial = dict(twins.named_parameters())
    parameters = dict(both.named_parameters())
    with torch.no_grad():
        for name, value in trained.named_parameters():
            parameters[name][: len(runs)] = value.cpu()
            parameters[name][len(runs) :] = initial[name]
    device = next(trained.parameters()).device
    return both.to(device).eval().requires_grad_(False)
