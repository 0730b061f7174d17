"""Where solutions go wrong first, and whether the mistake was to go on too early (Part 2.2, section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL
from physlm.datasets.evaluations import BASE
from physlm.measures.accuracy import Accuracy
from physlm.measures.answers import Answers, in_evaluations, observed
from physlm.measures.measure import Measure, Member, register
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import ChecksSteps, unsupported_reason
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@register
class Mistakes(Measure):
    """Of the answers that the measure `accuracy` is taken of, in each evaluation:

    mistakes.too_early  share of first wrong sentences whose parameter couldn't be computed yet; of sentences that name
                        a parameter of the problem
    mistakes.sentence   share of sentences that are wrong where all before them are right; retries are sentences too.
                        `position` is the sentence's number, from 1; the row without is over all
    mistakes.answer     share of solutions without a wrong sentence whose answer is wrong: it is another number, or
                        stands where what is asked isn't computed yet
    """

    name = "mistakes"
    samples = Accuracy.samples

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        too_early = Emission(
            "mistakes.too_early",
            "1",
            "share of first wrong sentences whose parameter couldn't be computed yet",
            floor="no such mistake",
            ceiling="all are such mistakes",
            drawing=PANEL,
        )
        sentence = replace(
            too_early,
            name="mistakes.sentence",
            meaning="share of sentences that are wrong where all before them are right",
            better="lower",
        )
        answer = replace(
            sentence,
            name="mistakes.answer",
            meaning="share of solutions without a wrong sentence whose answer is wrong",
        )
        by_number = replace(sentence, by=("position",), target="sentence", drawing=None)
        return in_evaluations(lambda language: [too_early, sentence, by_number, answer], task)

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return unsupported_reason(task, ChecksSteps) or super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        return observed(decoder, members, self.samples, observations)


def observations(evaluation: str, answers: Answers) -> Iterator[Observation]:
    """The rows of one evaluation; those without a single case are left out."""
    suffix = "" if evaluation == BASE else f".{evaluation}"
    counts = answers.counts()
    nothing = np.full(len(answers.right), np.nan)
    wrong_at = counts.get("first_wrong", nothing)
    can_next = counts.get("first_wrong_can_next", nothing)
    right = counts["sentences"] + counts["retries"]  # before the first wrong one

    def share(name: str, cases: NDArray[np.bool_], position: int | None = None) -> Iterator[Observation]:
        if len(cases):
            target = None if position is None else "sentence"
            yield Observation(
                f"mistakes.{name}{suffix}",
                float(cases.mean()),
                "1",
                standard_errors.share(cases),
                len(cases),
                floor=0.0,
                ceiling=1.0,
                target=target,
                position=position,
            )

    yield from share("too_early", can_next[~np.isnan(can_next)] == 0)
    wrong = wrong_at[~np.isnan(wrong_at)].astype(np.int64)
    written = np.concatenate([np.ones(len(wrong), np.bool_), np.zeros(int(right.sum()), np.bool_)])
    yield from share("sentence", written)
    for number in range(1, int(max(right.max(), wrong.max(initial=0))) + 1):
        here = np.concatenate([wrong[wrong == number] > 0, np.zeros(int((right >= number).sum()), np.bool_)])
        yield from share("sentence", here, number)
    yield from share("answer", ~answers.right[np.isnan(wrong_at)])
