"""Make the gallery of laws, docs/laws.md, from results that are kept beside it.

    python docs/laws.py                            make the page; nothing is fitted
    python docs/laws.py --check                    say whether the page is what would be made
    python docs/laws.py simulate [LAW ...]         fit simulated studies of these laws, or of all: simulated/*.json
    python docs/laws.py measure --store ADDRESS    what experiments in a store have found: measured/laws/*.json

For each law the page has its formula, what is published, a fit to a study simulated from the published constants, which
shows what the engine gives and is no evidence; how often its intervals hold the truth, from coverage.csv (made by
tests/benchmarks/bench_coverage.py --write docs/coverage.csv); and what experiments measured. Results stay when the
stores they are from are gone: `measure` replaces those of experiments that the given stores hold, and no others.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from physlm import experiment, fitting, laws
from physlm.errors import UserError
from physlm.experiment import Experiment
from physlm.fitting import Estimate, Fit
from physlm.laws import Law
from physlm.store import Store, layout, open_store

HERE = Path(__file__).parent
PAGE = HERE / "laws.md"
SIMULATED, MEASURED = HERE / "simulated", HERE / "measured/laws"
EXPERIMENTS = HERE.parent / "pipelines/experiments"
NOMINAL = 0.95


@dataclass(frozen=True)
class Number:
    """An estimate as the page tells it; an end of its interval may be infinite.

    published: what others have found, with sources
    """

    name: str
    meaning: str
    unit: str
    value: float
    low: float
    high: float
    identified: bool
    published: str

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]{unit}"


@dataclass(frozen=True)
class Found:
    """What a fit says: verdict with its reason, how much was fitted over which domain, and all quantities.

    headline    the quantity of interest, by name
    rivals      names with LaTeX
    """

    verdict: str
    reason: str
    runs: int
    left_out: int
    domain: str
    headline: str
    numbers: tuple[Number, ...]
    rivals: Mapping[str, str]


@dataclass(frozen=True)
class Measured:
    """What an experiment says of a law: what it found, or why nothing could be fitted."""

    name: str
    experiment_id: str
    found: Found | None
    refused: str = ""

    @property
    def file(self) -> str:
        """The experiment's file as a link, where it is in the gallery of experiments as it was run."""
        path = EXPERIMENTS / f"{self.name}.yaml"
        if not path.exists():
            return f"`{layout.experiment_folder(self.name, self.experiment_id)}`"
        link = f"[{self.name}.yaml](../pipelines/experiments/{self.name}.yaml)"
        current = experiment.load(path).experiment_id == self.experiment_id
        return link if current else f"{link} (as `{self.experiment_id}`, not as it is now)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is not up to date")
    actions = parser.add_subparsers(dest="action")
    simulate = actions.add_parser("simulate", help="fit simulated studies")
    simulate.add_argument("law", nargs="*", help="all laws unless named")
    measure = actions.add_parser("measure", help="read what experiments in stores have found")
    measure.add_argument("--store", action="append", required=True, help="may be given several times")
    options = parser.parse_args()
    if options.action == "simulate":
        for name in options.law or laws.registry:
            write(SIMULATED / f"{name}.json", plain(simulated(name)))
    elif options.action == "measure":
        record([open_store(address) for address in options.store])
    if options.check:
        reason = drift()
        if reason:
            sys.exit(reason)
    else:
        PAGE.write_text(page(list(laws.registry)))


# -- results as JSON ---------------------------------------------------------------------------------------------------


def simulated(name: str) -> Found:
    """What a fit to a study simulated from a law's published constants finds."""
    law = laws.registry[name]
    table = fitting.simulate(law, law.example(), np.random.default_rng(0))
    return told(fitting.fit(name, table, hold_out=law.example().hold_out))


def record(stores: Sequence[Store]) -> None:
    """Write what the stores' experiments have found of each law, a file for each experiment."""
    known: dict[tuple[int, str], list[Experiment]] = defaultdict(list)
    for place, store in enumerate(stores):
        for key in store.list("experiments/"):
            if key.endswith("/experiment.yaml"):
                found = experiment.parse(store.get(key).decode())
                known[place, found.name].append(found)
    for (place, name), versions in sorted(known.items(), key=lambda item: item[0][1]):
        path = EXPERIMENTS / f"{name}.yaml"
        now = experiment.load(path).experiment_id if path.exists() else None
        # Of several versions of a file the present one, if it was run.
        for each in [v for v in versions if v.experiment_id == now] or versions[-1:]:
            results: dict[str, Any] = {}
            for law in each.file.laws:
                if stores[place].exists(layout.law_key(each.key, law)):
                    document = stores[place].get_json(layout.law_key(each.key, law))
                    refused = document.get("refused", "")
                    results[law] = {"refused": refused} if refused else plain(told(Fit.from_json(document)))
            if results:
                document = {"experiment": name, "experiment_id": each.experiment_id, "laws": results}
                write(MEASURED / f"{name}.json", document)


def told(fit: Fit) -> Found:
    """What the page tells of a fit."""
    return Found(
        fit.verdict,
        fit.reason,
        fit.runs,
        fit.left_out,
        domain(fit),
        fit.headline.name,
        tuple(map(number, (*fit.estimates, *fit.derived))),
        {c.form: c.latex for c in fit.comparisons[1:]},
    )


def number(e: Estimate) -> Number:
    published = "; ".join(map(str, e.anchors)).replace("|", "/")
    return Number(e.name, e.meaning, e.unit, e.value, e.interval.low, e.interval.high, e.identified, published)


def domain(fit: Fit) -> str:
    """Which values of its variables a law was fitted to and tested on."""
    parts = []
    for v in fit.model.variables:
        if v.category:
            parts.append(f"{v.name} {', '.join(fit.levels[v.name])}")
        else:
            low, high = min(fit.data[v.name]), max(fit.data[v.name])
            parts.append(f"{v.name} {low:.4g}" if low == high else f"{v.name} {low:.4g} to {high:.4g}")
    return "; ".join(parts)


def plain(found: Found) -> dict[str, Any]:
    """Plain JSON, with null for an end that is infinite; `restored` reads it back."""
    document = asdict(found)
    for each in document["numbers"]:
        each |= {end: each[end] if math.isfinite(each[end]) else None for end in ("value", "low", "high")}
    return document


def restored(document: Mapping[str, Any]) -> Found:
    """What `plain` has written."""
    ends = {"value": math.nan, "low": -math.inf, "high": math.inf}
    numbers = tuple(
        Number(**{**each, **{end: infinite for end, infinite in ends.items() if each[end] is None}})
        for each in document["numbers"]
    )
    return Found(**{**document, "numbers": numbers})


def write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def simulations() -> dict[str, Found]:
    """By law, what fits of simulated studies have found."""
    return {path.stem: restored(json.loads(path.read_text())) for path in sorted(SIMULATED.glob("*.json"))}


def measured() -> dict[str, list[Measured]]:
    """By law, what experiments have found."""
    result: dict[str, list[Measured]] = defaultdict(list)
    for path in sorted(MEASURED.glob("*.json")):
        document = json.loads(path.read_text())
        for law, found in document["laws"].items():
            refused = found.get("refused", "")
            result[law].append(
                Measured(
                    document["experiment"], document["experiment_id"], None if refused else restored(found), refused
                )
            )
    return dict(result)


# -- the page ----------------------------------------------------------------------------------------------------------


def drift() -> str:
    """Why the page isn't what would be made of the results, as a sentence; nothing if it is.

    A law that has no results yet may be missing.
    """
    text = PAGE.read_text()
    known = {*simulations(), *measured()}
    if text == page([name for name in laws.registry if name in known or f"(`{name}`)" in text]):
        return ""
    return "docs/laws.md isn't what its results and the laws make of it; run `python docs/laws.py` and commit the page"


def page(names: Sequence[str]) -> str:
    """The page with a section for each of the laws."""
    return "\n".join(gallery(names, HERE / "coverage.csv")) + "\n"


def gallery(names: Sequence[str], coverage: Path) -> Iterator[str]:
    """The page's lines. Raises UserError for results of laws that don't exist."""
    found, fits = measured(), simulations()
    unknown = sorted({*found, *fits} - set(laws.registry))
    if unknown:
        raise UserError(f"there are results of laws that don't exist: {', '.join(unknown)}; remove or rename them")
    held = coverages(coverage) if coverage.exists() else {}
    yield "# Laws"
    yield ""
    yield "Made by `python docs/laws.py`: every number below comes from a fit. *Simulated* are studies drawn from the"
    yield "constants in the column *true*: they show that the engine recovers them, and are no evidence for the law."
    yield f"*Coverage* is how often the {NOMINAL:.0%} intervals of such studies hold the truth; bold where chance alone"
    yield f"doesn't explain the difference.{spread(coverage)}"
    yield "What experiments measured stands under *measured*: small models on synthetic languages, on two cores."
    if found:
        yield ""
        yield from overview(found)
    for name in names:
        yield ""
        yield from section(name, laws.registry[name], fits.get(name), held.get(name, {}))
        yield ""
        if name not in found:
            yield "Measured: not yet."
        for each in found.get(name, ()):
            yield from measurement(each)


def overview(found: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """One row for each law and experiment: the quantity of interest, and the verdict."""
    yield "| law | experiment | measured | published | verdict |"
    yield "| --- | --- | --- | --- | --- |"
    for name, each in ((law, one) for law, several in sorted(found.items()) for one in several):
        title = f"[{laws.registry[name].title}](#{anchor(name)})"
        if each.found is None:
            yield f"| {title} | {each.file} | | | not fitted: {each.refused} |"
            continue
        best = next(e for e in each.found.numbers if e.name == each.found.headline)
        yield f"| {title} | {each.file} | {best.meaning}: {best} | {best.published} | {each.found.verdict} |"


def anchor(name: str) -> str:
    """What a page's heading of a law is linked by."""
    heading = f"{laws.registry[name].title} ({name})".lower()
    return "".join(c for c in heading.replace(" ", "-") if c.isalnum() or c in "-_")


def section(name: str, law: type[Law], found: Found | None, held: Mapping[str, str]) -> Iterator[str]:
    """What is said of a law without any experiment."""
    yield f"## {law.title} (`{name}`)"
    yield ""
    yield f"$${law.latex}$$"
    yield ""
    if law.where or law.symbols:
        named = [f"${symbol}$ is `{name}`" for name, symbol in law.symbols.items()]
        yield "where " + ", ".join([*(f"${equation}$" for equation in law.where), *named]) + "."
        yield ""
    yield f"{sentence(law)}"
    yield ""
    if found is None:
        yield f"Simulated: not yet; run `python docs/laws.py simulate {name}`."
        return
    yield "| parameter | meaning | unit | true | simulated | coverage | published |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    truth = law.example().truth
    for e in found.numbers:
        true = f"{truth[e.name]:.4g}" if e.name in truth else ""
        yield f"| {e.name} | {e.meaning} | {e.unit} | {true} | {e} | {held.get(e.name, '')} | {e.published} |"
    yield ""
    yield f"Simulated: {found.runs} runs fitted; {found.verdict}, {found.reason}."
    yield "Rivals: " + "; ".join(f"{form} ${latex}$" for form, latex in found.rivals.items()) + "."


def measurement(each: Measured) -> Iterator[str]:
    """What an experiment says of a law."""
    if each.found is None:
        yield f"Measured by {each.file}: not fitted, since {each.refused}."
        return
    found = each.found
    yield f"Measured by {each.file}: **{found.verdict}**, {found.reason}."
    yield f"{found.runs} observations were fitted, over {found.domain}."
    if found.left_out:
        yield f"{found.left_out} observations are left out: in their conditions a run has learned nothing."
    yield ""
    yield "| parameter | measured | published |"
    yield "| --- | --- | --- |"
    for e in found.numbers:
        note = "" if e.identified else " (not identified)"
        yield f"| {e.name} | {e}{note} | {e.published} |"
    yield ""


def sentence(law: type[Law]) -> str:
    """What the variables are, and where the law is from."""
    variables = ", ".join(f"{v.name}: {v.meaning} ({v.unit})" for v in (*law.variables, law.response))
    return f"{variables}. Source: {law.source or 'see the parameters'}."


def spread(path: Path) -> str:
    """How coverage lies over all parameters, in a sentence."""
    if not path.exists():
        return ""
    with path.open(newline="") as file:
        rows = [(int(row["bootstrap"]), int(row["studies"])) for row in csv.DictReader(file)]
    rates = [held / studies for held, studies in rows]
    off = [r for r, (k, n) in zip(rates, rows, strict=True) if stats.binomtest(k, n, NOMINAL).pvalue < 0.05]
    told = f" Over {len(rates)} parameters it is {np.mean(rates):.1%} on average and {min(rates):.1%} at least"
    if off and min(off) > NOMINAL:
        return f"{told}; the bold ones lie above: such intervals are wider than need be."
    return f"{told}."


def coverages(path: Path) -> dict[str, dict[str, str]]:
    """By law and parameter, how often intervals held the truth."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            held, studies = int(row["bootstrap"]), int(row["studies"])
            chance = stats.binomtest(held, studies, NOMINAL).pvalue
            rate = f"{held / studies:.1%}"
            found[row["law"]][row["parameter"]] = f"**{rate}**" if chance < 0.05 else rate
    return dict(found)


if __name__ == "__main__":
    main()
