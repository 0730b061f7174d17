"""Test loss per predicted token, with the entropy floor of the language where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import ragged, standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import ENTROPY, PANEL
from physlm.measures.measure import Measure, Member, register
from physlm.measures.windows import Scored, score
from physlm.tasks.capabilities import HasEntropy, supports
from physlm.tasks.task import Instances, Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class Loss(Measure):
    """Mean negative log-likelihood of the tokens trained on, over instances not seen in training.

    Standard error clustered by instance. The floor is the language's entropy of what is predicted, to which the
    separator that ends an instance doesn't belong where the next one begins another window. Chance is a uniform guess
    among the tokens in use. An encoder's is that of hidden tokens, whose floor is not known.
    """

    name = "loss"
    version = 2
    of_encoders = True
    samples = 1000

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        return [emission("loss", "negative log-likelihood of a predicted token of unseen instances", task)]

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        return [[observation(m, s)] for m, s in zip(members, score(decoder, members, self.samples), strict=True)]


def emission(name: str, meaning: str, task: Task[Any] | None) -> Emission:
    """The declaration of a loss per token."""
    return Emission(
        name,
        "nats per token",
        meaning,
        better="lower",
        chance="a uniform guess among the tokens in use",
        floor=ENTROPY if task is None or supports(task, HasEntropy) else None,
        drawing=PANEL,
    )


def observation(member: Member, scored: Scored, name: str = "loss") -> Observation:
    """The loss from the negative log-likelihoods of every token."""
    instances = scored.instances
    counted = instances.loss & ~np.isnan(scored.nll)
    tokens = ragged.sums(counted, instances.offsets)
    losses = ragged.sums(np.where(counted, scored.nll, 0.0), instances.offsets)
    value, error = standard_errors.ratio(losses, tokens)
    return Observation(
        name,
        value,
        "nats per token",
        stderr=error,
        n=len(instances),
        chance=log(member.task.used_tokens),
        floor=None if scored.masked else _floor(member.task, instances, counted),
    )


def _floor(task: Task[Any], instances: Instances, counted: NDArray[np.bool_]) -> float | None:
    """The language's entropy for each counted token, in nats; None if it isn't known."""
    if not supports(task, HasEntropy):
        return None
    first = instances.offsets[:-1]
    told = np.append((counted[first] & (instances.tokens[first] == task.separator))[1:], False)
    # Whose end goes untold is no matter of chance: a long instance behind it began another window.
    untold = task.end_surprisal(instances)[~told].sum()
    return float((task.floor() * len(instances) - untold) / counted.sum())
