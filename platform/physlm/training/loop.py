"""Train a cohort: every member by its own clock, checkpointed, resumable, free to leave when it is done.

A member's data, learning rate and budget depend on its own progress alone. So a cohort may be put together anew at any
time, from runs at any point of their training, and each gets the result that it gets alone. Runs that differ in their
budget alone go as one member for as long as their schedules say the same (the trunk of `wsd`).
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

import physlm
from physlm import catalog
from physlm.catalog import Observation
from physlm.errors import Interrupted
from physlm.runs import Run
from physlm.store import layout
from physlm.store.store import Store
from physlm.training import schedules
from physlm.training.checkpoints import (
    Clock,
    ShardedState,
    State,
    delete_states,
    load_model,
    load_sharded,
    load_state,
    save_model,
)
from physlm.training.cohort import Cohort
from physlm.training.config import CURVE_MEASURE, CURVE_SOURCE
from physlm.training.lora import LoraCohort
from physlm.training.mixing import feed
from physlm.training.packing import Feed, Windows
from physlm.training.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from physlm.training.sharded import ShardedModel

# Budget shares at which the learning curve has a point: evenly spaced in the logarithm, from 0.5 % on.
CURVE_POINTS = tuple(float(x) for x in np.geomspace(0.005, 1.0, 32))


@dataclass(frozen=True)
class Progress:
    """What happened since the last report."""

    tokens: int  # trained on, all members together
    flops: float
    completed: int  # runs
    loss: float | None  # mean over members still in training, nats per predicted token
    checkpoints: int
    seconds: float
    learning_rate: float | None = None  # the highest among members
    gradient_norm: float | None = None  # the largest among members at the last step, before clipping

    @property
    def tokens_per_second(self) -> float:
        """Rate since the last report."""
        return self.tokens / max(self.seconds, 1e-9)


@dataclass
class _Member:
    run: Run
    clock: Clock
    slot: int = 0  # place of its loss sum

    @property
    def progress(self) -> float:
        """Share of the budget spent, 0 to 1."""
        if self.run.instances is not None:
            return self.clock.instances / self.run.instances
        assert self.run.training.tokens is not None
        return min(1.0, self.clock.tokens / self.run.training.tokens)

    @property
    def is_shared(self) -> bool:
        """Whether runs with this one's trunk take the same next step."""
        return schedules.is_shared(self.run.training.schedule, self.progress)

    @property
    def diverged(self) -> bool:
        return bool(self.clock.curve) and not np.isfinite(self.clock.curve[-1][2])


@dataclass
class _Row:
    """A row of the cohort: the runs that still train as one, and their next windows."""

    members: list[_Member]
    feed: Feed
    windows: Windows | None = None

    def peek(self) -> Windows:
        """The next batch, which stays the next one."""
        if self.windows is None:
            self.windows = self.feed.next(self.members[0].run.training.batch_size)
        return self.windows

    def branches(self) -> list[_Member]:
        """Members that must go their own way now: their decay begins, or their data ends within the next batch."""
        if len(self.members) == 1:
            return []
        taken = self.members[0].clock.instances + self.peek().instances
        going = [
            m for m in self.members if not m.is_shared or (m.run.instances is not None and taken > m.run.instances)
        ]
        return going if len(going) < len(self.members) else going[:-1]


@dataclass(frozen=True)
class Options:
    """How to train, none of which changes a result.

    ranks             the processes that train these runs together, each with a part of every batch
    sharded           whether they share the parameters out among them as well
    micro_batch_size  windows of each member in one pass; a step accumulates gradients over several
    """

    device: torch.device
    checkpoint_seconds: float = 20.0
    report_seconds: float = 0.5
    report: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], bool] = lambda: False
    ranks: Ranks = ALONE
    sharded: bool = False
    micro_batch_size: int | None = None


def train(store: Store, runs: Sequence[Run], options: Options) -> None:
    """Train runs of one shape together, from wherever each stands, until all are complete.

    Writes checkpoints, learning curves, models and completion markers to the store. Raises Interrupted, after a
    checkpoint, when `options.stop()` becomes true. Raises ValueError for runs of different shapes.
    """
    if len({run.shape for run in runs}) != 1:
        raise ValueError("a cohort is made of runs of one shape")
    _Training(store, runs, options).run()


class _Training:
    def __init__(self, store: Store, runs: Sequence[Run], options: Options) -> None:
        self.store, self.options = store, options
        first = runs[0]
        rows: dict[tuple[object, ...], list[_Member]] = {}
        states: list[State | ShardedState | None] = []
        for run in runs:
            state = (load_sharded if options.sharded else load_state)(store, run.run_id)
            member = _Member(run, state.clock if state else Clock())
            if state is None and options.ranks.is_first:
                _write_run(store, run)
            # Runs of one trunk that stand at one point of it have one state, and go on as one.
            place = (run.trunk_id, member.clock.updates) if member.is_shared else (run.run_id,)
            if place not in rows:
                states.append(state)
            rows.setdefault(place, []).append(member)
        self.rows = [_row(members) for members in rows.values()]
        leaders = [row.members[0].run for row in self.rows]
        kind: Any = Cohort
        if options.sharded:  # its imports take seconds
            from physlm.training.sharded import ShardedModel

            kind = ShardedModel
        elif first.training.lora is not None:
            kind = partial(LoraCohort, config=first.training.lora)
        self.cohort: Cohort | ShardedModel = kind(
            first.model,
            len(first.language.vocabulary),
            [run.training.optimizer for run in leaders],
            [run.seed for run in leaders],
            options.device,
            options.ranks,
            options.micro_batch_size,
        )
        for i, state in enumerate(states):
            if (parent := leaders[i].parent) is not None:
                tokens = store.get_json(layout.completed_key(parent.run_id))["tokens"]
                self.cohort.start_from(i, load_model(store, parent.run_id, tokens))
            if state:
                self.cohort.restore(i, state)
        self._place()
        sums = [member.clock.loss_sum for member in self.members]
        self.losses = torch.tensor(sums, dtype=torch.float64, device=options.device)
        self._last_report = self._last_checkpoint = time.monotonic()
        self._unreported = [0, 0.0, 0, 0]  # tokens, FLOPs, completed runs, checkpoints
        self._rate: float | None = None
        self._norms = torch.zeros(0)

    @property
    def members(self) -> list[_Member]:
        return [member for row in self.rows for member in row.members]

    def run(self) -> None:
        self._leave()  # a member may have been stopped between its last step and its marker
        while self.rows:
            due = time.monotonic() - self._last_checkpoint >= self.options.checkpoint_seconds
            # All ranks must do the same.
            stop, due = self.options.ranks.any_true(self.options.stop(), due and self.options.ranks.is_first)
            if stop or due:
                self._checkpoint()
            if stop:
                raise Interrupted(f"stopped with {len(self.members)} runs in training; their state is stored")
            self._branch()
            self._step()
            self._leave()
            now = time.monotonic()
            if not self.rows or now - self._last_report >= self.options.report_seconds:
                self._report(now)

    def _branch(self) -> None:
        """Give a row of its own to each member that can't go on as one with others."""
        fresh: list[_Row] = []
        origins = list(range(len(self.rows)))
        for i, row in enumerate(self.rows):
            for member in row.branches():
                row.members.remove(member)
                fresh.append(_row([member]))
                origins.append(i)
        if fresh:
            self.rows += fresh
            self.cohort.keep(origins)
            self._place_losses()

    def _step(self) -> None:
        begin = time.perf_counter()
        leaders = [row.members[0] for row in self.rows]
        lr_factors = [schedules.lr_factor(m.run.training.schedule, m.progress, m.clock.updates) for m in leaders]
        batch = [row.peek() for row in self.rows]
        tokens = torch.from_numpy(np.stack([w.tokens for w in batch])).to(self.options.device, torch.int64)
        wanted = torch.from_numpy(np.stack([w.loss for w in batch])).to(self.options.device)
        masked = [w.seen for w in batch if w.seen is not None]
        seen = torch.from_numpy(np.stack(masked)).to(tokens) if masked else None
        losses, self._norms = self.cohort.step(tokens, wanted, lr_factors, seen)
        self._rate = max(m.run.training.optimizer.lr * f for m, f in zip(leaders, lr_factors, strict=True))
        predicted = torch.tensor([w.predicted for w in batch], dtype=torch.float64)
        self.losses += (losses.double() * predicted.to(self.options.device))[self._row_of]
        seconds = (time.perf_counter() - begin) / len(self.rows)
        for row, windows in zip(self.rows, batch, strict=True):
            row.windows = None
            self._unreported[0] += windows.shown
            self._unreported[1] += windows.shown * float(row.members[0].run.flops_per_token)
            for member in row.members:
                self._advance(member, windows, seconds / len(row.members))

    def _advance(self, member: _Member, windows: Windows, seconds: float) -> None:
        clock = member.clock
        before = member.progress
        clock.instances += windows.instances
        clock.tokens += windows.shown
        for name, count in windows.mixed.items():
            clock.mixed[name] = clock.mixed.get(name, 0) + count
        clock.predicted += windows.predicted
        clock.updates += 1
        clock.seconds += seconds
        if any(before < point <= member.progress for point in CURVE_POINTS):
            mean = float(self.losses[member.slot]) / max(1, clock.predicted)
            clock.curve.append((clock.tokens, clock.instances, mean, clock.predicted))
            clock.predicted = 0
            self.losses[member.slot] = 0.0

    def _leave(self) -> None:
        """Complete the members whose budget is spent, or whose loss is no number any more, and drop them."""
        kept = []
        for i, row in enumerate(self.rows):
            for member in [m for m in row.members if m.progress >= 1 or m.diverged]:
                self._complete(i, member)
                row.members.remove(member)
                self._unreported[2] += 1
            if row.members:
                kept.append(i)
        if len(kept) < len(self.rows):
            self.rows = [self.rows[i] for i in kept]
            if kept:
                self.cohort.keep(kept)
        self._place_losses()

    def _place_losses(self) -> None:
        """Give the members' loss sums the order of the members, which has changed."""
        members = self.members
        self.losses = self.losses[torch.tensor([m.slot for m in members], dtype=torch.int64, device=self.losses.device)]
        self._place()

    def _place(self) -> None:
        rows = [i for i, row in enumerate(self.rows) for _ in row.members]
        self._row_of = torch.tensor(rows, dtype=torch.int64, device=self.options.device)
        for slot, member in enumerate(self.members):
            member.slot = slot

    def _complete(self, row: int, member: _Member) -> None:
        run, clock = member.run, member.clock
        named = self.cohort.parameters(row)
        if not self.options.ranks.is_first:
            return
        save_model(self.store, run.run_id, clock.tokens, named)
        catalog.write(self.store, _curve(run, clock), layout.run_observations_key(run.run_id, CURVE_SOURCE))
        marker = {
            "status": "diverged" if member.diverged else "trained",
            "tokens": clock.tokens,
            "instances": clock.instances,
            "updates": clock.updates,
            "flops": clock.tokens * float(run.flops_per_token),
            "seconds": round(clock.seconds, 3),
        }
        self.store.put_json(layout.completed_key(run.run_id), marker)
        delete_states(self.store, run.run_id)

    def _checkpoint(self) -> None:
        for i, row in enumerate(self.rows):
            for member in row.members:
                member.clock.loss_sum = float(self.losses[member.slot])
                self.cohort.write_state(self.store, member.run.run_id, i, member.clock)
                self._unreported[3] += 1
        self._last_checkpoint = time.monotonic()

    def _report(self, now: float) -> None:
        tokens, flops, completed, checkpoints = self._unreported
        curves = [m.clock.curve[-1][2] for m in self.members if m.clock.curve]
        loss = float(np.mean(curves)) if curves else None
        if self.options.ranks.is_first:
            self.options.report(
                Progress(
                    int(tokens),
                    float(flops),
                    int(completed),
                    loss,
                    int(checkpoints),
                    now - self._last_report,
                    self._rate,
                    float(self._norms.max()) if len(self._norms) else None,
                )
            )
        self._unreported = [0, 0.0, 0, 0]
        self._last_report = now


def _row(members: Sequence[_Member]) -> _Row:
    """A row of runs that stand at one point of one trunk."""
    run, clock = members[0].run, members[0].clock
    ends = [m.run.instances for m in members]
    stop = None if None in ends else max(end for end in ends if end is not None)
    windows = clock.updates * run.training.batch_size
    return _Row(list(members), feed(run, windows, clock.instances, clock.mixed, stop))


def _write_run(store: Store, run: Run) -> None:
    """What the run is, and what made it."""
    versions = {"physlm": physlm.__version__, "python": platform.python_version(), "torch": torch.__version__}
    store.put_json(layout.run_key(run.run_id), {**run.resolved(), "made_by": versions})


def _curve(run: Run, clock: Clock) -> pl.DataFrame:
    rows = []
    for tokens, instances, loss, predicted in clock.curve:
        value = loss if np.isfinite(loss) else None
        rows.append((run.moment(tokens, instances), Observation(CURVE_MEASURE, value, "nats per token", n=predicted)))
    return catalog.table(run.description(), CURVE_SOURCE, rows)
