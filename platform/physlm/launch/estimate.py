"""How long training would take: on this machine from a short measurement, on named accelerators from their peaks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from physlm.experiment import Run
from physlm.launch import local, planning

# Dense bf16 peak in FLOP/s from the vendors' data sheets. What small models reach of it is an assumption, and said so.
ACCELERATORS: Mapping[str, float] = {"A100": 312e12, "H100": 989e12}
UTILISATION = 0.3
_MEASURED_SHAPES = 4
_STEPS = 4


def seconds(runs: Sequence[Run]) -> dict[str, float]:
    """Estimated wall-clock seconds of training for each place; this machine is left out where torch isn't installed."""
    flops = sum(run.flops for run in runs)
    times = {}
    rate = _rate_here(runs)
    if rate:
        times[f"this machine ({local.cores()} cores)"] = flops / rate
    for name, peak in ACCELERATORS.items():
        times[f"one {name} at {UTILISATION:.0%} of its peak"] = flops / (UTILISATION * peak)
    return times


def readable(value: float) -> str:
    """Seconds as people say them."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if value < limit:
            return f"{value / size:.3g} {unit}"
    return f"{value / 86_400:,.0f} days"


def _rate_here(runs: Sequence[Run]) -> float | None:
    """FLOP/s of all cores together, from a few steps of the largest cohorts, each weighted by its FLOPs."""
    try:
        import torch

        from physlm.training.cohort import Cohort
    except ImportError:
        return None
    cohorts = sorted(planning.cohorts(runs), key=lambda c: -sum(run.flops for run in c))[:_MEASURED_SHAPES]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a training process has one core
    total, spent = 0.0, 0.0
    try:
        for cohort in cohorts:
            total_here = sum(run.flops for run in cohort)
            total += total_here
            spent += total_here / _measure(Cohort, cohort[: max(1, len(cohort) // local.cores())], torch)
    finally:
        torch.set_num_threads(threads)
    return local.cores() * total / spent


def _measure(cohort_type: Any, cohort: Sequence[Run], torch: Any) -> float:
    """FLOP/s of one process that trains this cohort."""
    first = cohort[0]
    vocabulary = len(first.language.vocabulary)
    optimizers = [run.training.optimizer for run in cohort]
    trained = cohort_type(first.model, vocabulary, optimizers, [run.seed for run in cohort], torch.device("cpu"))
    shape = (len(cohort), first.training.batch_size, first.context_length)
    tokens = torch.zeros(shape, dtype=torch.int64)
    wanted = torch.ones(shape, dtype=torch.bool)
    times = []
    for _ in range(_STEPS):
        begin = time.perf_counter()
        trained.step(tokens, wanted, [1.0] * len(cohort))
        times.append(time.perf_counter() - begin)
    return float(tokens.numel() * first.flops_per_token / min(times))
