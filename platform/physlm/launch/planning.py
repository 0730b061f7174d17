"""From runs to cohorts that train together, and from cohorts to shards that one process executes each."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from physlm.runs import Run, own_shares, trunks
from physlm.training.memory import training_bytes

MAX_MEMBERS = 64  # more gain nothing on a CPU and little on an accelerator
STEP_FLOPS = 1e12  # a step of so many occupies the largest accelerator for milliseconds: more members gain nothing
_IMBALANCE = 1.05  # cohorts are split until the longest shard is at most this much above the mean
_BYTES = 32 * 1024**3
# A token of a small model costs about as much as this many FLOPs beside its arithmetic: memory traffic and dispatch.
OVERHEAD_FLOPS = 250_000.0

Weigh = Callable[[Sequence[Run]], float]
"""What a group of runs costs, in FLOPs as `work` counts them."""


@dataclass(frozen=True)
class Shard:
    """Cohorts, each a tuple of run ids, with the work of all."""

    cohorts: tuple[tuple[str, ...], ...]
    work: float


def work(tokens: float, flops: float) -> float:
    """What training costs, in FLOPs with the overhead of small models: shards are balanced and timed by it."""
    return flops + OVERHEAD_FLOPS * tokens


def cohorts(runs: Sequence[Run]) -> list[list[Run]]:
    """Group runs of one shape, as many as gain from it and fit into memory; the order of `runs` doesn't matter.

    The training process may split a group further, when it has measured its device.
    """
    groups: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: (-_work([r]), r.run_id)):
        groups[run.shape].append(run)
    result = []
    for group in groups.values():
        run, count = group[0], len(group)  # runs of one shape need the same memory and FLOPs for a step
        step = run.training.batch_size * run.context_length * run.flops_per_token
        parts = max(ceil(count / MAX_MEMBERS), ceil(count * memory(run) / _BYTES), ceil(count * step / STEP_FLOPS))
        result += deal(group, min(parts, count))
    return result


def deal(group: Sequence[Run], parts: int) -> list[list[Run]]:
    """Deal runs out in turn, so that every part has long and short ones alike; runs of one trunk stay together."""
    families = trunks(group)
    return [[run for family in families[part::parts] for run in family] for part in range(min(parts, len(families)))]


def memory(run: Run) -> int:
    """Bytes that a run needs in training, roughly."""
    return training_bytes(run.model, len(run.language.vocabulary), run.context_length, run.training.batch_size)


def shards(runs: Sequence[Run], count: int) -> list[Shard]:
    """At most `count` shards, balanced by their work in training."""
    groups = split(runs, count, _work)
    return [
        Shard(tuple(tuple(run.run_id for run in groups[i]) for i in members), load)
        for load, members in assign(groups, count, _work)
        if members
    ]


def split(runs: Sequence[Run], parts: int, weigh: Weigh) -> list[list[Run]]:
    """Cohorts that can be dealt out to so many parts evenly: one is halved while it makes its part much longer."""
    groups = cohorts(runs)
    while True:
        loads = assign(groups, parts, weigh)
        total = sum(load for load, _ in loads)
        longest, members = max(loads, key=lambda item: item[0])
        if longest <= _IMBALANCE * total / parts:
            return groups
        splittable = [i for i in members if len({run.trunk_id for run in groups[i]}) > 1]
        if not splittable or len(groups) >= 8 * parts:
            return groups
        largest = groups.pop(max(splittable, key=lambda i: weigh(groups[i])))
        groups += deal(largest, 2)


def assign(groups: Sequence[Sequence[Run]], parts: int, weigh: Weigh) -> list[tuple[float, list[int]]]:
    """The load of each part and the groups it gets, by place: the longest first, to the part that has least."""
    heap: list[tuple[float, int, list[int]]] = [(0.0, part, []) for part in range(parts)]
    for i in sorted(range(len(groups)), key=lambda i: -weigh(groups[i])):
        load, part, members = heapq.heappop(heap)
        heapq.heappush(heap, (load + weigh(groups[i]), part, [*members, i]))
    return [(load, members) for load, _, members in sorted(heap, key=lambda item: item[1])]


def _work(group: Sequence[Run]) -> float:
    return sum(share * work(run.tokens, run.flops) for run, share in own_shares(group))
