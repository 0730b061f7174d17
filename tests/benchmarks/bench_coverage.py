"""How often each law's intervals hold the truth: simulated studies, fitted one by one.

    python tests/benchmarks/bench_coverage.py [--laws chinchilla retry] [--studies 200] [--resamples 300] [--level 0.95]

The reference is the nominal rate. Prints for each law the rate of its parameters (the lowest and the mean,
by the bootstrap, and the mean by profile likelihood), of its
held-out conditions, of each verdict, and the time of a fit. The contract test does the same with few studies.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np

from physlm import laws
from physlm.laws import registry
from physlm.laws.simulation import simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", nargs="*", default=list(registry()))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--level", type=float, default=0.95)
    options = parser.parse_args()
    error = 100 * np.sqrt(options.level * (1 - options.level) / options.studies)
    print(f"{options.studies} studies, nominal {options.level:.0%}, standard error of a rate {error:.1f} points")
    print(f"{'law':<18}{'worst':>7}  {'of':<14}{'mean':>7}{'profile':>9}{'held out':>10}  {'s/fit':>6}  verdicts")
    for name in options.laws:
        law, example = registry()[name], registry()[name].example()
        hits: dict[str, list[bool]] = {}
        profiled = []
        inside, verdicts, seconds = [], Counter[str](), 0.0
        for number in range(options.studies):
            table = simulate(law, example, np.random.default_rng([number, 11]))
            start = time.perf_counter()
            fit = laws.fit(name, table, resamples=options.resamples, seed=number, level=options.level)
            seconds += time.perf_counter() - start
            for estimate in fit.estimates:
                hits.setdefault(estimate.name, []).append(example.truth[estimate.name] in estimate.interval)
                profiled.append(estimate.profile is not None and example.truth[estimate.name] in estimate.profile)
            tested = laws.fit(name, table, resamples=options.resamples, hold_out=example.hold_out, level=options.level)
            inside += [h.inside for h in tested.held_out]
            verdicts[tested.verdict] += 1
        rates = {parameter: float(np.mean(found)) for parameter, found in hits.items()}
        worst = min(rates, key=rates.__getitem__)
        mean, held_out = np.mean(list(rates.values())), np.mean(inside)
        told = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.most_common())
        print(
            f"{name:<18}{rates[worst]:>7.1%}  {worst:<14}{mean:>7.1%}{np.mean(profiled):>9.1%}{held_out:>10.1%}"
            f"  {seconds / options.studies:>6.3f}  {told}",
            flush=True,
        )


if __name__ == "__main__":
    main()
