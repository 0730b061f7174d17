"""One rank against two with the same total work: a cohort whose members are spread, and one model whose batch is split.

    python tests/benchmarks/bench_ranks.py [--repeats 3]

Each process has one thread. Rates are those of training itself, from the reports of the first rank, without the start
of processes; medians over the repeats, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from physlm import experiment
from physlm.store import open_store

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: ranks
question: What does a second rank give?
task: {{type: biod, people: 200, attributes: 4, diversity: 32, vocabulary: 64}}
model: {{type: gpt2, layers: 2, heads: 2, width: {width}}}
training: {{batch_size: {batch}, exposures: {exposures}}}
seeds: {seeds}
measure: [loss]
"""
WORKS = {
    "16 members of width 16, spread": {"width": 16, "batch": 32, "exposures": 60, "seeds": list(range(16))},
    "one model of width 128, batch split": {"width": 128, "batch": 256, "exposures": 120, "seeds": [0]},
}


def rate(ranks: int, **work: object) -> float:
    """Tokens per second of all ranks together."""
    study = experiment.parse(TEXT.format(**work))
    with tempfile.TemporaryDirectory() as root:
        manifest = {"experiment": study.source, "shards": [[[run.run_id for run in study.runs]]]}
        open_store(Path(root)).put_json("manifest.json", manifest)
        torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m"] if ranks > 1 else []
        done = subprocess.run(
            [sys.executable, "-m", *torchrun, "physlm.training", "--store", root, "--runs", "manifest.json"],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    busy = [event for event in events[1:] if event["tokens"]]  # the first report has the warming-up in it
    return float(sum(event["tokens"] for event in busy) / sum(event["seconds"] for event in busy))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for name, work in WORKS.items():
        pairs = [(rate(1, **work), rate(2, **work)) for _ in range(options.repeats)]
        one, two = (statistics.median(rates) for rates in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(
            f"{name}: 1 rank {one / 1e3:.0f} k tokens/s, 2 ranks {two / 1e3:.0f} k tokens/s, ratio {ratio:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
