"""What tasks that ask for an answer share: the arrays their generators fill, prompts as truths, exact comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm.tasks.capabilities import Verdict
from physlm.tasks.task import Instances


class TokenBuffer(NamedTuple):
    """Arrays that a compiled generator fills from the left, instance by instance, with `append`.

    tokens   int32 [n · longest]      loss   bool [n · longest]      labels   int32 [names, n · longest]
    offsets  int64 [n + 1]: where instances begin and end
    cuts     int64 [n]: where the answer that is asked for begins
    """

    tokens: NDArray[np.int32]
    loss: NDArray[np.bool_]
    labels: NDArray[np.int32]
    offsets: NDArray[np.int64]
    cuts: NDArray[np.int64]

    @classmethod
    def build(cls, count: int, longest: int, names: Sequence[str], write: Callable[[TokenBuffer], None]) -> Instances:
        """The instances that `write` appends to a buffer for `count` instances of at most `longest` tokens.

        names: the labels, in the order of the buffer's rows. An instance's truth is its prompt.
        """
        room = count * longest  # memory that is never written to is never taken, so the bound may be loose
        buffer = cls(
            np.empty(room, np.int32),
            np.empty(room, np.bool_),
            np.empty((len(names), room), np.int32),
            np.zeros(count + 1, np.int64),
            np.empty(count, np.int64),
        )
        write(buffer)
        total = buffer.offsets[-1]
        tokens = buffer.tokens[:total]
        return Instances(
            tokens=tokens,
            offsets=buffer.offsets,
            loss=buffer.loss[:total],
            labels={name: row[:total] for name, row in zip(names, buffer.labels, strict=True)},
            truth=Prompts(tokens, buffer.offsets[:-1], buffer.cuts),
        )


def per_instance(instances: Instances, numbers: NDArray[Any]) -> NDArray[np.float64]:
    """Sums over each instance's tokens of one number for each token, float64 [n]."""
    owner = np.repeat(np.arange(len(instances)), instances.lengths)
    return np.bincount(owner, numbers, len(instances)).astype(np.float64, copy=False)


@njit(cache=True)
def append(buffer, at, token, trained):  # type: ignore[no-untyped-def]
    """Write one token without labels. Returns the next place."""
    buffer.tokens[at] = token
    buffer.loss[at] = trained
    for row in range(buffer.labels.shape[0]):
        buffer.labels[row, at] = -1
    return at + 1


@dataclass(frozen=True)
class Prompts(Sequence[NDArray[np.int32]]):
    """The prompts of instances: entry i is tokens[starts[i]:cuts[i]].

    A prompt is all that is needed to check an answer, so it is the truth of tasks whose answers follow from it.
    """

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]
    cuts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, i: int) -> NDArray[np.int32]: ...
    @overload
    def __getitem__(self, i: slice) -> Prompts: ...
    def __getitem__(self, i: int | slice) -> NDArray[np.int32] | Prompts:
        if isinstance(i, slice):
            return Prompts(self.tokens, self.starts[i], self.cuts[i])
        return self.tokens[self.starts[i] : self.cuts[i]]


def readable(completion: NDArray[np.int32]) -> NDArray[np.int64]:
    """A completion as a row of integers, int64 [m]; empty for what is no row of integers at all."""
    tokens = np.asarray(completion)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        return np.empty(0, np.int64)
    if tokens.dtype == np.uint64:  # numbers that int64 lacks are no tokens
        tokens = np.minimum(tokens, np.uint64(np.iinfo(np.int64).max))
    return tokens.astype(np.int64)


def compare(
    expected: Sequence[int] | NDArray[np.int32], completion: NDArray[np.int32], operations: int, words: Sequence[str]
) -> Verdict:
    """Right if the completion is exactly the expected tokens, no more and no fewer.

    operations: how many steps lead to the answer; words: the vocabulary, for the reason. Counts: `operations`, and
    `tokens_right`, how many tokens stand as expected.
    """
    right = np.asarray(expected, np.int64)
    given = readable(completion)
    shared = min(len(right), len(given))
    same = given[:shared] == right[:shared]
    counts = {"operations": float(operations), "tokens_right": float(same.sum())}
    if len(given) == len(right) and same.all():
        return Verdict(True, counts=counts)
    if same.all():
        return Verdict(False, f"the answer has {len(right)} tokens, the completion {len(given)}", counts)
    first = int(np.argmin(same))
    token = int(given[first])
    shown = words[token] if 0 <= token < len(words) else f"{token}, which is no token"
    return Verdict(False, f"token {first + 1} of the answer is {words[right[first]]}, not {shown}", counts)


class LazyLabels(Mapping[str, NDArray[np.int32]]):
    """Labels that are made when asked for: training needs none."""

    def __init__(self, makers: Mapping[str, Callable[[], NDArray[np.int32]]]) -> None:
        self._makers = makers
        self._made: dict[str, NDArray[np.int32]] = {}

    def __getitem__(self, name: str) -> NDArray[np.int32]:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)
