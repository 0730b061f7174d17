"""Everything a page is made of, read from the store once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

import polars as pl

from physlm import catalog
from physlm.catalog import Declarations
from physlm.errors import MissingObject
from physlm.experiment import Experiment
from physlm.fitting import Fit
from physlm.runs import Run
from physlm.store import Store, layout
from physlm.sweeps import Choice
from physlm.training.config import CURVE_SOURCE

Status = Literal["trained", "diverged", "missing"]
_READERS = 16


@dataclass(frozen=True)
class Evidence:
    """What the store holds of an experiment.

    declarations   what measures and probes say of what they emit: how each number is drawn
    observations   the collected table, learning curves and held-out runs included
    fits           by the law's name, in the order of the experiment file; a law that isn't fitted is left out
    refused        by the law's name, why the observations can't identify it
    markers        what training left of each run that has ended, by run id
    makers         versions of the software that trained the runs
    cards          the data set card of each world, by world id
    conventions    by the law's name, its fits under other conventions, the usual one first
    groups         by the law's name, one law for all against one for each group
    choices        what a sweep has chosen for each condition; none without a sweep
    """

    experiment: Experiment
    declarations: Declarations
    observations: pl.DataFrame
    fits: Mapping[str, Fit]
    refused: Mapping[str, str]
    markers: Mapping[str, Mapping[str, Any]]
    makers: Sequence[Mapping[str, str]]
    cards: Mapping[str, Mapping[str, Any]]
    choices: Sequence[Choice] = ()
    conventions: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    groups: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def status(self, run: Run) -> Status:
        """How the run's training ended."""
        marker = self.markers.get(run.run_id)
        return "missing" if marker is None else marker["status"]

    @cached_property
    def curves(self) -> pl.DataFrame:
        """The learning curves."""
        return self.observations.filter(pl.col("source") == CURVE_SOURCE).drop_nulls("value")

    @cached_property
    def measured(self) -> pl.DataFrame:
        """The last observation of each run and measure, of models as wholes; learning curves left out."""
        taken = self.observations.filter(pl.col("source") != CURVE_SOURCE)
        table = catalog.overall(taken).drop_nulls("value")
        return table.sort("tokens", maintain_order=True).group_by("run_id", "measure", maintain_order=True).last()


def gather(store: Store, experiment: Experiment, declarations: Declarations) -> Evidence:
    """Read what the steps before have written. Raises MissingObject when nothing has been collected yet."""
    run_ids = [run.run_id for run in experiment.runs]
    markers = _read_each(store, run_ids, layout.completed_key)
    conditions = _read_each(store, run_ids, layout.run_key)
    makers = {str(sorted(run["made_by"].items())): run["made_by"] for run in conditions.values()}
    laws = _read_each(store, experiment.file.laws, partial(layout.law_key, experiment.key))
    return Evidence(
        experiment,
        declarations,
        catalog.read(store, layout.observations_key(experiment.key)),
        {law: Fit.from_json(document) for law, document in laws.items() if "refused" not in document},
        {law: document["refused"] for law, document in laws.items() if "refused" in document},
        markers,
        [makers[key] for key in sorted(makers)],
        _read_each(store, sorted({run.world_id for run in experiment.runs}), layout.world_card_key),
        [Choice.from_json(c) for c in store.get_json(layout.sweep_key(experiment.key))]
        if experiment.file.sweep
        else [],
        _read_each(store, experiment.file.laws, partial(layout.conventions_key, experiment.key)),
        _read_each(store, experiment.file.laws, partial(layout.groups_key, experiment.key)),
    )


def _read_each(store: Store, names: Iterable[str], key: Callable[[str], str]) -> dict[str, Any]:
    """The JSON object of each name that has one; many at a time, since a remote store answers slowly."""

    def read(name: str) -> tuple[str, Any]:
        try:
            return name, store.get_json(key(name))
        except MissingObject:
            return name, None

    with ThreadPoolExecutor(_READERS) as pool:
        return {name: value for name, value in pool.map(read, names) if value is not None}
