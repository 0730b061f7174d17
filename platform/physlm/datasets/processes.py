"""Processes that sample: they leave Ctrl-C to their parent and end with it, however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from physlm import orphan_watchdog


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool of `count` processes, or None for 1: this process alone. What is left to do at the end isn't done."""
    if count == 1:
        yield None
        return
    # Spawned, since a fork copies locks that threads of this process may hold.
    pool = ProcessPoolExecutor(count, get_context("spawn"), _start, (os.getpid(),))
    with _deaf():
        for _ in range(count):  # each starts a process, as long as none is idle; they inherit what is ignored
            pool.submit(int)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore Ctrl-C, where this thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orphan_watchdog.watch(lambda: os._exit(1), parent)
