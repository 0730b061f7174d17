"""Whoever started this process: once it is gone, nothing must go on beside what its user starts next."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

VARIABLE = "PHYSLM_PARENT"
"""Environment variable with the process id of whoever started this process and waits for it."""

_PERIOD_SECONDS = 0.5
_GRACE_SECONDS = 60.0  # to write checkpoints


def watch(gone: Callable[[], None]) -> None:
    """Call `gone` in a thread once the parent has ended; a minute later this process ends, whatever it waits for.

    The parent is the one that the environment names, or else torchrun. Does nothing where there is neither: a process
    that its user has started may outlive the shell.
    """
    named = os.environ.get(VARIABLE)
    if named is None and "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    parent = os.getppid() if named is None else int(named)
    threading.Thread(target=_wait, args=(parent, gone), daemon=True).start()


def _wait(parent: int, gone: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(_PERIOD_SECONDS)
    gone()
    time.sleep(_GRACE_SECONDS)
    os._exit(3)
