"""Share of sampled sentences that the grammar makes (Part 1, section 3; Part 4.1, task Lano)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import ragged, standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL
from physlm.measures.kl import surprisals
from physlm.measures.measure import Measure, Member, register
from physlm.measures.sentences import Sentences, write
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import HasGrammar, require, unsupported_reason
from physlm.tasks.task import Stream, Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

_TRUE_SENTENCES = 300  # that chance is computed from


@register
class Validity(Measure):
    """Whole sentences written at temperature 1, from nothing (`validity`) and from a true beginning of 50 tokens, or of
    all but one where the shortest sentence has fewer (`validity.continue`). Checked by an exact parser.

    `chance` is that of a writer who draws each token, the end too, from all tokens in use alike. `sentence_length` is
    the mean length in tokens of those written from nothing; its `ceiling` is the longest sentence's.
    """

    name = "validity"
    version = 2
    samples = 1000

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        valid = Emission(
            "validity",
            "1",
            "share of sentences written from nothing that the grammar makes",
            better="higher",
            chance="who draws each token from all in use alike",
            floor="no valid sentence",
            ceiling="every sentence valid",
            drawing=PANEL,
        )
        return [
            valid,
            replace(
                valid,
                name="validity.continue",
                meaning="share of true beginnings that became a sentence of the grammar",
            ),
            Emission(
                "sentence_length",
                "tokens",
                "mean length of sentences written from nothing",
                ceiling="the longest sentence",
                drawing=PANEL,
            ),
        ]

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return unsupported_reason(task, HasGrammar) or super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        whole = write(decoder, members, [0] * len(members), self.samples)
        cuts = [_cut(m.task) for m in members]
        begun = write(decoder, members, cuts, self.samples)
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
    return Observation(name, float(valid.mean()), "1", standard_errors.share(valid), len(valid), chance, 0.0, 1.0)


def chance(task: Task[Any], seed: int, cut: int = 0) -> float:
    """Probability that uniform tokens after `cut` true ones make a sentence: a mean over true sentences s of
    u(s) / p(s), what the uniform writer gives the rest of s over what the language gives it."""
    known = require(task, HasGrammar)
    drawn = known.sample(Stream("test", seed), np.arange(_TRUE_SENTENCES, dtype=np.int64))
    surprisal, _ = surprisals(known, drawn, known.next_token(drawn.tokens, drawn.offsets))
    written = ragged.places(drawn.offsets) >= cut  # place 0 is the separator; what follows place i is token i + 1
    terms = np.where(written, surprisal - log(task.used_tokens), 0.0)
    return float(np.exp(np.add.reduceat(terms, drawn.offsets[:-1])).mean())


def length(sentences: Sentences) -> Observation:
    """Their mean length."""
    longest = float(sentences.grammar.max_length)
    return mean("sentence_length", sentences.lengths, "tokens", ceiling=longest)


def mean(name: str, values: NDArray[Any], unit: str, ceiling: float | None = None) -> Observation:
    """A mean over independent values."""
    average, stderr = standard_errors.mean(values)
    return Observation(name, average, unit, stderr, len(values), ceiling=ceiling)
