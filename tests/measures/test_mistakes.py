"""Where solutions go wrong: counted from verdicts on planted solutions."""

from __future__ import annotations

import numpy as np
import pytest

from physlm.measures.answers import Answers
from physlm.measures.mistakes import Mistakes, observations
from physlm.tasks import Stream, Verdict
from physlm.tasks.igsm import Igsm, IgsmConfig
from physlm.tasks.mano import Mano, ManoConfig

TASK = Igsm(IgsmConfig.model_validate(Igsm.presets["tiny"]))


def verdict(correct: bool, sentences: int, retries: int = 0, **wrong: float) -> Verdict:
    return Verdict(correct, counts={"sentences": sentences, "retries": retries, **wrong})


def test_shares_are_of_what_was_right_before() -> None:
    verdicts = [
        verdict(True, 3),
        verdict(True, 3, 1),
        verdict(False, 0, first_wrong=1, first_wrong_can_next=0.0),
        verdict(False, 1, first_wrong=2, first_wrong_can_next=1.0),
        verdict(False, 1, first_wrong=2),  # not even a parameter of the problem
        verdict(False, 2),  # no sentence is wrong, the answer is
    ]
    instances = TASK.sample(Stream("test"), np.arange(len(verdicts)))
    rows = list(observations("test", Answers(TASK, instances, [instances[0]] * len(verdicts), verdicts)))
    whole = {row.measure: (row.value, row.n) for row in rows if row.position is None}
    assert whole == {
        "mistakes.too_early": (0.5, 2),
        "mistakes.sentence": (pytest.approx(3 / 14), 14),
        "mistakes.answer": (pytest.approx(1 / 3), 3),
    }
    by_number = {row.position: (row.value, row.n) for row in rows if row.position is not None}
    assert by_number == {1: (pytest.approx(1 / 6), 6), 2: (pytest.approx(2 / 5), 5), 3: (0.0, 2), 4: (0.0, 1)}


def test_real_mistakes_are_found() -> None:
    """Solutions whose first two sentences are exchanged: what comes first often needs the other."""
    instances = TASK.sample(Stream("test"), np.arange(200))
    stop = TASK.parse(".")[0]
    completions = []
    for i in range(200):
        right = TASK.completion(instances, i)
        first, second = (np.flatnonzero(right == stop)[:2] + 1).tolist()
        completions.append(np.concatenate([right[first:second], right[:first], right[second:]]))
    verdicts = [TASK.verify(instances.truth[i], c) for i, c in enumerate(completions)]
    found = observations("test", Answers(TASK, instances, completions, verdicts))
    rows = {row.measure: row for row in found if row.position is None}
    assert rows["mistakes.too_early"].value == 1.0
    assert (rows["mistakes.too_early"].n or 0) > 50
    assert "mistakes.sentence" in rows


def test_only_igsm_tells_steps_apart() -> None:
    assert Mistakes.unsupported_reason(TASK) is None
    assert "mano" in str(Mistakes.unsupported_reason(Mano(ManoConfig())))
