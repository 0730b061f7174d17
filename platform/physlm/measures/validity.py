"""Share of sampled sentences that the grammar makes (Part 1, section 3; Part 4.1, task Lano)."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm.catalog import Observation
from physlm.measures.accuracy import share_stderr
from physlm.measures.kl import surprisals
from physlm.measures.measure import Measure, Member, register
from physlm.measures.sentences import Sentences, write
from physlm.tasks.capabilities import HasGrammar, require, unsupported_reason
from physlm.tasks.task import Stream, Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

SENTENCES = 1000
_DRAWN = 300  # true sentences that chance is computed from


@register
class Validity(Measure):
    """Whole sentences written at temperature 1, from nothing (`validity`) and from a true beginning of 50 tokens, or of
    all but one where the shortest sentence has fewer (`validity.continue`). Checked by an exact parser.

    `chance` is that of a writer who draws each token, the end too, from all tokens in use alike. `sentence_length` is
    the mean length in tokens of those written from nothing; its `ceiling` is the longest sentence's.
    """

    name = "validity"
    version = 2

    @classmethod
    def suits(cls, task: Task[Any]) -> str | None:
        return unsupported_reason(task, HasGrammar)

    def take(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        whole = write(decoder, members, [0] * len(members), SENTENCES)
        cuts = [_cut(m.task) for m in members]
        begun = write(decoder, members, cuts, SENTENCES)
        return [
            [
                share("validity", w, chance(m.task, m.seed)),
                share("validity.continue", b, chance(m.task, m.seed, cut)),
                length(w),
            ]
            for m, w, b, cut in zip(members, whole, begun, cuts, strict=True)
        ]


def _cut(task: Task[Any]) -> int:
    return min(50, require(task, HasGrammar).grammar.min_length - 1)


def share(name: str, sentences: Sentences, chance: float) -> Observation:
    """How many are sentences of the language."""
    valid = sentences.valid
    return Observation(name, float(valid.mean()), "1", share_stderr(valid), len(valid), chance, 0.0, 1.0)


def chance(task: Task[Any], seed: int, cut: int = 0) -> float:
    """Probability that uniform tokens after `cut` true ones make a sentence: a mean over true sentences s of
    u(s) / p(s), what the uniform writer gives the rest of s over what the language gives it."""
    known = require(task, HasGrammar)
    drawn = known.sample(Stream("test", seed), np.arange(_DRAWN, dtype=np.int64))
    surprisal, _ = surprisals(known, drawn, known.next_token(drawn.tokens, drawn.offsets))
    place = np.arange(len(surprisal)) - np.repeat(drawn.offsets[:-1], drawn.lengths)
    written = place >= cut  # what follows the token at place i is the sentence's token i + 1; place 0 is the separator
    terms = np.where(written, surprisal - log(task.used_tokens), 0.0)
    return float(np.exp(np.add.reduceat(terms, drawn.offsets[:-1])).mean())


def length(sentences: Sentences) -> Observation:
    """Their mean length."""
    longest = float(sentences.grammar.max_length)
    return mean("sentence_length", sentences.lengths, "tokens", ceiling=longest)


def mean(name: str, values: NDArray[Any], unit: str, ceiling: float | None = None) -> Observation:
    """A mean over independent values."""
    stderr = float(np.std(values, ddof=1)) / sqrt(len(values))
    return Observation(name, float(np.mean(values)), unit, stderr, len(values), ceiling=ceiling)
