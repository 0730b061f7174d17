"""How often each law's intervals hold the truth: simulated studies, fitted one by one.

    python tests/benchmarks/bench_coverage.py [--laws chinchilla retry] [--studies 200] [--resamples 200] [--level 0.95]
        [--write docs/coverage.csv]

The reference is the nominal rate. Prints for each parameter the rate of its bootstrap interval and of its profile
likelihood with the 95 % binomial interval (Clopper and Pearson 1934) of what so many studies can tell, `!` where that
excludes the nominal rate; for each law the rate of its held-out conditions and the time of a fit. Held-out conditions
of one study go together, so their rate has no such interval. The contract test does the same with few studies.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from physlm import fitting
from physlm.fitting.simulation import simulate
from physlm.laws import registry

COLUMNS = ("law", "parameter", "studies", "bootstrap", "profile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", nargs="*", default=list(registry))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--level", type=float, default=0.95)
    parser.add_argument("--write", type=Path, help="a table to put the laws' rows into, instead of those it has")
    options = parser.parse_args()
    print(f"{options.studies} studies of each law, nominal {options.level:.0%}")
    print(f"{'law':<18}{'parameter':<18}{'bootstrap':>22}{'profile':>22}")
    for name in options.laws:
        law, example = registry[name], registry[name].example()
        hits: dict[str, list[tuple[bool, bool]]] = {}
        inside: list[bool] = []
        seconds = 0.0
        for number in range(options.studies):
            table = simulate(law, example, np.random.default_rng([number, 11]))
            knobs = {"resamples": options.resamples, "seed": number, "level": options.level, "compare": False}
            start = time.perf_counter()
            fit = fitting.fit(name, table, **knobs)
            seconds += time.perf_counter() - start
            for e in fit.estimates:
                truth = example.truth[e.name]
                held = truth in e.interval, e.profile is not None and truth in e.profile
                hits.setdefault(e.name, []).append(held)
            tested = fitting.fit(name, table, hold_out=example.hold_out, **knobs)
            inside += [h.inside for h in tested.held_out]
        for parameter, found in hits.items():
            counts = np.sum(found, axis=0)
            told = "".join(f"{rate(int(k), len(found), options.level):>22}" for k in counts)
            print(f"{name:<18}{parameter:<18}{told}")
        print(f"{name:<18}held out {np.mean(inside):.1%}, {seconds / options.studies:.3f} s a fit", flush=True)
        if options.write:
            rows = [[name, p, len(found), *map(int, np.sum(found, axis=0))] for p, found in hits.items()]
            write(options.write, name, rows)


def rate(held: int, studies: int, level: float) -> str:
    """The observed rate with its interval."""
    low = stats.beta.ppf(0.025, held, studies - held + 1) if held else 0.0
    high = stats.beta.ppf(0.975, held + 1, studies - held) if held < studies else 1.0
    return f"{held / studies:.1%} [{low:.1%}, {high:.1%}]{' ' if low <= level <= high else '!'}"


def write(path: Path, law: str, rows: Sequence[Sequence[object]]) -> None:
    """Put a law's rows into the table."""
    kept = []
    if path.exists():
        with path.open(newline="") as file:
            kept = [row for row in csv.reader(file) if row and row[0] not in (law, "law")]
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *sorted([*kept, *rows], key=lambda row: str(row[0]))])


if __name__ == "__main__":
    main()
