"""Ends a process whose parent has ended: a killed parent can't end its children, and its user starts new ones."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

VARIABLE = "PHYSLM_PARENT"
"""Environment variable with the id of the process that started this one and waits for it."""

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 60.0
"""Time to end in order, such as to write checkpoints."""


def watch(on_orphaned: Callable[[], None], parent: int | None = None) -> None:
    """Call `on_orphaned` in a thread once the parent process dies; exit with code 3 a minute later at the latest.

    parent: its process id; if not given, the one that the environment names, or else torchrun. Does nothing where there
    is none of these: a process that its user has started may outlive the shell.
    """
    if parent is None:
        named = os.environ.get(VARIABLE)
        if named is None and "TORCHELASTIC_RUN_ID" not in os.environ:
            return
        parent = os.getppid() if named is None else int(named)
    threading.Thread(target=_wait, args=(parent, on_orphaned), daemon=True).start()


def _wait(parent: int, on_orphaned: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    on_orphaned()
    time.sleep(_GRACE_SECONDS)
    os._exit(3)
