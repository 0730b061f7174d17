"""V-probe: whether a model has worked something out by a point of its text (Part 2.1, V-probing).

The text is cut at that point, and [START] question [END] is put behind it, such as the name of a parameter; the answer
is read from the last layer's state at [END]. Only an update of rank 8 to the embedding, the two marks and a linear map
are trained. So the probe can say what it asks for, but everything that it is told must be in the frozen model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from physlm.catalog import Observation
from physlm.measures.contract import Member
from physlm.probes.contract import Probe, register
from physlm.probes.samples import asked
from physlm.tasks.contract import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


class QuestionProbe(Probe):
    """A probe that answers the task's questions about beginnings of instances."""

    @classmethod
    def targets(cls, task: Task[Any]) -> Mapping[str, int]:
        return task.question_targets

    @classmethod
    def lack(cls) -> str:
        return "no questions for probes"


@register
class VProbe(QuestionProbe):
    """One probe for each kind of question."""

    name = "v"

    def read(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        from physlm.probes.fitting.updated import Recipe, read

        texts = asked(members, self.targets(members[0].task), marked=True)
        recipe = Recipe(rank=8, norm="none", weight_decay=0.01)
        return read(self.name, decoder, texts, recipe, [m.seed for m in members])
