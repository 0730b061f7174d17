"""The catalogue at scale: runs' observations written, written again, gathered, queried, and a law fitted to them.

    python tests/benchmarks/bench_catalog.py [--runs 100000] [--observations 100] [--cohort 64] [--folder DIR]

Each cohort is one batch in a local store, as measuring leaves it; with --cohort 1 each run is a file of its own, as
training leaves it. Then everything is submitted again: first as it was, which finds every run there, by its id; then in
other cohorts and blindly for a tenth of the runs, as of two submissions that race, which must count once. The reference
is one Parquet file with all rows, written and scanned by polars: the least that any catalogue could take. 100,000 runs
of 100 observations are 10⁷ rows; prints rates, and the peak memory of the process at each point.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from physlm import catalog, fitting
from physlm.catalog import Moment, Observation
from physlm.laws.capacity import Capacity
from physlm.store import LocalStore, layout

SOURCE = "bench-v1"
TRUTH = np.array(list(Capacity.example().truth.values()))
SIZES = np.geomspace(4e3, 2e4, 50).round()


def memory() -> float:
    """Peak memory so far in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def named(number: int) -> str:
    """Id of a run."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]


def observations(number: int, count: int) -> pl.DataFrame:
    """What is observed of a run: a learning curve and what the law `capacity` needs."""
    size, exposures = float(SIZES[number % 50]), float((100, 300, 1000)[number // 50 % 3])
    at = {"P": np.array([size]), "E": np.array([exposures]), "B": np.array([2e4])}
    noise = np.random.default_rng(number).standard_normal()
    bits = float(Capacity().evaluate(TRUTH, at)[0] * np.exp(0.03 * noise))
    run_id = named(number)
    knobs = {"run_id": run_id, "condition": run_id[:12], "seed": number, "parameters": int(size)}
    knobs |= {"parameters_counted": int(size), "training.exposures": exposures}
    last = Moment(1000 * count, exposures, 1e12)
    rows = [(last, Observation("learned_bits", bits, "bits")), (last, Observation("bits_max", 2e4, "bits"))]
    rows += [
        (Moment(1000 * i, i, 1e9 * i), Observation("training_loss", 4 / (1 + i), "nats per token"))
        for i in range(count - 2)
    ]
    return catalog.table(knobs, SOURCE, rows)


def write(store: LocalStore, numbers: Sequence[int], count: int, cohort: int) -> None:
    """Write these runs, so many at a time."""
    for start in range(0, len(numbers), cohort):
        tables = {named(number): observations(number, count) for number in numbers[start : start + cohort]}
        if cohort == 1:
            for run_id, table in tables.items():
                catalog.write(store, table, layout.run_observations_key(run_id, SOURCE))
        else:
            catalog.write_batch(store, SOURCE, tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--observations", type=int, default=100)
    parser.add_argument("--cohort", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = LocalStore(Path(folder) / "store")
        rows = options.runs * options.observations

        def told(what: str, begun: float, runs: int = options.runs) -> None:
            seconds = time.perf_counter() - begun
            print(
                f"{what:<36}{seconds:8.2f} s {runs / seconds:12,.0f} runs/s "
                f"{runs * options.observations / seconds:14,.0f} rows/s   peak memory {memory():6.0f} MB",
                flush=True,
            )

        print(f"{options.runs:,} runs, {rows:,} observations; memory at the start {memory():.0f} MB")
        ids = [named(number) for number in range(options.runs)]
        begun = time.perf_counter()
        write(store, range(options.runs), options.observations, options.cohort)
        told("written", begun)
        begun = time.perf_counter()
        assert catalog.observed(store, ids, SOURCE) == set(ids)
        told("submitted again: nothing to do", begun)
        begun = time.perf_counter()
        write(store, range(0, options.runs, 10), options.observations, max(2, options.cohort))
        told("a tenth raced in other cohorts", begun, -(-options.runs // 10))
        begun = time.perf_counter()
        with catalog.gathered(store, ids, [SOURCE]) as table:
            stored = catalog.write_scanned(store, table, "experiment/observations.parquet")
        told("gathered, deduplicated, stored", begun)
        assert stored == rows, f"{stored:,} rows"
        needed = fitting.needed(Capacity)
        with catalog.scanned(store, "experiment/observations.parquet") as table:
            begun = time.perf_counter()
            final = catalog.queries.final(table, needed.columns, needed.measures(["bits_max", "learned_bits"]))
            told("queried: what the law needs", begun)
            assert final.height == 2 * options.runs
            begun = time.perf_counter()
            curve = table.group_by("tokens").agg(pl.col("value").mean()).collect(engine="streaming")
            told("queried: the mean learning curve", begun)
            assert curve.height >= options.observations - 2
        begun = time.perf_counter()
        fit = fitting.fit("capacity", final, resamples=200, compare=False)
        told("fitted", begun)
        print("  " + ", ".join(f"{e.name} {e.value:.4g}" for e in fit.estimates))
        print("  " + ", ".join(f"{name} {value:.4g}" for name, value in Capacity.example().truth.items()), "(truth)")
        whole = catalog.read(store, "experiment/observations.parquet")
        path = Path(folder) / "one.parquet"
        begun = time.perf_counter()
        whole.write_parquet(path, compression="zstd")
        told("reference: one file written", begun)
        begun = time.perf_counter()
        pl.scan_parquet(path).filter(pl.col("measure") != "training_loss").collect()
        told("reference: one file queried", begun)


if __name__ == "__main__":
    main()
