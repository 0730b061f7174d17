"""Share of questions answered right, in every published evaluation of the task and by difficulty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL, Lines
from physlm.datasets.evaluations import BASE
from physlm.measures.answers import Answers, in_evaluations, observed
from physlm.measures.measure import Measure, Member, register
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import Asks, supports, unsupported_reason
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

BY_OPERATIONS = "operations"
"""Target of the rows whose `position` is how many operations the right answer takes."""
_CHANCE = "the best answer that ignores the question"


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
    samples = 500

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        def of(language: Task[Any] | None) -> list[Emission]:
            whole = Emission(
                "accuracy",
                "1",
                "share of questions answered right",
                better="higher",
                chance=None
                if language is not None and supports(language, Asks) and language.chance is None
                else _CHANCE,
                chance_is_exact=False,
                floor="no answer right",
                ceiling="every answer right",
                drawing=PANEL,
            )
            lines = Lines("Accuracy by difficulty", "operations of the right answer")
            count = Emission("answer.<count>", "count", "mean of what the checker counts in an answer")
            return [
                whole,
                replace(whole, chance=None, by=("position",), target=BY_OPERATIONS, drawing=lines),
                count,
            ]

        return in_evaluations(of, task)

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return unsupported_reason(task, Asks) or super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        return observed(decoder, members, self.samples, observations)


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
            standard_errors.share(right, cluster),
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
            average, stderr = standard_errors.mean(counted)
            yield Observation(f"answer.{name}{suffix}", average, "count", stderr, len(counted))
