# A newcomer's task, which tests/test_one_file.py tries in a copy.
# Belongs to platform/physlm/tasks/sorting.py
"""Sorting: write a row of symbols down again in ascending order (an algorithm in one pass over the context).

A sample:

    config     length=4 symbols=6
    text       <s> s5 s1 s6 s1 <sort> s1 s1 s5 s6
    loss         0  0  0  0  0      0  1  1  1  1
    place       -1  2  0  3  1     -1  0  1  2  3

Symbols are uniform and independent. Only the sorted row is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from physlm.randomness import scaled, words
from physlm.tasks.answers import compare
from physlm.tasks.capabilities import Asks, HasEntropy, Probed, Verdict
from physlm.tasks.task import Axis, Instances, Stream, TaskConfig, register

SEPARATOR, SORT, FIRST = range(3)  # FIRST of the symbols


class SortingConfig(TaskConfig):
    """Knobs of sorting."""

    type: Literal["sorting"] = "sorting"
    length: int = Field(16, ge=1, le=10_000, description="L, symbols of a row")
    symbols: int = Field(32, ge=2, le=60_000, description="V, distinct symbols")
    order: Literal["ascending", "descending"] = Field("ascending", description="order in which they are written")


@register
class Sorting(Asks[SortingConfig], HasEntropy[SortingConfig], Probed[SortingConfig]):
    """Rows of random symbols, and the same in order."""

    config_type = SortingConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"length": 6, "symbols": 8},
        "sort_64": {"length": 64, "symbols": 128},
    }

    @property
    def vocabulary(self) -> Sequence[str]:
        """`<s> <sort>`, then the symbols `s1 s2 ...`."""
        return ["<s>", "<sort>", *(f"s{i}" for i in range(1, self.config.symbols + 1))]

    @property
    def separator(self) -> int:
        return SEPARATOR

    @property
    def max_length(self) -> int:
        return 2 + 2 * self.config.length

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("length", "difficulty", "symbols to sort", (4, 8)),
            Axis("symbols", "amount", "distinct symbols"),
            Axis("order", "type", "ascending or descending"),
        )

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Fresh rows. Label `place`, on symbols: the symbol's place in order; -1 elsewhere."""
        c, n = self.config, len(indices)
        row = scaled(words(stream.key("sorting", "row", c.seed), indices, c.length), c.symbols)
        order = np.argsort(row if c.order == "ascending" else -row, axis=1, kind="stable")
        tokens = np.full((n, self.max_length), SEPARATOR, np.int32)
        tokens[:, 1 : 1 + c.length] = FIRST + row
        tokens[:, 1 + c.length] = SORT
        tokens[:, 2 + c.length :] = FIRST + np.take_along_axis(row, order, 1)
        loss = np.zeros(tokens.shape, np.bool_)
        loss[:, 2 + c.length :] = True
        place = np.full(tokens.shape, -1, np.int32)
        place[:, 1 : 1 + c.length] = np.argsort(order, axis=1)
        place[:, 2 + c.length :] = np.arange(c.length)
        offsets = np.arange(n + 1, dtype=np.int64) * self.max_length
        return Instances(
            tokens.reshape(-1), offsets, loss.reshape(-1), {"place": place.reshape(-1)}, list(tokens[:, : 2 + c.length])
        )

    @property
    def chance(self) -> float:
        """Accuracy of the likeliest row, L!/(n₁! n₂! ...) / V^L with the counts nᵢ as equal as may be."""
        c = self.config
        each, more = divmod(c.length, c.symbols)
        ways, left = 1, c.length
        for count in [each + 1] * more + [each] * (c.symbols - more):
            ways, left = ways * comb(left, count), left - count
        return float(ways / c.symbols**c.length)

    def floor(self) -> float:
        """0: an answer follows from its question."""
        return 0.0

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        return np.zeros(len(instances))

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"place": self.config.length}

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """All up to `<sort>`."""
        prompt: NDArray[np.int32] = instances.truth[i]
        return prompt

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion is the prompt's row in order."""
        row = np.sort(truth[1:-1])
        right = row if self.config.order == "ascending" else row[::-1]
        return compare(right, completion, len(row), self.vocabulary)
