"""Bits of random strings that a model has memorised (Morris et al. 2025, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import TYPE_CHECKING, Any

from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL
from physlm.measures.measure import Measure, Member, register
from physlm.measures.windows import Scored, score
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import Incompressible, require, unsupported_reason
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class MemorisedBits(Measure):
    """N·L·log₂V less the model's loss in bits on all N strings, each scored once: what it needn't be told of them.

    The ceiling is what a model has memorised that knows all strings, but not which one comes. Negative for a model that
    predicts worse than a uniform guess.
    """

    name = "memorised_bits"

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        return [
            Emission(
                "memorised_bits",
                "bits",
                "what needn't be told of the strings to who has the model",
                better="higher",
                chance="a uniform guess of each token",
                chance_is_exact=False,
                ceiling="all strings known, but not which one comes",
                drawing=PANEL,
            )
        ]

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return unsupported_reason(task, Incompressible) or super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        count = max(_strings(m) for m in members)
        return [[observation(m, s)] for m, s in zip(members, score(decoder, members, count), strict=True)]


def _strings(member: Member) -> int:
    """N, how many there are."""
    count = member.task.population
    assert count is not None
    return count


def observation(member: Member, scored: Scored) -> Observation:
    """The memorised bits from the losses of a model on the first N instances of its stream, or more."""
    task = require(member.task, Incompressible)
    n, length = _strings(member), task.string_length
    losses = scored.nll[: n * (length + 1)].reshape(n, length + 1)[:, 1:].sum(1)  # without the separator's
    known = task.string_bits - losses / log(2)  # [N]
    stderr = float(known.std(ddof=1)) * sqrt(n)
    return Observation("memorised_bits", float(known.sum()), "bits", stderr, n, 0.0, ceiling=task.memorisable_bits)
