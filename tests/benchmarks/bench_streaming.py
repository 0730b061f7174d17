"""Streaming: tokens a second and peak memory of every task, online, written to a store and read back.

    python tests/benchmarks/bench_streaming.py [--tokens 2e6] [--tasks cfg mano ...] [--workers 1]

Each figure is taken in a process of its own on one core, unless --workers says more, whose start then counts.
Memory is the growth of the peak resident set over what the process held when its first batch was done, so it says what
streaming itself needs, and must not depend on how much is streamed: `--tokens 1e8` shows it. The reference is what a
plain script does, one call for everything, whose memory grows with the amount; above 20 M tokens it is left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from physlm.datasets import online, write_dataset
from physlm.datasets.reading import DataSet
from physlm.store import open_store
from physlm.tasks import Stream, Task, build, registry

BATCH = 1024  # instances
AT_ONCE = 20_000_000  # tokens, the most that the reference is asked for
MODES = ("online", "write", "read", "at once")


def preset(name: str) -> str:
    """The first published setting; the tiny one where there is no other."""
    return next((key for key in registry[name].presets if not key.startswith("tiny")), "tiny")


def peak() -> float:
    """Largest resident set so far of this process and its ended children, MB."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def sample(task: Task[Any], tokens: int, workers: int) -> int:
    """Sample batch after batch; returns how many tokens they had."""
    total = 0
    for batch in online(task.config, Stream(), BATCH, workers=workers):
        total += len(batch.tokens)
        if total >= tokens:
            break
    return total


def read(data: DataSet) -> int:
    return sum(len(batch.tokens) for batch in data.batches(BATCH))


def measure(name: str, mode: str, tokens: int, folder: str, workers: int) -> dict[str, float]:
    """Tokens, seconds and growth of the peak in this process."""
    cls = registry[name]
    task = build(cls.config_type.model_validate(cls.presets[preset(name)]))
    store = open_store(folder)
    few = len(task.sample(Stream(), np.arange(BATCH)).tokens)  # compiles, and makes the world
    data = None
    if mode in ("write", "read"):
        write_dataset(store, task.config, Stream("test"), tokens=few)
    if mode == "read":
        data = write_dataset(store, task.config, Stream(), tokens=tokens)
        next(data.batches(BATCH))
    before, start = peak(), time.perf_counter()
    if mode == "online":
        total = sample(task, tokens, workers)
    elif mode == "write":
        total = write_dataset(store, task.config, Stream(), tokens=tokens, workers=workers).tokens
    elif data is not None:
        total = read(data)
    else:
        total = len(task.sample(Stream(), np.arange(tokens * BATCH // few)).tokens)
    return {"tokens": total, "seconds": time.perf_counter() - start, "growth": peak() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=float, default=2e6)
    parser.add_argument("--tasks", nargs="+", default=list(registry), choices=list(registry))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--one", nargs=3, metavar=("TASK", "MODE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    tokens = int(arguments.tokens)
    if arguments.one:
        name, mode, folder = arguments.one
        print(json.dumps(measure(name, mode, tokens, folder, arguments.workers)))
        return
    print(f"{tokens:,} tokens; rates in M tokens/s, growth of the peak memory in MB")
    for name in arguments.tasks:
        results: dict[str, dict[str, float]] = {}
        with tempfile.TemporaryDirectory() as folder:
            for mode in MODES if tokens <= AT_ONCE else MODES[:-1]:
                command = [sys.executable, __file__, "--one", name, mode, folder]
                command += ["--tokens", str(tokens), "--workers", str(arguments.workers)]
                results[mode] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        figures = [
            f"{mode} {r['tokens'] / r['seconds'] / 1e6:7.2f} M/s {r['growth']:6.0f} MB" for mode, r in results.items()
        ]
        ratio = ""
        if "at once" in results:
            ratio = (
                f"   memory at once / online {results['at once']['growth'] / max(1.0, results['online']['growth']):.1f}"
            )
        print(f"{name:<14} {preset(name):<12} {'   '.join(figures)}{ratio}", flush=True)


if __name__ == "__main__":
    main()
