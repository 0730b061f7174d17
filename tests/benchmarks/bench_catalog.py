"""The catalogue at scale: runs' observations written, written again, collected, queried, and a law fitted to them.

    python tests/benchmarks/bench_catalog.py [--runs 100000] [--observations 100] [--folder DIR]

Each run is one Parquet file in a local store, as training and measuring leave it. Writing again finds every run there
already, by its id. The reference is one Parquet file with all rows, written and scanned by polars: the least that any
catalogue could take. 100,000 runs of 100 observations are 10⁷ rows; prints rates, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from physlm import catalog, laws
from physlm.catalog import Moment, Observation
from physlm.laws.capacity import Capacity
from physlm.store import LocalStore

SOURCE = "bench-v1"


def memory() -> float:
    """Peak memory so far in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def written(store: LocalStore, runs: int, count: int) -> list[str]:
    """Write the runs that the store doesn't hold yet; returns all their ids."""
    truth = np.array(list(Capacity.example().truth.values()))
    rng = np.random.default_rng(0)
    sizes = np.geomspace(4e3, 2e4, 50).round()
    ids = []
    for number in range(runs):
        run_id = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        ids.append(run_id)
        key = catalog.key(run_id, SOURCE)
        if store.exists(key):
            continue
        size, exposures = float(sizes[number % 50]), float((100, 300, 1000)[number // 50 % 3])
        at = {"P": np.array([size]), "E": np.array([exposures]), "B": np.array([2e4])}
        bits = float(Capacity().predict(truth, at)[0] * np.exp(0.03 * rng.standard_normal()))
        knobs = {"run_id": run_id, "condition": run_id[:12], "seed": number, "parameters": int(size)}
        knobs |= {"parameters_counted": int(size), "training.exposures": exposures}
        last = Moment(1000 * count, exposures, 1e12)
        rows = [(last, Observation("learned_bits", bits, "bits")), (last, Observation("bits_max", 2e4, "bits"))]
        rows += [
            (Moment(1000 * i, i, 1e9 * i), Observation("training_loss", 4 / (1 + i), "nats per token"))
            for i in range(count - 2)
        ]
        catalog.write(store, catalog.table(knobs, SOURCE, rows), key)
    return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--observations", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = LocalStore(Path(folder) / "store")
        rows = options.runs * options.observations
        base = memory()

        def told(what: str, begun: float, runs: int) -> None:
            seconds = time.perf_counter() - begun
            print(
                f"{what:<28}{seconds:8.2f} s {runs / seconds:12,.0f} runs/s "
                f"{runs * options.observations / seconds:14,.0f} rows/s   peak memory {memory():6.0f} MB",
                flush=True,
            )

        print(f"{options.runs:,} runs, {rows:,} observations; memory at the start {base:.0f} MB")
        begun = time.perf_counter()
        ids = written(store, options.runs, options.observations)
        told("written", begun, options.runs)
        begun = time.perf_counter()
        written(store, options.runs, options.observations)
        told("written again: nothing", begun, options.runs)
        begun = time.perf_counter()
        table = catalog.collect(store, ids, [SOURCE])
        told("collected", begun, options.runs)
        assert table.height == rows
        begun = time.perf_counter()
        final = table.lazy().filter(pl.col("measure") != "training_loss").sort("tokens").collect()
        told("queried: last observations", begun, options.runs)
        begun = time.perf_counter()
        fit = laws.fit("capacity", final.group_by("run_id", "measure", maintain_order=True).last(), resamples=200)
        told("fitted", begun, options.runs)
        print("  " + ", ".join(f"{e.name} {e.value:.4g}" for e in fit.estimates))
        path = Path(folder) / "one.parquet"
        begun = time.perf_counter()
        table.write_parquet(path, compression="zstd")
        told("reference: one file written", begun, options.runs)
        begun = time.perf_counter()
        pl.scan_parquet(path).filter(pl.col("measure") != "training_loss").collect()
        told("reference: one file queried", begun, options.runs)


if __name__ == "__main__":
    main()
