"""A Chinchilla fit with all starts and resamples, against the loop over SciPy's L-BFGS that practice runs.

    python tests/benchmarks/bench_chinchilla.py [--starts 60] [--refits 20] [--repeats 5]

Both minimise Huber's loss (delta 10⁻³, summed) of ln L over (ln A, ln B, ln E, α, β) on the same 240 simulated runs of
the published refit constants, noise 0.2 %, on one core. The loop starts from the grid of the public replication (4,500
starts: α, β in 0, 0.5 .. 2; e in -1, -0.5 .. 1; a, b in 0, 5 .. 25), with exact gradients and ftol 0, and then refits
1,000 resamples from the best. Of its starts a random sample is run, of its refits the first few, and their mean
times are scaled up. Ours searches 4,556 pairs of exponents, each with its best E, A and B (variable projection), and
refits 1,000 resamples in one batch. Prints both costs: a faster but worse minimum would not count.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from itertools import product

import numpy as np
from scipy.optimize import minimize

from physlm.fitting.intervals import Linear, bootstrap
from physlm.fitting.noise import likelihood
from physlm.fitting.optimizer import Problem, solve
from physlm.fitting.simulation import columns_of, simulate
from physlm.laws.chinchilla import EXPONENTS, Chinchilla
from physlm.laws.scales import Array

RESAMPLES = 1000
DELTA = 1e-3
TARGET = 100


def objective(x: Array, size: Array, tokens: Array, loss: Array, weights: Array) -> tuple[float, Array]:
    """Huber's loss and its gradient at (a, b, e, α, β), of the logarithms of the data."""
    a, b, e, alpha, beta = x
    terms = np.stack([a - alpha * size, b - beta * tokens, np.full_like(size, e)])
    top = terms.max(0)
    total = top + np.log(np.exp(terms - top).sum(0))
    residual = total - loss
    inside = np.abs(residual) <= DELTA
    value = np.where(inside, residual**2 / 2, DELTA * (np.abs(residual) - DELTA / 2))
    pull = weights * np.where(inside, residual, DELTA * np.sign(residual))
    share = np.exp(terms - total)
    gradient = share @ pull
    return float(weights @ value), np.array(
        [gradient[0], gradient[1], gradient[2], -(share[0] * size) @ pull, -(share[1] * tokens) @ pull]
    )


def loop(start: Array, data: tuple[Array, Array, Array], weights: Array) -> tuple[float, Array, float]:
    """One fit of the loop: cost, parameters and seconds."""
    begun = time.perf_counter()
    found = minimize(
        objective,
        start,
        args=(*data, weights),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 0.0, "gtol": 1e-9, "maxiter": 5000, "maxfun": 20_000},
    )
    return float(found.fun), np.asarray(found.x), time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=60)
    parser.add_argument("--refits", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    table = simulate(Chinchilla, Chinchilla.example(), np.random.default_rng(0), seeds=1)
    form = Chinchilla()
    data = {**columns_of(form, table), "L": table["L"].to_numpy()}
    problem = Problem(form, likelihood(form.noise), data, np.ones(table.height))

    def ours() -> tuple[float, Array, float, float, float]:
        begun = time.perf_counter()
        found = solve(problem, form.coordinates(form.starts(form.inputs(data))), iterations=500)
        searched = time.perf_counter()
        best = int(np.argmin(found.cost))
        linear = Linear(problem, found.coordinates[best], np.arange(table.height))
        draws = bootstrap(linear, RESAMPLES, 0)
        ended = time.perf_counter()
        spread = form.values(draws).std(0)
        return (
            float(found.cost[best]),
            form.values(found.coordinates[best]),
            searched - begun,
            ended - searched,
            spread[3],
        )

    ours()  # warm
    runs = [ours() for _ in range(options.repeats)]
    cost, values = runs[0][:2]
    search, resampling = (statistics.median(run[i] for run in runs) for i in (2, 3))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    logs = (np.log(data["N"]), np.log(data["D"]), np.log(data["L"]))
    exponents = np.arange(0, 2.01, 0.5)
    offsets = np.arange(0, 25.1, 5)
    grid = np.array(list(product(offsets, offsets, np.arange(-1, 1.01, 0.5), exponents, exponents)))
    rng = np.random.default_rng(1)
    sample = [loop(grid[i], logs, np.ones(240)) for i in rng.choice(len(grid), options.starts, replace=False)]
    best_cost, best, _ = min(sample, key=lambda found: found[0])
    weights = rng.multinomial(240, np.full(240, 1 / 240), options.refits).astype(float)
    refits = [loop(best, logs, w) for w in weights]
    per_start = statistics.mean(found[2] for found in sample)
    per_refit = statistics.mean(found[2] for found in refits)
    whole = len(grid) * per_start + RESAMPLES * per_refit

    print(f"240 runs; loop of {len(grid):,} starts and {RESAMPLES:,} resamples, measured on {options.starts} and")
    print(f"{options.refits} of them and scaled by their means of {1e3 * per_start:.1f} and {1e3 * per_refit:.1f} ms")
    good = sum(found[0] < 1.01 * best_cost for found in sample)
    print(f"loop: {whole:8.1f} s   best cost {best_cost:.9f}   {good} of {len(sample)} starts within 1 % of it")
    pairs = len(EXPONENTS[0]) * len(EXPONENTS[1])
    print(f"ours: {search + resampling:8.2f} s   best cost {cost:.9f}   ({search:.2f} s for {pairs:,} pairs of "
          f"exponents, {resampling:.2f} s for {RESAMPLES:,} resamples)")  # fmt: skip
    print(
        f"faster by {whole / (search + resampling):.0f} (target {TARGET}); peak memory {memory:.0f} MB (target 1,000)"
    )
    print("found: " + ", ".join(f"{p.name} {v:.4f}" for p, v in zip(form.parameters, values, strict=True)))


if __name__ == "__main__":
    main()
