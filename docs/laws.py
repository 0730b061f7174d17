"""Write the gallery of laws, docs/laws.md, by fitting each law.

    python docs/laws.py [--store physlm-store]

For each law: its formula, what is published, and a fit to a study simulated from the published constants, which shows
what the engine gives and is no evidence. With a store, also what its experiments measured, from the catalogue of laws.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from physlm import laws
from physlm.catalog import laws as known
from physlm.laws import Fit, Law
from physlm.store import Store, open_store

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store")
    options = parser.parse_args()
    store = open_store(options.store) if options.store else None
    (HERE / "laws.md").write_text("\n".join(gallery(store)) + "\n")


def gallery(store: Store | None) -> Iterator[str]:
    """The page's lines."""
    evidence = {entry.law: entry for entry in known.catalogue(store)} if store else {}
    yield "# Laws"
    yield ""
    yield "Made by `python docs/laws.py`: every number below comes from a fit. *Simulated* are studies drawn from the"
    yield "constants in the column *true*: they show that the engine recovers them, and are no evidence for the law."
    yield "What experiments measured stands under *measured*."
    for name, law in laws.registry().items():
        table = laws.simulate(law, law.example(), np.random.default_rng(0))
        fit = laws.fit(name, table, hold_out=law.example().hold_out)
        yield ""
        yield f"## {law.title} (`{name}`)"
        yield ""
        yield f"$${law.latex}$$"
        yield ""
        yield f"{sentence(law)}"
        yield ""
        yield from estimates(fit, law)
        yield ""
        yield f"Simulated: {fit.runs} runs fitted; {fit.verdict}, {fit.reason}."
        yield "Rivals: " + "; ".join(f"{c.form} ${c.latex}$" for c in fit.comparisons[1:]) + "."
        yield ""
        if name in evidence:
            entry = evidence[name]
            yield f"Measured: {entry.status}, for {entry.domain} ({', '.join(entry.cited)})."
            for document in entry.evidence:
                told = ", ".join(
                    f"{k} {e['value']:.4g} [{e['low']:.4g}, {e['high']:.4g}]"
                    for k, e in document["estimates"].items()
                    if None not in e.values()
                )
                yield f"- {document['source']}: {document['verdict']}, {document['reason']}; {told}."
        else:
            yield "Measured: not yet."


def sentence(law: type[Law]) -> str:
    """What the variables are, and where the law is from."""
    variables = ", ".join(f"{v.name}: {v.meaning} ({v.unit})" for v in (*law.variables, law.response))
    return f"{variables}. Source: {law.source or 'see the parameters'}."


def estimates(fit: Fit, law: type[Law]) -> Iterator[str]:
    """A table of the parameters."""
    yield "| parameter | meaning | unit | true | simulated | published |"
    yield "| --- | --- | --- | --- | --- | --- |"
    truth = law.example().truth
    for e in (*fit.estimates, *fit.derived):
        true = f"{truth[e.name]:.4g}" if e.name in truth else ""
        found = f"{e.value:.4g} [{e.interval.low:.4g}, {e.interval.high:.4g}]"
        published = "; ".join(map(str, e.anchors)).replace("|", "/")
        yield f"| {e.name} | {e.meaning} | {e.unit} | {true} | {found} | {published} |"


if __name__ == "__main__":
    main()
