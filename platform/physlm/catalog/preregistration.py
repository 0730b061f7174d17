"""Laws registered before their test: what will be fitted and held out is frozen, and the first score stays.

preregistrations/<experiment>/<experiment_id>/registration.json    laws, their forms, level, held-out runs
preregistrations/<experiment>/<experiment_id>/<law>-score.json     written once the held-out runs have finished
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from physlm.catalog import sealed
from physlm.errors import MissingObject, UserError
from physlm.fitting import Fit
from physlm.laws import describe, registry
from physlm.store import layout
from physlm.store.store import Store

LEVEL, RESAMPLES = 0.95, 1000  # of the intervals that registered laws are judged by


def register(
    store: Store, name: str, experiment_id: str, question: str, laws: Sequence[str], held_out: Sequence[str]
) -> dict[str, Any]:
    """Freeze laws and held-out runs; the registration, the same if there is one already.

    Raises UserError if nothing can be tested, or if a held-out run has started.
    """
    key = layout.registration_key(name, experiment_id)
    if store.exists(key):
        return sealed.read(store, key)
    if not laws:
        raise UserError(f"the experiment {name} names no law, so there is nothing to register; add some under laws")
    if not held_out:
        raise UserError(
            f"the experiment {name} holds nothing out, so nothing can be tested; add conditions to hold_out"
        )
    for run_id in held_out:
        if any(True for _ in store.list(layout.run_prefix(run_id))):
            raise UserError(
                f"the held-out run {run_id} has started already, so its laws can't be registered before; "
                "hold out conditions that nobody has run"
            )
    document = {
        "experiment": name,
        "experiment_id": experiment_id,
        "question": question,
        "laws": {law: sealed.digest(describe(registry[law]())) for law in laws},
        "forms": {law: registry[law].latex for law in laws},
        "level": LEVEL,
        "resamples": RESAMPLES,
        "held_out": sorted(held_out),
    }
    sealed.seal(store, key, document)
    return sealed.read(store, key)


def find(store: Store, name: str, experiment_id: str) -> dict[str, Any] | None:
    """An experiment's registration, if it has one."""
    try:
        return sealed.read(store, layout.registration_key(name, experiment_id))
    except MissingObject:
        return None


def score(store: Store, registration: Mapping[str, Any], fit: Fit, finished: Sequence[str]) -> dict[str, Any] | None:
    """The score of a registered law, computed once; None while held-out runs have not finished.

    finished: the runs that have ended, diverged ones included. Raises UserError if the law is another than the
    registered one.
    """
    key = layout.score_key(registration["experiment"], registration["experiment_id"], fit.law)
    if store.exists(key):
        return sealed.read(store, key)
    if fit.law not in registration["laws"] or not set(registration["held_out"]) <= set(finished):
        return None
    if sealed.digest(describe(registry[fit.law]())) != registration["laws"][fit.law]:
        raise UserError(
            f"the law {fit.law} isn't what was registered as {registration['id']}; score it with the version of physlm "
            "that registered it"
        )
    document = {
        "registration": registration["id"],
        "law": fit.law,
        "verdict": fit.verdict,
        "reason": fit.reason,
        "heldout_error_ratio": fit.heldout_error_ratio,
        "estimates": {e.name: [e.value, e.interval.low, e.interval.high] for e in fit.estimates},
        "held_out": [h.score() for h in fit.held_out],
    }
    sealed.seal(store, key, document)
    return sealed.read(store, key)
