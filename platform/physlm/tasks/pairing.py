"""Things in pairs, for prompts about the one and about the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.errors import UserError
from physlm.tasks.task import Stream, Task

_TRIED = 1000

Fits = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]


def partners(
    task: Task[Any], stream: Stream, indices: NDArray[np.int64], size: int, fits: Fits
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two of `size` things for each of these positions of the stream: each in its turn, with one that fits it.

    fits(rows, chosen, others): whether these others fit those that were chosen for these rows of the indices, bool [m].
    Others are tried one after the other from a random one on. Returns int64 [n] twice. Raises UserError where one finds
    no partner.
    """
    name, seed = task.name, task.config.seed
    turn, slot = np.divmod(indices, size)
    chosen = randomness.places(stream.key("pairs", name, seed), turn, size, slot)
    draw = randomness.words(stream.key("partners", name, seed), indices, 1)[:, 0]
    first = randomness.scaled(draw, max(1, size - 1))
    other = np.full(len(indices), -1, np.int64)
    for step in range(min(size - 1, _TRIED)):
        rows = np.flatnonzero(other < 0)
        if not len(rows):
            break
        tried = (chosen[rows] + 1 + (first[rows] + step) % (size - 1)) % size
        good = fits(rows, chosen[rows], tried)
        other[rows[good]] = tried[good]
    if (other < 0).any():
        raise UserError(f"{name}: among {size} people some have no partner with as long a name and another answer")
    return chosen, other
