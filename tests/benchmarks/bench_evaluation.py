"""Measures and probes in a process for each core, against one process that may use all cores for its arithmetic.

    python tests/benchmarks/bench_observing.py [--models 8] [--width 48] [--pairs 3]

The models are trained for a moment alone: what observing costs doesn't depend on what they know. Both ways are timed in
turns, each with nothing observed before, loading and starting of processes included; prints seconds and their ratio,
medians over the pairs.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from physlm import experiment, steps
from physlm.experiment import Experiment
from physlm.launch import local
from physlm.steps.generate import Generate
from physlm.steps.measure import Measure
from physlm.steps.observing import ObservingStep
from physlm.steps.probe import Probe
from physlm.steps.train import Train
from physlm.store import LocalStore

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: observing
question: What do processes save?
task: {{type: cfg, sizes: [1, 3, 3, 3, 3]}}
model: {{type: gpt2, layers: 4, heads: 4, width: {width}}}
training: {{tokens: 4000}}
seeds: {seeds}
measure: [loss, kl, attention]
probe: [linear, position_diagonal]
"""
STEPS = (Measure, Probe)


def seconds(store: LocalStore, study: Experiment, step: type[ObservingStep], processes: int) -> float:
    """Of one step, with nothing observed before."""
    shutil.rmtree(store.root / "observations", ignore_errors=True)
    begun = time.perf_counter()
    step(processes=processes).run(store, study)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    study = experiment.parse(TEXT.format(width=options.width, seeds=list(range(options.models))), steps.known_names())
    many = local.cores()
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        Generate().run(store, study)
        Train().run(store, study)
        print(f"{options.models} models, {study.runs[0].parameters_counted:,} parameters each; {many} cores")
        for step in STEPS:
            seconds(store, study, step, 1)  # compiles
            pairs = [(seconds(store, study, step, 1), seconds(store, study, step, many)) for _ in range(options.pairs)]
            one, each = (statistics.median(times) for times in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(
                f"{step.name:<8} one process {one:7.1f} s   {many} processes {each:7.1f} s   {ratio:5.2f} times",
                flush=True,
            )


if __name__ == "__main__":
    main()
