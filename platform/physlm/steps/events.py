"""What a step says while it works, and who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """How far a step is.

    step          its name
    done, total   of its work, in `unit`
    text          a sentence, where there is something to say
    """

    step: str
    done: float = 0.0
    total: float = 0.0
    unit: str = ""
    text: str = ""


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""
