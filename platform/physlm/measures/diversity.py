"""How diverse sampled sentences are, beside as many true ones (Part 1, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from physlm import grammars, randomness
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import ENTROPY, PANEL
from physlm.grammars import Derivations
from physlm.measures.measure import Measure, Member, register
from physlm.measures.sentences import Sentences, write
from physlm.measures.validity import Validity, mean
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import HasGrammar, require, unsupported_reason
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class Diversity(Measure):
    """Of sentences written from nothing at temperature 1:

    collisions       probability that the symbols of a level, in two places of valid sentences, are one symbol that
                     became the same tokens; `position` is the level, and the row without is of whole sentences (level
                     1). `floor` is that of as many true sentences: a model below it writes nothing twice, one far
                     above repeats itself
    sample_entropy   -ln of the probability of what was written, by the model; `ceiling` is the entropy of the language,
                     which a model that knows no more than it must doesn't exceed by much
    """

    name = "diversity"
    samples = Validity.samples

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        collisions = Emission(
            "collisions",
            "1",
            "probability that two sampled sentences are alike",
            floor="as many true sentences",
            ceiling="one sentence over and over",
            drawing=PANEL,
        )
        return [
            collisions,
            replace(
                collisions,
                meaning="probability that a level's symbol became the same tokens in two places",
                by=("position",),
                target="level",
                drawing=None,
            ),
            Emission(
                "sample_entropy",
                "nats per sentence",
                "-ln of the probability of what was written, by the model",
                ceiling=ENTROPY,
                drawing=PANEL,
            ),
        ]

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return unsupported_reason(task, HasGrammar) or super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        written = write(decoder, members, [0] * len(members), self.samples)
        return [observations(m, sentences) for m, sentences in zip(members, written, strict=True)]


def observations(member: Member, sentences: Sentences) -> list[Observation]:
    """The rows of one model."""
    grammar = sentences.grammar
    own = grammars.trees(grammar, sentences.tokens, sentences.offsets)  # without those that aren't valid
    key = randomness.key("diversity", member.seed)
    drawn = grammars.sample(grammar, key, np.arange(int(sentences.valid.sum()), dtype=np.int64))
    true = grammars.trees(grammar, drawn.tokens, drawn.trees.offsets)
    rows = [_collisions(own, true, level, len(grammar.sizes)) for level in range(1, len(grammar.sizes))]
    entropy = mean(
        "sample_entropy",
        -sentences.log_probability,
        "nats per sentence",
        ceiling=require(member.task, HasGrammar).floor(),
    )
    return [*(row for row in rows if row is not None), entropy]


def _collisions(own: Derivations, true: Derivations, level: int, tokens: int) -> Observation | None:
    """The row of one level; None if there are no two of its symbols."""
    found, expected = (grammars.diversity(trees, level, tokens) for trees in (own, true))
    if found.occurrences < 2:
        return None
    return Observation(
        "collisions",
        found.alike.value,
        "1",
        found.alike.stderr,
        found.occurrences,
        floor=expected.alike.value,
        ceiling=1.0,
        target=None if level == 1 else "level",
        position=None if level == 1 else level,
    )
