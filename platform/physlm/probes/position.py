"""Multi-head position-based linear probe and its variants at the diagonal (Part 1, section 4).

    f_i(ℓ) = Σ_r Σ_k w_{r,i→k} · f_{r,ℓ}(E_k),    w_{r,i→k} = softmax over k of ⟨P_{i,r}, P_{k,r}⟩

reads the symbol s_ℓ(i) and the boundary b_ℓ(i) of every level ℓ jointly. The weights w depend on positions alone, so
the map is linear in the states E of a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.models.model import ModelConfig
from physlm.probes.linear import TokenProbe
from physlm.probes.probe import register
from physlm.probes.samples import sample
from physlm.tasks.capabilities import Probed, require, supports
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class Position(TokenProbe):
    """From a token and all those before it."""

    name = "position"
    band: ClassVar[int | None] = None
    at_ends: ClassVar[bool] = False

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        import torch

        from physlm.probes.fitting import position, reading
        from physlm.probes.fitting.states import all_states, device_of

        task = require(members[0].task, Probed)
        drawn = sample(members, self.targets(task), task.probe_ends if self.at_ends else None)
        tokens = torch.from_numpy(drawn.tokens).to(device_of(decoder))
        states = all_states(decoder, torch.cat([tokens, tokens]))
        right = position.read(states, drawn, [m.seed for m in members], self.band)
        return reading.score_rows(self.name, drawn, right)


class _AtEnds(Position):
    """Reads a span's target at its last token, from the states right there."""

    at_ends = True

    @classmethod
    def targets(cls, task: Task[Any]) -> Mapping[str, int]:
        if not supports(task, Probed):
            return {}
        return {name: classes for name, classes in task.probe_targets.items() if name in task.probe_ends}

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return None if cls.targets(task) else f"{task.name} has no labels of spans, which are read where a span ends"


@register
class Diagonal(_AtEnds):
    """From the last token of a span alone."""

    name = "position_diagonal"
    band = 0


@register
class Tridiagonal(_AtEnds):
    """From the last token of a span and its neighbours on both sides."""

    name = "position_tridiagonal"
    band = 1
