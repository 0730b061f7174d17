"""Test loss with its floor and chance level."""

from __future__ import annotations

import numpy as np
import pytest

from physlm.measures import loss
from physlm.measures.contract import Member
from physlm.measures.windows import Scored
from physlm.tasks.biod import NAME, Biod, BiodConfig
from physlm.tasks.contract import Stream

TASK = Biod(BiodConfig(people=100, attributes=3))


def test_the_value_is_the_mean_over_predicted_tokens_and_its_error_is_clustered_by_instance() -> None:
    instances = TASK.sample(Stream("test"), np.arange(400))
    nll = np.random.default_rng(0).exponential(size=(400, 1)).repeat(TASK.max_length, 1)
    nll[:, 0] = np.nan  # nothing predicts a window's first token
    found = loss.observation(Member(TASK, 0, TASK.max_length, 1), Scored(instances, nll.ravel(), instances.loss))
    assert found.value == pytest.approx(np.nanmean(nll))
    # all tokens of an instance move together: the error is that of 400 numbers, not of 400 times the length
    assert found.stderr == pytest.approx(nll[:, 1].std() / 20)
    assert found.n == 400


def test_a_perfect_models_loss_is_the_floor() -> None:
    """It spends ln N on whose text it is and ln K! on the order, and nothing else."""
    instances = TASK.sample(Stream("test"), np.arange(100))
    nll = np.where(instances.labels["part"] == NAME, np.log(100) / TASK.config.name_length, 0.0)
    keys = np.isin(instances.tokens, np.arange(len(TASK.vocabulary))[-3:])
    left = np.cumsum(keys.reshape(100, -1), axis=1).ravel()
    nll = np.where(keys, np.log(np.maximum(1, 4 - left)), nll)
    nll[instances.offsets[:-1]] = np.nan
    found = loss.observation(Member(TASK, 0, TASK.max_length, 1), Scored(instances, nll, instances.loss))
    assert found.value == pytest.approx(found.floor)
    assert found.chance == pytest.approx(np.log(TASK.used_tokens))
