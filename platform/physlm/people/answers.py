"""The questions of written instances, made when looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from physlm.people.schedule import Drawn


class Asked(NamedTuple):
    """A question: where in the instance its answer begins, the answer, what is asked, of whom."""

    start: int
    answer: tuple[int, ...]
    kind: int = -1  # place of the question in the config's list; -1 for a value of a biography
    persons: tuple[int, ...] = ()


@dataclass(frozen=True)
class Truths(Sequence[Asked]):
    """The questions of instances, made when looked at."""

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    answers: NDArray[np.int64]
    drawn: Drawn

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        start, stop = self.answers[i].tolist()
        persons = tuple(p for p in self.drawn.persons[i].tolist() if p >= 0)
        answer = tuple(self.tokens[start:stop].tolist())
        return Asked(start - int(self.offsets[i]), answer, int(self.drawn.question[i]), persons)
