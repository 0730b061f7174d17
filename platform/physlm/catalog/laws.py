"""The catalogue of laws: for each law its evidence, one sealed document a fit, and the status that follows.

    laws/<law>/<id>.json    a fit's form, domain, verdict, held-out error and counter-examples

A piece of evidence is cited as `<law>@<id>`. Nothing is taken back: a law that was refuted stays, with what refuted it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from physlm.catalog import sealed
from physlm.errors import CorruptObject, UserError
from physlm.fitting import Fit
from physlm.laws import describe
from physlm.store import layout
from physlm.store.store import Store

Status = Literal["holds", "refuted", "undecided"]
_COUNTER_EXAMPLES = 20


@dataclass(frozen=True)
class Entry:
    """What is known of a law. evidence: its documents, in the order of their ids."""

    law: str
    latex: str
    evidence: tuple[Mapping[str, Any], ...]

    @property
    def status(self) -> Status:
        """Refuted if any test refuted it, registered before or not; holds if some test supported it."""
        verdicts = {document["verdict"] for document in self.evidence}
        return "refuted" if "refuted" in verdicts else "holds" if "supported" in verdicts else "undecided"

    @property
    def cited(self) -> list[str]:
        """Ids of the evidence."""
        return [f"{self.law}@{document['id']}" for document in self.evidence]

    @property
    def domain(self) -> str:
        """Between which values of its variables it was tested, over all evidence."""
        told = []
        for name in self.evidence[0]["domain"]:
            ranges = [document["domain"].get(name) for document in self.evidence]
            if all(isinstance(r, list) and r and isinstance(r[0], int | float) for r in ranges):
                told.append(f"{name} {min(r[0] for r in ranges):.4g} to {max(r[1] for r in ranges):.4g}")
            else:
                told.append(f"{name} {', '.join(sorted({str(x) for r in ranges for x in r or []}))}")
        return "; ".join(told)

    @property
    def counter_examples(self) -> list[Mapping[str, Any]]:
        """Held-out conditions that it did not predict."""
        return [example for document in self.evidence for example in document["counter_examples"]]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "law": self.law,
            "latex": self.latex,
            "status": self.status,
            "domain": self.domain,
            "cited": self.cited,
            "counter_examples": self.counter_examples,
            "evidence": [dict(document) for document in self.evidence],
        }


def record(store: Store, fit: Fit, source: str, score: str | None = None) -> str:
    """Add a fit to the catalogue, once; returns how to cite it.

    source: where the observations are from, such as an experiment's key. score: id of the score, if it was registered.
    """
    form = describe(fit.model)
    document = {
        "law": fit.law,
        "latex": fit.model.latex,
        "form": sealed.digest(form),
        "source": source,
        "registered": score,
        "domain": _domain(fit),
        "verdict": fit.verdict,
        "reason": fit.reason,
        "heldout_error_ratio": fit.heldout_error_ratio,
        "seed_noise": fit.seed_noise if np.isfinite(fit.seed_noise) else None,
        "runs": fit.runs,
        "estimates": {
            e.name: {"value": _number(e.value), "low": _number(e.interval.low), "high": _number(e.interval.high)}
            for e in (*fit.estimates, *fit.derived)
        },
        "counter_examples": [
            {"variables": dict(h.variables), "observed": _number(h.observed), "predicted": _number(h.predicted)}
            for h in fit.held_out
            if not h.inside
        ][:_COUNTER_EXAMPLES],
    }
    identity = sealed.digest(document)
    sealed.seal(store, layout.evidence_key(fit.law, identity), document)
    return f"{fit.law}@{identity}"


def cite(store: Store, citation: str) -> dict[str, Any]:
    """The evidence that is cited as `<law>@<id>`. Raises UserError for another form, MissingObject, CorruptObject."""
    law, at, identity = citation.partition("@")
    if not (law and at and identity):
        raise UserError(f"{citation!r} cites nothing; write LAW@ID, as `physlm laws catalog` shows")
    return sealed.read(store, layout.evidence_key(law, identity))


def catalogue(store: Store) -> Iterator[Entry]:
    """All laws with evidence, by name."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for key in store.list(layout.evidence_prefix()):
        try:
            document = sealed.read(store, key)
            law = str(document["law"])
        except (CorruptObject, KeyError, AttributeError, TypeError) as error:
            why = str(error) if isinstance(error, CorruptObject) else f"{key} is no fit of a law"
            warnings.warn(f"left out: {why}", stacklevel=2)
            continue
        found.setdefault(law, []).append(document)
    for law, evidence in sorted(found.items()):
        yield Entry(law, evidence[-1]["latex"], tuple(evidence))


def _domain(fit: Fit) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for v in fit.model.variables:
        values = fit.data[v.name]
        found[v.name] = list(fit.levels[v.name]) if v.category else [min(values), max(values)]
    return found


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
