"""The answers to counterfactual prompts, by verifiers and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physlm.errors import UserError
from physlm.igsm import lexicon
from physlm.tasks import Stream
from physlm.tasks.biod import Biod, BiodConfig
from physlm.tasks.bios import Bios, BiosConfig
from physlm.tasks.capabilities import Counterfactuals
from physlm.tasks.copying import Copying, CopyingConfig
from physlm.tasks.igsm import Igsm, IgsmConfig
from physlm.tasks.mqar import Mqar, MqarConfig
from physlm.tasks.parity import Parity, ParityConfig

SMALL = {"names": (40, 40, 100), "years": 20, "cities": 20, "universities": 20, "majors": 20, "companies": 30}
TEST, MANY = Stream("test", 5), np.arange(200)


def both(pairs: Counterfactuals) -> Iterator[tuple[NDArray[np.int32], int]]:
    """All prompts, clean and changed, with the first token of the right answer."""
    for prompts, answers in ((pairs.clean, pairs.answer), (pairs.changed, pairs.other)):
        for prompt, length, answer in zip(prompts, pairs.length, answers, strict=True):
            yield prompt[:length], int(answer)


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_copying(order: str) -> None:
    task = Copying(CopyingConfig(length=5, order=order))  # type: ignore[arg-type]
    pairs = task.counterfactuals(TEST, MANY)
    assert pairs.aligned
    for prompt, answer in both(pairs):
        text = prompt[1:6]
        copy = text if order == "forward" else text[::-1]
        np.testing.assert_array_equal(prompt[7:], copy[:2])
        assert answer == copy[2]


def test_mqar() -> None:
    task = Mqar(MqarConfig(pairs=3, length=16, symbols=5))
    pairs = task.counterfactuals(TEST, MANY)
    assert pairs.aligned
    for prompt, answer in both(pairs):
        assert task.verify(prompt, np.array([answer], np.int32)).correct
        assert len(set(prompt[2:7:2].tolist())) == 3  # values stay distinct


@pytest.mark.parametrize("answer", ["final", "states"])
@pytest.mark.parametrize("group", ["Z2", "S3"])
def test_parity(group: str, answer: str) -> None:
    task = Parity(ParityConfig(group=group, length=5, answer=answer))  # type: ignore[arg-type]
    pairs = task.counterfactuals(TEST, MANY)
    assert pairs.aligned
    for prompt, first in both(pairs):
        assert len(prompt) == 7
        verdict = task.verify(prompt, np.array([first], np.int32))
        assert verdict.counts["tokens_right"] == 1


@pytest.mark.parametrize("knobs", [{}, {"chunks": 2, "chunk_length": 2, "tag": True}])
def test_biod(knobs: dict[str, Any]) -> None:
    task = Biod(BiodConfig(people=50, attributes=3, diversity=8, vocabulary=16, **knobs))
    told = {}  # what follows each name and key in texts
    texts = task.sample(TEST, np.arange(50))
    head = 1 + task.config.tag
    for i in range(50):
        row = texts[i].tolist()
        for at in range(head + 3, len(row), 1 + task.config.value_length):
            told[tuple(row[: head + 3]), row[at]] = row[at + 1]
    pairs = task.counterfactuals(TEST, MANY)
    assert pairs.aligned
    for prompt, answer in both(pairs):
        *named, key = prompt.tolist()
        assert told[tuple(named), key] == answer
    assert len(set(pairs.clean[:, -1].tolist())) == 3  # all attributes
    assert len({tuple(row) for row in pairs.clean[:50, :-1].tolist()}) == 50  # each person in its turn


@pytest.mark.parametrize("spelling", ["words", "subwords"])
@pytest.mark.parametrize("asked", ["birth_date", "university", "company_city"])
def test_bios(asked: str, spelling: str) -> None:
    task = Bios(
        BiosConfig(people=60, **SMALL, qa_fraction=1, questions=(asked, "major"), spelling=spelling)  # type: ignore[arg-type]
    )
    pairs = task.counterfactuals(TEST, MANY)
    assert pairs.aligned
    questions = task.sample(TEST, np.arange(2 * 30))
    asking = {tuple(task.prompt(questions, i).tolist()): i for i in range(len(questions))}
    for prompt, answer in both(pairs):
        i = asking[tuple(prompt.tolist())]
        right = task.completion(questions, i)
        assert task.verify(questions.truth[i], right).correct
        assert answer == right[0]
    names = {text for row, places in zip(pairs.clean, pairs.carrier, strict=True) for text in [task.text(row[places])]}
    assert len(names) == 30
    assert all(len(name.split()) == (3 if spelling == "words" else 6) for name in names)


def test_bios_without_questions_goes_on_from_a_name_as_biographies_do() -> None:
    task = Bios(BiosConfig(people=60, **SMALL, sentences=1, permute=False, tag=True))
    pairs = task.counterfactuals(TEST, MANY)
    texts = task.sample(TEST, np.arange(60))
    begins = {tuple(task.prompt(texts, i).tolist()): int(task.completion(texts, i)[0]) for i in range(60)}
    for prompt, answer in both(pairs):
        assert begins[tuple(prompt.tolist())] == answer


def test_bios_without_a_pair_is_refused() -> None:
    with pytest.raises(UserError, match="bios: among 1 people"):
        Bios(BiosConfig(people=4, qa_people=0.8)).counterfactuals(TEST, MANY)
    with pytest.raises(UserError, match="bios: where sentences come before the name"):
        Bios(BiosConfig(people=40, reverse=2)).counterfactuals(TEST, MANY)


@pytest.mark.parametrize("knobs", [{}, {"order": "qp", "retry_rate": 0.5, "names": 30, "max_depth": 2}, {"modulus": 2}])
def test_igsm(knobs: dict[str, Any]) -> None:
    task = Igsm(IgsmConfig.model_validate({**Igsm.presets["tiny"], **knobs}))
    pairs = task.counterfactuals(TEST, MANY)
    assert not pairs.aligned
    assert (pairs.carrier.sum(1) == 1).all()
    for row, places in zip((pairs.clean, pairs.changed), (pairs.answer, pairs.other), strict=True):
        np.testing.assert_array_equal(row[pairs.carrier], places)  # what is to be written is what was stated
    stop = lexicon.STOP
    sentences = []
    wrongs = np.concatenate([pairs.other, pairs.answer])
    for (prompt, answer), other in zip(both(pairs), wrongs, strict=True):
        cut = prompt.tolist().index(lexicon.SOLUTION) + 1
        problem, solution = prompt[:cut], prompt[cut:].tolist()
        right = task.verify(problem, np.array([*solution, answer, stop], np.int32))
        assert right.reason.endswith("the end where `Define` should be")  # so far all is right
        wrong = task.verify(problem, np.array([*solution, other, stop], np.int32))
        assert wrong.counts["first_wrong"] < right.counts["first_wrong"]
        sentences.append(right.counts["first_wrong"])
    assert max(sentences) > 2
