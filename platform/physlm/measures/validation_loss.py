"""Loss per predicted token on a stream of its own, by which the best of a sweep is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from physlm.catalog import Emission, Observation
from physlm.measures.loss import Loss, emission, observation
from physlm.measures.measure import Measure, Member, register
from physlm.measures.windows import score
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class ValidationLoss(Measure):
    """The measure `loss`, of instances that are neither trained on nor tested on."""

    name = "validation_loss"
    version = 2
    of_encoders = True
    samples = Loss.samples

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        return [emission(cls.name, "loss on instances that are neither trained on nor tested on", task)]

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        scored = score(decoder, members, self.samples, split="validation")
        return [[observation(m, s, self.name)] for m, s in zip(members, scored, strict=True)]
