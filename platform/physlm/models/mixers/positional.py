"""Part 1's GPT_pos: attention weights depend on distances alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from physlm.models.block import BlockConfig
from physlm.models.counts import Counts
from physlm.models.mixers.averaging import Averaging
from physlm.models.mixers.mixer import register

if TYPE_CHECKING:
    from torch import Tensor


@register
class Positional(Averaging):
    """GPT_pos: attention weights are a softmax over learned numbers, one for each head and distance."""

    name = "positional"
    examples = ({"distances": 5},)

    @classmethod
    def uses_distances(cls, config: BlockConfig) -> bool:
        return True

    @classmethod
    def counts(cls, config: BlockConfig, context: int) -> Counts:
        return super().counts(config, context) + Counts(config.heads * config.distances)

    def __init__(self, config: BlockConfig, members: int) -> None:
        from physlm.models.parts.relative import RelativeBias

        super().__init__(config, members)
        self.relative = RelativeBias(members, self.heads, config.distances)

    def weights(self, queries: int, keys: int) -> Tensor:
        from physlm.models.parts.softmax import future

        scores: Tensor = self.relative(queries, keys)
        return (scores + future(queries, keys, scores)).softmax(-1)
