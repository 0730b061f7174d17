"""The answers to counterfactual prompts, by verifiers and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from physlm.tasks import Stream
from physlm.tasks.copying import Copying, CopyingConfig
from physlm.tasks.mqar import Mqar, MqarConfig
from physlm.tasks.parity import Parity, ParityConfig

TEST, MANY = Stream("test", 5), np.arange(200)


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_copying(order: str) -> None:
    task = Copying(CopyingConfig(length=5, order=order))  # type: ignore[arg-type]
    pairs = task.counterfactuals(TEST, MANY)
    for prompts, answers in ((pairs.clean, pairs.answer), (pairs.changed, pairs.other)):
        for prompt, answer in zip(prompts, answers, strict=True):
            text = prompt[1:6]
            copy = text if order == "forward" else text[::-1]
            np.testing.assert_array_equal(prompt[7:], copy[:2])
            assert answer == copy[2]


def test_mqar() -> None:
    task = Mqar(MqarConfig(pairs=3, length=16, symbols=5))
    pairs = task.counterfactuals(TEST, MANY)
    for prompts, answers in ((pairs.clean, pairs.answer), (pairs.changed, pairs.other)):
        for prompt, answer in zip(prompts, answers, strict=True):
            assert task.verify(prompt, np.array([answer], np.int32)).correct
            assert len(set(prompt[2:7:2].tolist())) == 3  # values stay distinct


@pytest.mark.parametrize("answer", ["final", "states"])
@pytest.mark.parametrize("group", ["Z2", "S3"])
def test_parity(group: str, answer: str) -> None:
    task = Parity(ParityConfig(group=group, length=5, answer=answer))  # type: ignore[arg-type]
    pairs = task.counterfactuals(TEST, MANY)
    for prompts, answers in ((pairs.clean, pairs.answer), (pairs.changed, pairs.other)):
        for prompt, first in zip(prompts, answers, strict=True):
            assert len(prompt) == 7
            verdict = task.verify(prompt, np.array([first], np.int32))
            assert verdict.counts["tokens_right"] == 1
