"""Execute shards as processes on this machine, one for each core or a rank for each GPU."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from physlm import environment, orphan_watchdog
from physlm.errors import Interrupted, PhyslmError

_GRACE_SECONDS = 60  # for a worker to write its checkpoint


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPU cores that this process may use: those it may run on, or fewer where its container has a smaller quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no cgroup, or "max" for no quota
        microseconds, period = map(int, quota.read_text().split())
        usable = min(usable, max(1, microseconds // period))
    return usable


def gpus(driver: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; asks the driver, loads nothing."""
    present = [str(number) for number, _ in enumerate(driver.iterdir())] if driver.is_dir() else []
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    return present if not present or told is None else [name for name in told.split(",") if name not in ("", "-1")]


@dataclass(frozen=True)
class Workers:
    """How the work is spread on this machine: shards at once, and ranks that share each of them."""

    processes: int
    nproc: int

    @classmethod
    def make(cls, processes: int | None, nproc: int | None) -> Workers:
        """What isn't given is so chosen that a rank has a GPU, or a core where there are no GPUs, to itself."""
        found = len(gpus())
        nproc = nproc or max(1, found)
        return cls(processes or max(1, (found or cores()) // nproc), nproc)


@dataclass
class _Worker:
    shard: int
    process: subprocess.Popen[str]
    errors: list[str]
    readers: list[threading.Thread]


def run_shards(
    module: str,
    arguments: Sequence[str],
    count: int,
    on_event: Callable[[int, Mapping[str, Any]], None],
    nproc: int = 1,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run `python -m module *arguments --shard i` for each of `count` shards at once; `on_event` gets what they report.

    With `nproc` above 1 each shard is run by so many ranks under torchrun, which replaces those that are lost.
    variables: of the environment, beside those of this process.

    A worker reports one JSON object a line on its standard output. Raises Interrupted on Ctrl-C, after the workers have
    stored their state, and PhyslmError, once all have ended, if one failed.
    """
    events: queue.Queue[tuple[int, Mapping[str, Any] | None]] = queue.Queue()
    workers = [_start(module, arguments, shard, count, events, nproc, variables or {}) for shard in range(count)]
    running = count
    try:
        while running:
            shard, event = events.get()
            if event is None:
                running -= 1
            else:
                on_event(shard, event)
    except KeyboardInterrupt:
        _stop(workers)
        raise Interrupted("stopped; everything done so far is stored") from None
    except BaseException:
        _stop(workers)
        raise
    for worker in workers:
        for reader in worker.readers:
            reader.join()
    failed = [worker for worker in workers if worker.process.wait() != 0]
    if failed:
        raise PhyslmError("; ".join(_failure(worker) for worker in failed))


def _start(
    module: str,
    arguments: Sequence[str],
    shard: int,
    count: int,
    events: queue.Queue[tuple[int, Mapping[str, Any] | None]],
    nproc: int,
    more: Mapping[str, str],
) -> _Worker:
    threads = environment.text("OMP_NUM_THREADS") or str(max(1, cores() // (count * nproc)))
    variables = environment.for_child(OMP_NUM_THREADS=threads, **{orphan_watchdog.VARIABLE: str(os.getpid())}, **more)
    if own := gpus_of(shard, nproc, gpus()):
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(own)
    torchrun: list[str] = []
    if nproc > 1:
        torchrun = ["physlm.training.torchrun", f"--nproc-per-node={nproc}", "-m"]
    process = subprocess.Popen(
        [sys.executable, "-m", *torchrun, module, *arguments, "--shard", str(shard)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables,
        # Ctrl-C goes to this process alone; it then asks the workers to stop.
        start_new_session=True,
    )
    worker = _Worker(shard, process, [], [])
    for read in (partial(_read_errors, worker), partial(_read_events, worker, events)):
        worker.readers.append(threading.Thread(target=read, daemon=True))
        worker.readers[-1].start()
    return worker


def gpus_of(shard: int, nproc: int, present: Sequence[str]) -> list[str]:
    """The GPUs of a shard's ranks: others than those of the shards beside it, as long as there are enough."""
    first = shard * nproc
    return list(dict.fromkeys(present[rank % len(present)] for rank in range(first, first + nproc))) if present else []


def _read_events(worker: _Worker, events: queue.Queue[tuple[int, Mapping[str, Any] | None]]) -> None:
    assert worker.process.stdout is not None
    with worker.process.stdout as lines:
        for line in lines:
            with suppress(ValueError):
                events.put((worker.shard, json.loads(line)))
    worker.process.wait()
    events.put((worker.shard, None))


def _read_errors(worker: _Worker) -> None:
    assert worker.process.stderr is not None
    with worker.process.stderr as lines:
        for line in lines:
            worker.errors.append(line.rstrip())
            del worker.errors[:-20]


def _stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            worker.process.send_signal(signal.SIGTERM)
    for worker in workers:
        try:
            worker.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            worker.process.kill()


def _failure(worker: _Worker) -> str:
    code = worker.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    last = next((line for line in reversed(worker.errors) if line.strip()), "")
    return f"shard {worker.shard} {how}" + (f": {last}" if last else "")
