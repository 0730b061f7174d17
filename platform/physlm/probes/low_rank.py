"""Low-rank probe: a linear probe for all targets at once that sees a few directions of the state only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from physlm import randomness
from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.probes.linear import TokenProbe
from physlm.probes.probe import register
from physlm.probes.samples import sample

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.decoder import Decoder

RANK = 4


@register
class LowRank(TokenProbe):
    """Reads every target from the same four directions."""

    name = "low_rank"

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        from physlm.probes.fitting import low_rank, reading

        targets = self.targets(members[0].task)
        seed = randomness.key("probe", "low_rank") >> 1

        def solve(features: Tensor, labels: Tensor, test: Tensor) -> Tensor:
            return low_rank.hits(features, labels, list(targets.values()), test, RANK, seed)

        return reading.read_tokens(self.name, decoder, sample(members, targets), solve)
