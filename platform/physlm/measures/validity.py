"""Share of sampled sentences that the grammar makes (Part 1, section 3; Part 4.1, task Lano)."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm.catalog import Observation
from physlm.measures.accuracy import share_stderr
from physlm.measures.contract import Measure, Member, register
from physlm.measures.sentences import Sentences, is_grammar, lack, write
from physlm.tasks.contract import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

SENTENCES = 1000


@register
class Validity(Measure):
    """Whole sentences written at temperature 1, from nothing (`validity`) and from a true beginning of 50 tokens, or of
    all but one where the shortest sentence has fewer (`validity.continue`). Checked by an exact parser.

    `sentence_length` is the mean length in tokens of those written from nothing; its `ceiling` is the longest
    sentence's.
    """

    name = "validity"

    @classmethod
    def suits(cls, task: Task[Any]) -> str | None:
        return lack(task)

    def take(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        whole = write(decoder, members, [0] * len(members), SENTENCES)
        begun = write(decoder, members, [_cut(m.task) for m in members], SENTENCES)
        return [
            [share("validity", w), share("validity.continue", b), length(w)] for w, b in zip(whole, begun, strict=True)
        ]


def _cut(task: Task[Any]) -> int:
    assert is_grammar(task)
    return min(50, task.grammar.min_length - 1)


def share(name: str, sentences: Sentences) -> Observation:
    """How many are sentences of the language."""
    return Observation(
        name, float(sentences.valid.mean()), "1", share_stderr(sentences.valid), len(sentences.valid), None, 0.0, 1.0
    )


def length(sentences: Sentences) -> Observation:
    """Their mean length."""
    longest = float(sentences.grammar.max_length)
    return mean("sentence_length", sentences.lengths, "tokens", ceiling=longest)


def mean(name: str, values: NDArray[Any], unit: str, ceiling: float | None = None) -> Observation:
    """A mean over independent values."""
    stderr = float(np.std(values, ddof=1)) / sqrt(len(values))
    return Observation(name, float(np.mean(values)), unit, stderr, len(values), ceiling=ceiling)
