"""How the runs of a shard are shared out among its ranks; torch-free.

spread       each rank trains some of the members of each cohort: nothing is sent
replicated   fewer runs than ranks: all ranks train the same cohort, each with a part of every batch
sharded      a run too large for one rank: its parameters, gradients and moments are spread over all
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from physlm.runs import Run, trunks


@dataclass(frozen=True)
class Division:
    """What one rank trains: cohorts of its own, cohorts with all other ranks, and runs sharded over all."""

    spread: Sequence[Sequence[Run]]
    replicated: Sequence[Sequence[Run]] = ()
    sharded: Sequence[Run] = ()


def divide(cohorts: Sequence[Sequence[Run]], rank: int, size: int, capacity: float) -> Division:
    """The share of one rank, of `size` that have `capacity` bytes each; every rank comes to the same division."""
    large = [
        run
        for cohort in cohorts
        for run in cohort
        if size > 1 and run.training.lora is None and state_bytes(run) > capacity
    ]
    rest = [[run for run in cohort if run not in large] for cohort in cohorts]
    rest = [cohort for cohort in rest if cohort]
    families = [(i, family) for i, cohort in enumerate(rest) for family in trunks(cohort)]
    if len(families) < size:
        return Division((), rest, large)
    heap = [(0.0, r) for r in range(size)]
    mine: dict[int, list[Run]] = defaultdict(list)
    for i, family in sorted(families, key=lambda item: (-sum(run.flops for run in item[1]), item[1][0].run_id)):
        load, owner = heapq.heappop(heap)
        heapq.heappush(heap, (load + sum(run.flops for run in family), owner))
        if owner == rank:
            mine[i] += family
    return Division([mine[i] for i in sorted(mine)], (), large)


def state_bytes(run: Run) -> int:
    """Bytes of a run's parameters, gradients and moments, with what the optimiser's step needs beside them."""
    return 4 * 6 * run.parameters


def activation_bytes(run: Run, windows: int | None = None) -> int:
    """Bytes kept between the forward and the backward pass of so many windows, a batch if not told; roughly."""
    tokens = (windows or run.training.batch_size) * run.context_length
    vocabulary = len(run.language.vocabulary)
    # as much of the logits again while the backward pass runs
    return 4 * tokens * (run.model.activations_per_token(vocabulary, run.context_length) + 2 * vocabulary)


def windows_at_once(runs: Sequence[Run], ranks: int, capacity: float) -> int:
    """Windows of each member that fit into memory at once: a step takes several passes where that is not its batch."""
    room = capacity - sum(map(state_bytes, runs))
    each = sum(activation_bytes(run, 1) for run in runs)
    share = -(-runs[0].training.batch_size // ranks)
    return max(1, min(share, int(room // each)))
