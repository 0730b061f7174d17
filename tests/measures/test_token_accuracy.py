"""Accuracy of single tokens, each after the true ones."""

from __future__ import annotations

import numpy as np
import pytest

from physlm.measures.token_accuracy import observation
from physlm.measures.windows import Scored
from physlm.tasks.copying import Copying, CopyingConfig
from physlm.tasks.task import Stream

TASK = Copying(CopyingConfig(length=4, symbols=3))


def test_it_is_the_share_of_trained_tokens_and_errs_by_instance() -> None:
    instances = TASK.sample(Stream("test"), np.arange(100))
    right = np.zeros((100, TASK.max_length), np.bool_)  # what isn't trained on may be wrong
    right[:, -4:] = True
    right[:30, -1] = False
    right[30:40, -4:] = False
    found = observation(Scored(instances, np.zeros(right.size), right.ravel()))
    shares = np.array([0.75] * 30 + [0.0] * 10 + [1.0] * 60)
    assert found.value == pytest.approx(shares.mean())
    assert found.stderr == pytest.approx(shares.std() / 10)
    asked = instances.tokens[instances.loss]
    assert found.chance == max(np.mean(asked == token) for token in np.unique(asked))
