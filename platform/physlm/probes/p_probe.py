"""P-probe: what a text's earlier tokens tell of attributes to come (Part 3.1, section 4.3, P-probing).

At given positions of a text, such as those right before an attribute is first said, every attribute is predicted from
the last layer's state, through an update of rank 2 to the embedding, a layer norm and a linear map. A model whose
knowledge of a person can be extracted tells all attributes from the first position on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.models.model import ModelConfig
from physlm.probes.probe import Probe, register
from physlm.probes.samples import at_places
from physlm.probes.updates import UpdateConfig
from physlm.tasks.capabilities import Probed, supports, without_distractors
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


class PConfig(UpdateConfig):
    """Knobs of the P-probe."""

    rank: int = Field(2, ge=1, le=1024, description="of the embedding's update")
    weight_decay: float = Field(0.3, ge=0, le=10, description="of AdamW")


@register
class PProbe(Probe):
    """Every target at every numbered place, through one update for all; the first place stands for the model."""

    name = "p"
    version = 2
    config_type = PConfig
    axis = "position"

    @classmethod
    def targets(cls, task: Task[Any]) -> Mapping[str, int]:
        if not supports(task, Probed) or task.probe_place is None:
            return {}
        return {name: classes for name, classes in task.probe_targets.items() if name != task.clusters}

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return None if cls.targets(task) else f"{task.name} has no numbered places where labels are to be read"

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        from physlm.probes.fitting.updated import read

        assert isinstance(self.config, PConfig)
        told = [replace(m, task=without_distractors(m.task)) for m in members]  # questions say little before the answer
        texts = at_places(told, self.targets(members[0].task), self.config.instances)
        return read(self, decoder, texts, "layer", [m.seed for m in members])
