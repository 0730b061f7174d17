"""Exact-match accuracy of answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from physlm.measures.accuracy import Accuracy, observations
from physlm.measures.contract import Member
from physlm.measures.windows import Scored
from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.models.parts.cache import Cache
from physlm.tasks.biod import Biod, BiodConfig
from physlm.tasks.contract import Stream
from physlm.tasks.copying import Copying, CopyingConfig

TASK = Copying(CopyingConfig(length=4, symbols=3))
MEMBER = Member(TASK, 0, TASK.max_length, 1)


def test_an_answer_is_right_if_all_its_tokens_are() -> None:
    instances = TASK.sample(Stream("test"), np.arange(10))
    right = np.zeros((10, TASK.max_length), np.bool_)  # what isn't asked for may be wrong
    right[:, -4:] = True
    right[:3, -1] = False
    right[3, -4:] = False
    whole, part = observations(MEMBER, Scored(instances, np.zeros(right.size), right.ravel()))
    assert whole.value == pytest.approx(0.6)
    assert whole.stderr == pytest.approx(np.std([0] * 4 + [1] * 6, ddof=1) / np.sqrt(10))
    assert whole.chance == pytest.approx(3**-4)
    assert part.value == pytest.approx((3 * 0.75 + 0 + 6) / 10)
    assert part.chance == pytest.approx(1 / 3)


def test_it_is_the_accuracy_of_greedy_decoding() -> None:
    """A model trained a little, so that some of its copies are right, writes them token by token."""
    from physlm.training.cohort import Cohort
    from physlm.training.config import OptimizerConfig

    model = Gpt2Config(layers=2, heads=2, width=16)
    cohort = Cohort(model, len(TASK.vocabulary), [OptimizerConfig(lr=1e-2)], [0], torch.device("cpu"))
    for step in range(25):
        batch = TASK.sample(Stream("train"), np.arange(64 * step, 64 * (step + 1)))
        tokens, wanted = (torch.from_numpy(x.reshape(1, 64, -1)) for x in (batch.tokens, batch.loss))
        cohort.step(tokens.long(), wanted, [1.0])
    decoder = cohort.decoder.eval()
    ((found, _),) = Accuracy().take(decoder, [MEMBER])
    assert found.value is not None
    assert 0.05 < found.value < 0.95
    test = TASK.sample(Stream("test"), np.arange(found.n or 0))
    prompts = np.stack([TASK.prompt(test, i) for i in range(len(test))])
    cache = Cache()
    hidden = decoder.step(torch.from_numpy(prompts)[None].long(), cache).view(1, len(test), prompts.shape[1], -1)
    written = []
    for _ in range(4):
        written.append(decoder.logits(hidden[:, :, -1]).argmax(-1))
        hidden = decoder.step(written[-1].unsqueeze(-1), cache).view(1, len(test), 1, -1)
    copies = torch.stack(written, -1)[0].numpy()
    verdicts = [TASK.verify(test.truth[i], copies[i]).correct for i in range(len(test))]
    assert np.mean(verdicts) == pytest.approx(found.value)


def test_tasks_without_one_answer_are_refused() -> None:
    assert Accuracy.suits(TASK) is None
    assert "copying" in str(Accuracy.suits(Biod(BiodConfig(people=10))))
    assert "train_on" in str(Accuracy.suits(Copying(CopyingConfig(length=4, train_on="all"))))


def test_a_fresh_model_is_near_chance() -> None:
    decoder = Decoder(Gpt2Config(width=16), len(TASK.vocabulary), 1)
    initialise(decoder, [0])
    ((whole, part),) = Accuracy().take(decoder, [MEMBER])
    assert whole.value is not None
    assert whole.value < 0.2
    assert part.value is not None
    assert part.value < 0.6
