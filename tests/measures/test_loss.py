"""Test loss with its floor and chance level."""

from __future__ import annotations

import numpy as np
import pytest

from physlm import grammars
from physlm.measures import loss
from physlm.measures.measure import Member
from physlm.measures.windows import Scored
from physlm.tasks.biod import NAME, Biod, BiodConfig
from physlm.tasks.cfg import Cfg, CfgConfig
from physlm.tasks.task import Stream
from physlm.training.packing import pack

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


@pytest.mark.parametrize("windows", ["one each", "one for all", "packed"])
def test_the_truths_loss_is_the_floor_whichever_sentences_ends_are_predicted(windows: str) -> None:
    task = Cfg(CfgConfig(sizes=(1, 3, 3, 3), degree=(2, 2), length=(1, 3)))
    instances = task.sample(Stream("test"), np.arange(30000))
    first = instances.offsets[:-1]
    sentences, offsets = np.delete(instances.tokens, first), instances.offsets - np.arange(len(instances) + 1)
    truth = grammars.next_token(task.grammar, sentences, offsets)
    places = np.delete(np.arange(len(truth)), offsets[1:] + np.arange(len(instances)))  # before each token
    nll = np.full(len(instances.tokens), np.nan)
    nll[np.delete(np.arange(len(nll)), first)] = -np.log(truth[places, sentences])
    if windows != "one each":  # each separator but a window's first tells that the sentence before it has ended
        nll[first[1:]] = -np.log(truth[(offsets[1:] + np.arange(len(instances)))[:-1], 0])
    if windows == "packed":  # of which as many go into a window as there is room for, so that ends go untold by length
        packed, _ = pack(instances, task.max_length, task.separator)
        nll[packed.source[:, 0]] = np.nan
    found = loss.observation(Member(task, 0, 1000, 1), Scored(instances, nll, instances.loss))
    assert task.end_surprisal(instances).mean() > 0.1
    assert found.floor is not None
    assert found.value == pytest.approx(found.floor, abs=4 * found.stderr)
    assert (
        found.value != pytest.approx(task.floor() / instances.lengths.mean(), abs=4 * found.stderr)
        or windows == "one for all"
    )
