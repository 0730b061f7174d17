"""How many of the tokens that are trained on a model would have written, each after the true ones before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from physlm import ragged, standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL
from physlm.measures.measure import Measure, Member, register
from physlm.measures.windows import Scored, score
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class TokenAccuracy(Measure):
    """Share of predicted tokens that are the likeliest ones, by teacher forcing on fresh instances.

    Where only answers are trained on it tells of progress before whole answers are right. `chance` is the share of the
    most frequent one of these tokens. Standard error clustered by instance.
    """

    name = "token_accuracy"
    version = 2
    of_encoders = True
    samples = 500

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        return [
            Emission(
                "token_accuracy",
                "1",
                "share of predicted tokens that are the likeliest ones",
                better="higher",
                chance="always the most frequent token",
                floor="no token right",
                ceiling="every token right",
                drawing=PANEL,
            )
        ]

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        return [[observation(scored)] for scored in score(decoder, members, self.samples)]


def observation(scored: Scored) -> Observation:
    """The share from what the model makes of every token."""
    instances = scored.instances
    counted = instances.loss & ~np.isnan(scored.nll)
    asked = ragged.sums(counted, instances.offsets)
    value, stderr = standard_errors.ratio(ragged.sums(counted & scored.right, instances.offsets), asked)
    chance = float(np.bincount(instances.tokens[counted]).max() / asked.sum())
    return Observation("token_accuracy", value, "1", stderr, len(instances), chance, floor=0.0, ceiling=1.0)
