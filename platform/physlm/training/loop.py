"""Train a cohort: every member by its own clock, checkpointed, resumable, free to leave when it is done.

A member's data, learning rate and budget depend on its own progress alone. So a cohort may be put together anew at any
time, from runs at any point of their training, and each gets the result that it gets alone.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

import physlm
from physlm import catalog
from physlm.catalog import Observation
from physlm.errors import Interrupted
from physlm.experiment import Run
from physlm.store.contract import Store
from physlm.tasks.contract import Stream
from physlm.training import layout
from physlm.training.checkpoints import (
    Clock,
    State,
    delete_states,
    load_state,
    save_model,
    save_state,
)
from physlm.training.cohort import Cohort, schedule
from physlm.training.packing import Packer, Windows

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

    @property
    def tokens_per_second(self) -> float:
        """Rate since the last report."""
        return self.tokens / max(self.seconds, 1e-9)


@dataclass
class _Member:
    run: Run
    clock: Clock
    packer: Packer

    @property
    def progress(self) -> float:
        """Share of the budget spent, 0 to 1."""
        if self.run.instances is not None:
            return self.clock.instances / self.run.instances
        assert self.run.training.tokens is not None
        return min(1.0, self.clock.tokens / self.run.training.tokens)


@dataclass(frozen=True)
class Options:
    """How to train, none of which changes a result."""

    device: torch.device
    checkpoint_seconds: float = 20.0
    report_seconds: float = 0.5
    report: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], bool] = lambda: False


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
        self.cohort = Cohort(
            first.model,
            len(first.language.vocabulary),
            [run.training.optimizer for run in runs],
            [run.seed for run in runs],
            options.device,
        )
        states = [load_state(store, run.run_id) for run in runs]
        self.members = [
            _member(run, state.clock if state else Clock()) for run, state in zip(runs, states, strict=True)
        ]
        for row, state in enumerate(states):
            if state:
                self._restore(row, state)
            else:
                _write_run(store, runs[row])
        self.losses = torch.zeros(len(runs), dtype=torch.float64, device=options.device)
        self._load_loss_sums()
        self._last_report = self._last_checkpoint = time.monotonic()
        self._unreported = [0, 0.0, 0, 0]  # tokens, FLOPs, completed runs, checkpoints

    def run(self) -> None:
        self._leave()  # a member may have been stopped between its last step and its marker
        while self.members:
            if self.options.stop():
                self._checkpoint()
                raise Interrupted(f"stopped with {len(self.members)} runs in training; their state is stored")
            self._step()
            self._leave()
            now = time.monotonic()
            if self.members and now - self._last_checkpoint >= self.options.checkpoint_seconds:
                self._checkpoint()
            if not self.members or now - self._last_report >= self.options.report_seconds:
                self._report(now)

    def _step(self) -> None:
        begin = time.perf_counter()
        batch_size = self.members[0].run.training.batch_size
        shares = [schedule(m.run.training.schedule, m.progress) for m in self.members]
        batch = [m.packer.next(batch_size) for m in self.members]
        tokens = torch.from_numpy(np.stack([w.tokens for w in batch])).to(self.options.device, torch.int64)
        wanted = torch.from_numpy(np.stack([w.loss for w in batch])).to(self.options.device)
        losses, _ = self.cohort.step(tokens, wanted, shares)
        predicted = torch.tensor([w.predicted for w in batch], dtype=torch.float64)
        self.losses += losses.double() * predicted.to(self.options.device)
        seconds = (time.perf_counter() - begin) / len(self.members)
        for row, (member, windows) in enumerate(zip(self.members, batch, strict=True)):
            self._advance(row, member, windows, seconds)

    def _advance(self, row: int, member: _Member, windows: Windows, seconds: float) -> None:
        clock = member.clock
        before = member.progress
        clock.instances += windows.instances
        clock.tokens += windows.shown
        clock.predicted += windows.predicted
        clock.updates += 1
        clock.seconds += seconds
        self._unreported[0] += windows.shown
        self._unreported[1] += windows.shown * float(member.run.flops_per_token)
        if any(before < point <= member.progress for point in CURVE_POINTS):
            mean = float(self.losses[row]) / max(1, clock.predicted)
            clock.curve.append((clock.tokens, clock.instances, mean, clock.predicted))
            clock.predicted = 0
            self.losses[row] = 0.0

    def _diverged(self, member: _Member) -> bool:
        return bool(member.clock.curve) and not np.isfinite(member.clock.curve[-1][2])

    def _leave(self) -> None:
        """Complete the members whose budget is spent, or whose loss is no number any more, and drop them."""
        rows = [row for row, m in enumerate(self.members) if m.progress >= 1 or self._diverged(m)]
        if not rows:
            return
        for row in rows:
            self._complete(row)
        self._unreported[2] += len(rows)
        keep = [row for row in range(len(self.members)) if row not in rows]
        self.members = [self.members[row] for row in keep]
        if keep:
            self.cohort.keep(keep)
            self.losses = self.losses[torch.tensor(keep, device=self.losses.device)]

    def _complete(self, row: int) -> None:
        member = self.members[row]
        run, clock = member.run, member.clock
        status = "diverged" if self._diverged(member) else "trained"
        named = {name: self.cohort.values[row, where].view(size) for name, (where, size) in self.cohort.slices.items()}
        save_model(self.store, run.run_id, clock.tokens, named)
        catalog.write(self.store, _curve(run, clock), catalog.key(run.run_id, layout.CURVE_SOURCE))
        marker = {
            "status": status,
            "tokens": clock.tokens,
            "instances": clock.instances,
            "updates": clock.updates,
            "flops": clock.tokens * float(run.flops_per_token),
            "seconds": round(clock.seconds, 3),
        }
        self.store.put_json(layout.completed_key(run.run_id), marker)
        delete_states(self.store, run.run_id)

    def _checkpoint(self) -> None:
        for row, member in enumerate(self.members):
            member.clock.loss_sum = float(self.losses[row])
            cohort = self.cohort
            state = State(member.clock, cohort.values[row], cohort.first[row], cohort.second[row])
            save_state(self.store, member.run.run_id, state)
        self._unreported[3] += len(self.members)
        self._last_checkpoint = time.monotonic()

    def _restore(self, row: int, state: State) -> None:
        with torch.no_grad():
            self.cohort.values[row] = state.values
            self.cohort.first[row] = state.first
            self.cohort.second[row] = state.second
        self.cohort.updates[row] = state.clock.updates

    def _load_loss_sums(self) -> None:
        for row, member in enumerate(self.members):
            self.losses[row] = member.clock.loss_sum

    def _report(self, now: float) -> None:
        tokens, flops, completed, checkpoints = self._unreported
        curves = [m.clock.curve[-1][2] for m in self.members if m.clock.curve]
        loss = float(np.mean(curves)) if curves else None
        self.options.report(
            Progress(int(tokens), float(flops), int(completed), loss, int(checkpoints), now - self._last_report)
        )
        self._unreported = [0, 0.0, 0, 0]
        self._last_report = now


def _member(run: Run, clock: Clock) -> _Member:
    packer = Packer(
        run.language, Stream("train", run.seed), run.context_length, cursor=clock.instances, stop=run.instances
    )
    return _Member(run, clock, packer)


def _write_run(store: Store, run: Run) -> None:
    """What the run is, and what made it."""
    versions = {"physlm": physlm.__version__, "python": platform.python_version(), "torch": torch.__version__}
    store.put_json(layout.run_key(run.run_id), {**run.resolved(), "made_by": versions})


def _curve(run: Run, clock: Clock) -> pl.DataFrame:
    rows = []
    for tokens, instances, loss, predicted in clock.curve:
        value = loss if np.isfinite(loss) else None
        rows.append((run.moment(tokens, instances), Observation("training_loss", value, "nats per token", n=predicted)))
    return catalog.table(run.description(), layout.CURVE_SOURCE, rows)
