"""V-probe: whether a model has worked something out by a point of its text (Part 2.1, V-probing).

The text is cut at that point, and [START] question [END] is put behind it, such as the name of a parameter; the answer
is read from the last layer's state at [END]. Only an update of rank 8 to the embedding, the two marks and a linear map
are trained. So the probe can say what it asks for, but everything that it is told must be in the frozen model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.models.model import ModelConfig
from physlm.probes.probe import Probe, register
from physlm.probes.samples import Texts, asked
from physlm.probes.updates import QuestionConfig
from physlm.tasks.capabilities import HasProbeQuestions, supports, without_distractors
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


class QuestionProbe(Probe):
    """A probe that answers the task's questions about beginnings of instances."""

    config_type = QuestionConfig

    @classmethod
    def targets(cls, task: Task[Any]) -> Mapping[str, int]:
        return task.question_targets if supports(task, HasProbeQuestions) else {}

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return None if cls.targets(task) else f"{task.name} has no questions for probes"

    def texts(self, members: Sequence[Member], marked: bool) -> Texts:
        """What the probe is trained and tested on."""
        assert isinstance(self.config, QuestionConfig)
        told = [replace(m, task=without_distractors(m.task)) for m in members]
        targets = self.targets(members[0].task)
        return asked(told, targets, marked, self.config.instances, self.config.questions)


@register
class VProbe(QuestionProbe):
    """All kinds of questions at once, through one update of the embedding."""

    name = "v"
    version = 2

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        from physlm.probes.fitting.updated import read

        return read(self, decoder, self.texts(members, marked=True), "none", [m.seed for m in members])
