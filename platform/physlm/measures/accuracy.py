"""Share of questions answered right, in every published evaluation of the task and by difficulty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm.catalog import Observation
from physlm.datasets.evaluations import BASE
from physlm.measures.answers import Answers, observed
from physlm.measures.measure import Measure, Member, register
from physlm.tasks.capabilities import Asks, unsupported_reason
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

QUESTIONS = 500
BY_OPERATIONS = "operations"
"""Target of the rows whose `position` is how many operations the right answer takes."""


@register
class Accuracy(Measure):
    """Whole answers that `Asks.verify` finds right, of fresh questions of the test stream.

    Named `accuracy` with the task's own knobs, and `accuracy.<evaluation>` in each of `Asks.evaluations`. Rows with a
    position are of the questions whose right answer takes so many operations. What the verdicts count comes as
    `answer.<count>` and `answer.<count>.<evaluation>`, a mean over the answers where it is counted. `chance` is the
    accuracy of the best answer that ignores the question. Standard errors are clustered by what questions share.
    """

    name = "accuracy"
    version = 2

    @classmethod
    def suits(cls, task: Task[Any]) -> str | None:
        return unsupported_reason(task, Asks)

    def take(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        return observed(decoder, members, QUESTIONS, observations)


def observations(evaluation: str, answers: Answers) -> Iterator[Observation]:
    """The rows of one evaluation."""
    suffix = "" if evaluation == BASE else f".{evaluation}"
    chance = answers.task.chance

    def accuracy(where: NDArray[np.bool_], operations: int | None = None) -> Observation:
        right = answers.right[where]
        cluster = None if answers.cluster is None else answers.cluster[where]
        return Observation(
            f"accuracy{suffix}",
            float(right.mean()),
            "1",
            share_stderr(right, cluster),
            len(right),
            chance if operations is None else None,  # no task tells it for each number of operations
            0.0,
            1.0,
            target=None if operations is None else BY_OPERATIONS,
            position=operations,
        )

    yield accuracy(np.ones(len(answers.right), np.bool_))
    operations = answers.operations
    for steps in np.unique(operations[~np.isnan(operations)]):
        yield accuracy(operations == steps, int(steps))
    for name, values in answers.counts().items():
        counted = values[~np.isnan(values)]
        if len(counted):
            stderr = float(counted.std(ddof=1)) / sqrt(len(counted)) if len(counted) > 1 else None
            yield Observation(f"answer.{name}{suffix}", float(counted.mean()), "count", stderr, len(counted))


def share_stderr(right: NDArray[np.bool_], cluster: NDArray[np.int64] | None = None) -> float:
    """Standard error of a share: half of Wilson's (1927) interval at one standard error, so never 0.

    cluster: [n], by which answers err together; the error then grows by the root of the design effect.
    """
    n, share = len(right), float(right.mean())
    wilson = sqrt(share * (1 - share) / n + 1 / (4 * n**2)) / (1 + 1 / n)
    variance = share * (1 - share) * n
    if cluster is None or variance == 0:
        return wilson
    _, owner = np.unique(cluster, return_inverse=True)
    together = np.bincount(owner, right - share)
    return wilson * sqrt(max(1.0, float((together**2).sum()) / variance))
