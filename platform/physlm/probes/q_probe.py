"""Q-probe: whether a name alone makes a model think of what it knows (Part 3.1, section 4.3, Q-probing).

The model reads the question, such as a person's full name, between separators; the answer is read from the last
layer's state at the closing one, through an update of rank 16 to the embedding, a batch norm and a linear map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.probes.probe import register
from physlm.probes.updates import QuestionConfig
from physlm.probes.v_probe import QuestionProbe

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


class QConfig(QuestionConfig):
    """Knobs of the Q-probe."""

    rank: int = Field(16, ge=1, le=1024, description="of the embedding's update")
    weight_decay: float = Field(0.3, ge=0, le=10, description="of AdamW")


@register
class QProbe(QuestionProbe):
    """All kinds of questions at once, through one update of the embedding."""

    name = "q"
    version = 2
    config_type = QConfig

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        from physlm.probes.fitting.updated import read

        return read(self, decoder, self.texts(members, marked=False), "batch", [m.seed for m in members])
