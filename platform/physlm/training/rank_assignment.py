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
from physlm.training.memory import activation_bytes, state_bytes


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
        if size > 1 and run.training.lora is None and state_bytes(run.parameters) > capacity
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


def micro_batch_size(runs: Sequence[Run], ranks: int, capacity: float) -> int:
    """Windows of each member that fit into memory at once: a step takes several passes where that is not its batch."""
    room = capacity - sum(state_bytes(run.parameters) for run in runs)
    each = sum(activation_bytes(run.model, len(run.language.vocabulary), run.context_length, 1) for run in runs)
    own = -(-runs[0].training.batch_size // ranks)
    return max(1, min(own, int(room // each)))
