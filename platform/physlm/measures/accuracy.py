"""How often a model writes the whole answer, where the answer is one row of tokens.

Taken by teacher forcing, in one pass over the true answer: greedy decoding writes exactly that answer if and only if
each of its tokens is the most likely one after those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm.catalog import Observation
from physlm.measures.contract import Measure, Member, register
from physlm.measures.windows import Scored, score
from physlm.tasks.contract import Task
from physlm.tasks.copying import Copying

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

_INSTANCES = 500


@register
class Accuracy(Measure):
    """Share of fresh instances whose answer is right to the last token, and of the answers' tokens that are right."""

    name = "accuracy"

    @classmethod
    def suits(cls, task: Task[Any]) -> str | None:
        if not isinstance(task, Copying):
            return f"it knows the answers of copying, not of {task.name}"
        if task.config.train_on != "answer":
            return "only the answers' tokens may be trained on; choose train_on: answer"
        return None

    def take(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        return [observations(m, s) for m, s in zip(members, score(decoder, members, _INSTANCES), strict=True)]


def observations(member: Member, scored: Scored) -> list[Observation]:
    """Both accuracies from what the model makes of every token; standard errors clustered by instance."""
    instances = scored.instances
    owner = np.repeat(np.arange(len(instances)), instances.lengths)
    asked = np.bincount(owner, instances.loss, len(instances))
    right = np.bincount(owner, instances.loss & scored.right, len(instances))

    def mean(name: str, values: NDArray[Any], chance: float | None) -> Observation:
        error = float(values.std(ddof=1)) / sqrt(len(values))
        return Observation(name, float(values.mean()), "1", error, len(values), chance=chance, floor=0.0, ceiling=1.0)

    whole, part = (right == asked).astype(float), right / asked
    chance = member.task.chance
    each = None if chance is None else chance ** (1 / float(asked.mean()))
    return [mean("accuracy", whole, chance), mean("answer_token_accuracy", part, each)]
