"""Questions to the store of what was trained, observed and fitted; nothing is written.

experiment: in all of them, where an experiment's own results are (`Experiment.key`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from physlm import fitting, laws
from physlm.catalog.gathering import scanned
from physlm.catalog.observations import overall
from physlm.errors import LawDataError
from physlm.store import layout
from physlm.store.store import Store

_ALWAYS = ("held_out", "parameters", "parameters_counted")


def untrained(store: Store, run_ids: Iterable[str]) -> list[str]:
    """Those of the runs that aren't complete in the store."""
    return [run_id for run_id in run_ids if not store.exists(layout.completed_key(run_id))]


def trained(store: Store, run_ids: Iterable[str]) -> dict[str, Any]:
    """What training has come to: runs and how many of them diverged, tokens, FLOPs, seconds. All must be complete."""
    markers = [store.get_json(layout.completed_key(run_id)) for run_id in run_ids]
    return {
        "runs": len(markers),
        "diverged": sum(marker["status"] == "diverged" for marker in markers),
        **{name: sum(marker[name] for marker in markers) for name in ("tokens", "flops", "seconds")},
    }


def fitted(store: Store, experiment: str, names: Iterable[str]) -> tuple[list[fitting.Fit], dict[str, str]]:
    """The laws of these names that were fitted, and by name of the others why they could not."""
    documents = {name: store.get_json(layout.law_key(experiment, name)) for name in names}
    fits = [fitting.Fit.from_json(document) for document in documents.values() if "refused" not in document]
    return fits, {name: document["refused"] for name, document in documents.items() if "refused" in document}


def table_of(store: Store, experiment: str, law: str, beside: Sequence[str] = ()) -> pl.DataFrame:
    """What a law is fitted to: the last observations of its measures, and the columns that it or `beside` names."""
    needed = fitting.needed(laws.registry[law])
    with scanned(store, layout.observations_key(experiment)) as observed:
        chosen = observed.filter("chosen")
        columns = [*needed.columns, *_ALWAYS, *beside]
        return final(chosen, columns, needed.measures(_measures(chosen)), places=needed.places, curve=needed.curve)


def measured(store: Store, experiment: str, measure: str) -> dict[str, pl.DataFrame]:
    """The last observation of each run, diverged ones left out, of each measure that a regular expression names.

    Raises LawDataError if no run was measured so, or the expression is none.
    """
    try:
        pattern = re.compile(measure)
    except re.error as error:
        raise LawDataError(f"{measure!r} is no regular expression: {error}") from None
    with scanned(store, layout.observations_key(experiment)) as observed:
        chosen = observed.filter("chosen")
        names = [name for name in _measures(chosen) if pattern.fullmatch(name)]
        found = final(chosen, ["n", "chance", "stderr"], names).drop_nulls("value")
    if not found.height:
        raise LawDataError(f"no run was measured for {measure}")
    return {str(name): rows for (name,), rows in found.group_by("measure", maintain_order=True)}


def final(
    table: pl.LazyFrame,
    columns: Sequence[str] = (),
    measures: Sequence[str] | None = None,
    *,
    places: bool = False,
    curve: bool = False,
) -> pl.DataFrame:
    """The last observation of each run and measure, of models as wholes.

    columns   what is read beside run, measure, value and tokens, where the table has it
    measures  these alone; all if not given
    places    of each layer and position too
    curve     all observations over training, not the last alone
    """
    one = ["run_id", "measure", *(["target", "layer", "position"] if places else [])]
    known = table.collect_schema().names()
    asked = [name for name in dict.fromkeys([*one, "value", "tokens", *columns]) if name in known]
    rows = table if places else overall(table)
    if measures is not None:
        rows = rows.filter(pl.col("measure").is_in(list(measures)))
    if curve:
        return rows.select(asked).collect(engine="streaming").sort(*one, "tokens")
    last = rows.group_by(one).agg(pl.col("tokens").max())
    found = rows.select(asked).join(last, on=[*one, "tokens"], how="semi", nulls_equal=True)
    return found.collect(engine="streaming").unique(one, keep="last").sort(one)


def _measures(table: pl.LazyFrame) -> list[str]:
    names = table.select(pl.col("measure").unique()).collect(engine="streaming")["measure"]
    return [str(name) for name in names.drop_nulls()]
