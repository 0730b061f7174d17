# A newcomer's probe, which tests/test_one_file.py tries in a copy.
# Belongs to platform/physlm/probes/nearest_centroid.py
"""Nearest-centroid probe: the class whose mean state is nearest, without any fitting; weak, and hard to overdo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.probes.linear import TokenProbe
from physlm.probes.probe import register
from physlm.probes.samples import sample

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.decoder import Decoder


@register
class NearestCentroid(TokenProbe):
    """Reads each label of a token by the nearest mean of the states that have it."""

    name = "nearest_centroid"

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        import torch

        from physlm.probes.fitting import reading

        targets = self.targets(members[0].task)

        def solve(features: Tensor, labels: Tensor, test: Tensor) -> Tensor:
            """[2·M, S, n, d], [2·M, V, K, n], [2·M, n] -> bool [2·M, S, V, K, n]."""
            right = torch.zeros(
                len(features), features.shape[1], *labels.shape[1:], dtype=torch.bool, device=features.device
            )
            for v in range(labels.shape[1]):
                for k, classes in enumerate(targets.values()):
                    own = labels[:, v, k]
                    member = torch.nn.functional.one_hot(own.clamp(min=0), classes).to(features.dtype)
                    member = member * ((own >= 0) & ~test)[..., None]  # training alone
                    count = member.sum(1)  # [2·M, classes]
                    centre = torch.einsum("mnc,msnd->mscd", member, features) / count.clamp(min=1)[:, None, :, None]
                    away = torch.cdist(features, centre) + torch.where(count > 0, 0.0, torch.inf)[:, None, None]
                    right[:, :, v, k] = away.argmin(-1) == own[:, None]
            return right

        return reading.read_tokens(self.name, decoder, sample(members, targets), solve)
