"""Write the gallery of laws, docs/laws.md, by fitting each law.

    python docs/laws.py [--store physlm-store ...]

For each law: its formula, what is published, and a fit to a study simulated from the published constants, which shows
what the engine gives and is no evidence; how often its intervals hold the truth, from coverage.csv beside this file
(made by tests/benchmarks/bench_coverage.py --write docs/coverage.csv); and what experiments measured, from the fits
that `physlm run` has left in the stores.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from physlm import experiment, fitting, laws
from physlm.experiment import Experiment
from physlm.fitting import Estimate, Fit
from physlm.laws import Law
from physlm.store import Store, layout, open_store

HERE = Path(__file__).parent
EXPERIMENTS = HERE.parent / "pipelines/experiments"
NOMINAL = 0.95


@dataclass(frozen=True)
class Measured:
    """What an experiment says of a law: its fit, or why there is none."""

    experiment: Experiment
    fit: Fit | None
    refused: str = ""

    @property
    def file(self) -> str:
        """The experiment's file as a link, where it is in the gallery of experiments as it was run."""
        name = self.experiment.name
        path = EXPERIMENTS / f"{name}.yaml"
        if not path.exists():
            return f"`{self.experiment.key}`"
        link = f"[{name}.yaml](../pipelines/experiments/{name}.yaml)"
        current = experiment.load(path).experiment_id == self.experiment.experiment_id
        return link if current else f"{link} (as `{self.experiment.experiment_id}`, not as it is now)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="append", default=[], help="may be given several times")
    options = parser.parse_args()
    page = gallery([open_store(address) for address in options.store], HERE / "coverage.csv")
    (HERE / "laws.md").write_text("\n".join(page) + "\n")


def gallery(stores: Sequence[Store], coverage: Path | None = None) -> Iterator[str]:
    """The page's lines."""
    found = measured(stores)
    held = coverages(coverage) if coverage is not None and coverage.exists() else {}
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
    for name, law in laws.registry.items():
        yield ""
        yield from section(name, law, held.get(name, {}))
        yield ""
        if name not in found:
            yield "Measured: not yet."
        for each in found.get(name, ()):
            yield from told(each)


def overview(found: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """One row for each law and experiment: the quantity of interest, and the verdict."""
    yield "| law | experiment | measured | published | verdict |"
    yield "| --- | --- | --- | --- | --- |"
    for name, each in ((law, one) for law, several in sorted(found.items()) for one in several):
        title = f"[{laws.registry[name].title}](#{anchor(name)})"
        if each.fit is None:
            yield f"| {title} | {each.file} | | | not fitted: {each.refused} |"
            continue
        best = each.fit.headline
        published = "; ".join(map(str, best.anchors)).replace("|", "/")
        yield f"| {title} | {each.file} | {best.meaning}: {value(best)} | {published} | {each.fit.verdict} |"


def anchor(name: str) -> str:
    """What a page's heading of a law is linked by."""
    heading = f"{laws.registry[name].title} ({name})".lower()
    return "".join(c for c in heading.replace(" ", "-") if c.isalnum() or c in "-_")


def section(name: str, law: type[Law], held: Mapping[str, str]) -> Iterator[str]:
    """What is said of a law without any experiment."""
    table = fitting.simulate(law, law.example(), np.random.default_rng(0))
    fit = fitting.fit(name, table, hold_out=law.example().hold_out)
    yield f"## {law.title} (`{name}`)"
    yield ""
    yield f"$${law.latex}$$"
    yield ""
    yield f"{sentence(law)}"
    yield ""
    yield "| parameter | meaning | unit | true | simulated | coverage | published |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    truth = law.example().truth
    for e in (*fit.estimates, *fit.derived):
        true = f"{truth[e.name]:.4g}" if e.name in truth else ""
        published = "; ".join(map(str, e.anchors)).replace("|", "/")
        yield f"| {e.name} | {e.meaning} | {e.unit} | {true} | {value(e)} | {held.get(e.name, '')} | {published} |"
    yield ""
    yield f"Simulated: {fit.runs} runs fitted; {fit.verdict}, {fit.reason}."
    yield "Rivals: " + "; ".join(f"{c.form} ${c.latex}$" for c in fit.comparisons[1:]) + "."


def told(each: Measured) -> Iterator[str]:
    """What an experiment says of a law."""
    if each.fit is None:
        yield f"Measured by {each.file}: not fitted, since {each.refused}."
        return
    fit = each.fit
    yield f"Measured by {each.file}: **{fit.verdict}**, {fit.reason}."
    yield f"{fit.runs} observations were fitted, over {domain(fit)}."
    if fit.left_out:
        yield f"{fit.left_out} observations are left out: in their conditions a run has learned nothing."
    yield ""
    yield "| parameter | measured | published |"
    yield "| --- | --- | --- |"
    for e in (*fit.estimates, *fit.derived):
        published = "; ".join(map(str, e.anchors)).replace("|", "/")
        note = "" if e.identified else " (not identified)"
        yield f"| {e.name} | {value(e)}{note} | {published} |"
    yield ""


def value(e: Estimate) -> str:
    """An estimate with its interval."""
    unit = "" if e.unit == "1" else f" {e.unit}"
    return f"{e.value:.4g} [{e.interval.low:.4g}, {e.interval.high:.4g}]{unit}"


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


def sentence(law: type[Law]) -> str:
    """What the variables are, and where the law is from."""
    variables = ", ".join(f"{v.name}: {v.meaning} ({v.unit})" for v in (*law.variables, law.response))
    return f"{variables}. Source: {law.source or 'see the parameters'}."


def measured(stores: Sequence[Store]) -> dict[str, list[Measured]]:
    """By law, what the experiments in the stores say of it; of several versions of a file the present one, if there."""
    known: dict[tuple[int, str], list[Experiment]] = defaultdict(list)
    for place, store in enumerate(stores):
        for key in store.list("experiments/"):
            if key.endswith("/experiment.yaml"):
                found = experiment.parse(store.get(key).decode())
                known[place, found.name].append(found)
    result: dict[str, list[Measured]] = defaultdict(list)
    for (place, name), versions in sorted(known.items(), key=lambda item: item[0][1]):
        path = EXPERIMENTS / f"{name}.yaml"
        now = experiment.load(path).experiment_id if path.exists() else None
        for each in [v for v in versions if v.experiment_id == now] or versions:
            for law in each.file.laws:
                if stores[place].exists(layout.law_key(each.key, law)):
                    document = stores[place].get_json(layout.law_key(each.key, law))
                    fit = None if "refused" in document else Fit.from_json(document)
                    result[law].append(Measured(each, fit, document.get("refused", "")))
    return dict(result)


def spread(path: Path | None) -> str:
    """How coverage lies over all parameters, in a sentence."""
    if path is None or not path.exists():
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
