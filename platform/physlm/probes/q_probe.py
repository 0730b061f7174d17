"""Q-probe: whether a name alone makes a model think of what it knows (Part 3.1, section 4.3, Q-probing).

The model reads the question, such as a person's full name, between separators; the answer is read from the last
layer's state at the closing one, through an update of rank 16 to the embedding, a batch norm and a linear map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from physlm.catalog import Observation
from physlm.measures.contract import Member
from physlm.probes.contract import register
from physlm.probes.samples import asked
from physlm.probes.v_probe import QuestionProbe

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class QProbe(QuestionProbe):
    """One probe for each kind of question."""

    name = "q"

    def read(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        from physlm.probes.fitting.updated import Recipe, read

        texts = asked(members, self.targets(members[0].task), marked=False)
        recipe = Recipe(rank=16, norm="batch", weight_decay=0.3)
        return read(self.name, decoder, texts, recipe, [m.seed for m in members])
