"""How many runs of one shape train together best on this device: a short measurement before a long training.

The planner can't know the device that a shard will run on, so it makes cohorts as large as memory allows. Here they
are split where smaller ones are quicker, such as on a CPU whose cache holds only a few. No result depends on it: a
member gets in any company what it gets alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from physlm.runs import Run
from physlm.training.cohort import Cohort

_MEASURED_STEPS = 3
_MIN_TRAINING_SECONDS = 30.0  # a shorter training isn't worth the measurement
_MIN_SPEEDUP = 1.05  # of a smaller group
_MIN_MEMBERS = 4
Rate = Callable[[Sequence[Run]], float]


def tokens_per_second(runs: Sequence[Run], device: torch.device, steps: int = _MEASURED_STEPS) -> float:
    """Training rate of these runs as one cohort, all members together: the best of a few steps after a first one."""
    first = runs[0]
    optimizers, seeds = [run.training.optimizer for run in runs], [run.seed for run in runs]
    cohort = Cohort(first.model, len(first.language.vocabulary), optimizers, seeds, device)
    tokens = torch.zeros(len(runs), first.training.batch_size, first.context_length, dtype=torch.int64, device=device)
    wanted = torch.ones(tokens.shape, dtype=torch.bool, device=device)
    times = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        cohort.step(tokens, wanted, [1.0] * len(runs), None if first.model.causal else tokens)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return tokens.numel() / min(times[1:])


def split(runs: Sequence[Run], device: torch.device, rate: Rate | None = None) -> list[list[Run]]:
    """Runs of one shape, dealt out into groups of the size that trains quickest; one group where that hardly matters.

    rate: tokens per second of a group, measured if not given. Halves the group while that makes it quicker.
    """
    measured = rate or (lambda group: tokens_per_second(group, device))
    if not runs:
        return []
    parts = 1
    if len(runs) >= 2 * _MIN_MEMBERS:
        best = measured(runs)
        worthwhile = sum(run.tokens for run in runs) / best >= _MIN_TRAINING_SECONDS
        while worthwhile and len(runs) // (2 * parts) >= _MIN_MEMBERS:
            smaller = measured(runs[:: 2 * parts])
            if smaller < _MIN_SPEEDUP * best:
                break
            best, parts = smaller, 2 * parts
    return [list(runs[part::parts]) for part in range(parts)]
