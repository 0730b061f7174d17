"""How long training would take: on this machine from a short measurement, on named accelerators from their peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from physlm.experiment import Experiment
from physlm.launch import local, planning
from physlm.runs import Run

# Dense bf16 peak in FLOP/s from the vendors' data sheets. What small models reach of it is an assumption, and said so.
ACCELERATORS: Mapping[str, float] = {"A100": 312e12, "H100": 989e12}
UTILISATION = 0.3
_MEASURED_SHAPES = 4


def seconds(experiment: Experiment) -> dict[str, float]:
    """Estimated wall-clock seconds of training for each place; this machine is left out where torch isn't installed."""
    flops = experiment.flops
    times = {}
    rate = _rate_here(list(experiment.by_id.values()))
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

        from physlm.training.cohort_tuning import tokens_per_second
    except ImportError:
        return None
    cohorts = sorted(planning.cohorts(runs), key=lambda c: -sum(run.flops for run in c))[:_MEASURED_SHAPES]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a training process has one core
    total, spent = 0.0, 0.0
    try:
        for cohort in cohorts:
            part = cohort[: max(1, len(cohort) // local.cores())]
            rate = tokens_per_second(part, torch.device("cpu")) * part[0].flops_per_token
            total += sum(run.flops for run in cohort)
            spent += sum(run.flops for run in cohort) / rate
    finally:
        torch.set_num_threads(threads)
    return local.cores() * total / spent
