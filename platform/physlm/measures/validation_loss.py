"""Loss per predicted token on a stream of its own, by which the best of a sweep is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from physlm.catalog import Observation
from physlm.measures.loss import INSTANCES, observation
from physlm.measures.measure import Measure, Member, register
from physlm.measures.windows import score

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class ValidationLoss(Measure):
    """The measure `loss`, of instances that are neither trained on nor tested on."""

    name = "validation_loss"
    version = 2
    of_encoders = True

    def take(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        scored = score(decoder, members, INSTANCES, split="validation")
        return [[observation(m, s, self.name)] for m, s in zip(members, scored, strict=True)]
