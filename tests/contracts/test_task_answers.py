"""What every task that asks, or tells its entropy, must do: answers are checked exactly, and what is stated is true.

A new file in physlm.tasks is tested here by being there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from math import exp, log, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from physlm.tasks import (
    Asks,
    ChecksSteps,
    HasEntropy,
    HasGrammar,
    Instances,
    Stream,
    Task,
    Verdict,
    from_preset,
    registry,
    require,
    supports,
)

TRAIN, TEST = Stream("train", 3), Stream("test", 3)
MANY = np.arange(300)


def having(capability: type[Task[Any]]) -> pytest.MarkDecorator:
    """Every task that has the capability as its preset `tiny` sets it."""
    names = [name for name in registry if supports(from_preset(name, "tiny"), capability)]
    return pytest.mark.parametrize("name", names)


Tokens = NDArray[np.int32]
every_question = having(Asks)


# -- verifying ---------------------------------------------------------------------------------------------------------


@every_question
def test_evaluations_change_the_difficulty_not_the_vocabulary(name: str) -> None:
    task = require(from_preset(name, "tiny"), Asks)
    for overrides in task.evaluations.values():
        harder = from_preset(name, "tiny", **overrides)
        assert harder.config != task.config
        assert list(harder.vocabulary) == list(task.vocabulary)
        assert harder.max_length <= task.max_length


@every_question
def test_every_truth_verifies(name: str) -> None:
    task = require(from_preset(name, "tiny"), Asks)
    for stream in (TRAIN, TEST):
        instances = task.sample(stream, MANY)
        for i, truth in enumerate(instances.truth):
            prompt = task.prompt(instances, i)
            np.testing.assert_array_equal(prompt, instances[i][: len(prompt)])
            verdict = task.verify(truth, task.completion(instances, i))
            assert verdict.correct, verdict.reason
            assert verdict.reason == ""


@pytest.mark.slow
@every_question
def test_every_corrupted_answer_fails_with_a_reason(name: str) -> None:
    task = require(from_preset(name, "tiny"), Asks)
    instances = task.sample(TEST, MANY[:40])
    for i, truth in enumerate(instances.truth):
        right = task.completion(instances, i)
        for wrong in corruptions(right, len(task.vocabulary), unique=supports(task, HasEntropy) and task.floor() == 0):
            verdict = task.verify(truth, wrong)
            assert not verdict.correct, f"{task.text(wrong)} passes for {task.text(right)}"
            assert verdict.reason
            assert "\n" not in verdict.reason


def corruptions(right: Tokens, words: int, unique: bool) -> Iterator[Tokens]:
    """Cut short, foreign tokens anywhere; where only one answer is right, also other tokens and one too many."""
    yield right[:0]
    yield right[:-1]
    for place in range(len(right)):
        foreign = [-1, words, 2**31 - 1]
        others = [token for token in range(words) if token != right[place]][:: max(1, words // 8)] if unique else []
        for token in foreign + others:
            wrong = right.copy()
            wrong[place] = token
            yield wrong
    if unique:
        yield np.append(right, right[-1:])


ANY_ARRAY = hnp.arrays(
    st.one_of(hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(), hnp.boolean_dtypes()),
    hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=30),
)


@pytest.mark.slow
@every_question
@settings(max_examples=60)
@given(data=st.data())
def test_verify_never_raises(name: str, data: st.DataObject) -> None:
    task = require(from_preset(name, "tiny"), Asks)
    instances = task.sample(TEST, MANY[:10])
    i = data.draw(st.integers(0, 9))
    right = task.completion(instances, i)
    places = st.integers(0, len(right))
    garbled = st.builds(
        lambda a, b, between: np.concatenate([right[:a], np.array(between, np.int64), right[b:]]),
        places,
        places,
        st.lists(st.integers(-2, len(task.vocabulary) + 1), max_size=10),
    )
    verdict = task.verify(instances.truth[i], data.draw(st.one_of(ANY_ARRAY, garbled)))
    assert isinstance(verdict, Verdict)
    assert verdict.correct or verdict.reason


@every_question
@settings(max_examples=40)
@given(raw=st.binary(max_size=400), text=st.text(max_size=200), kept=st.integers(0, 100))
def test_verify_bears_bytes_and_texts(name: str, raw: bytes, text: str, kept: int) -> None:
    task = require(from_preset(name, "tiny"), Asks)
    instances = task.sample(TEST, MANY[:1])
    right = task.completion(instances, 0)
    bare = np.frombuffer(raw[: len(raw) // 8 * 8], np.uint8)
    spelt = f"{task.text(right[:kept])} {text}"
    for completion in (
        bare,
        *(bare.view(kind) for kind in ("i1", "u2", "i4", "u8")),
        task.parse(text),
        task.parse(spelt),
    ):
        verdict = task.verify(instances.truth[0], completion)
        assert verdict.correct or verdict.reason
    assert task.verify(instances.truth[0], right[:kept]).correct is (kept >= len(right))


@every_question
def test_verify_bears_megabytes(name: str) -> None:
    task = require(from_preset(name, "tiny"), Asks)
    instances = task.sample(TEST, MANY[:1])
    right = task.completion(instances, 0)
    random = np.random.default_rng(0).integers(0, len(task.vocabulary), 2**18, dtype=np.int32)
    foreign = np.random.default_rng(0).integers(-(2**31), 2**31, 2**18, dtype=np.int32)
    words = task.parse("word " * 2**18)
    for huge in (random, np.tile(right, 2**18 // len(right)), np.concatenate([right, random]), foreign, words):
        verdict = task.verify(instances.truth[0], huge)
        assert not verdict.correct
        assert len(verdict.reason) < 1000


# -- what is trained on ------------------------------------------------------------------------------------------------


@every_question
def test_the_loss_mask_covers_the_answer_and_begins_with_it(name: str) -> None:
    """All tokens of the answer are trained on; of the prompt all or, right before the answer, none."""
    task = require(from_preset(name, "tiny"), Asks)
    for stream in (TRAIN, TEST):
        instances = task.sample(stream, MANY)
        for i in range(len(MANY)):
            trained = instances.loss[instances.offsets[i] : instances.offsets[i + 1]]
            begin = len(task.prompt(instances, i))
            answer = trained[begin : begin + len(task.completion(instances, i))]
            late = int(np.argmin(answer)) if not answer.all() else None
            assert late is None, (
                f"{name}: the loss mask leaves out token {late} of the answer to instance {i}, token "
                f"{begin + (late or 0)} of the instance: a model would not be trained to write it; set `loss` on every "
                f"token of the completion, from len(prompt) = {begin} on"
            )
            assert trained[1:begin].all() or not trained[begin - 1], (
                f"{name}: the loss mask of instance {i} begins one token early: it has token {begin - 1}, the prompt's "
                f"last one, though not the whole prompt; it must begin at len(prompt) = {begin}"
            )


# -- chance ------------------------------------------------------------------------------------------------------------

ANSWERS = 1000


def blind(task: Asks[Any]) -> dict[str, float]:
    """Accuracy of answers that ignore the question, by kind."""
    train, test = (task.sample(stream, np.arange(ANSWERS)) for stream in (TRAIN, TEST))
    known, wanted = ([task.completion(own, i).tolist() for i in range(ANSWERS)] for own in (train, test))
    written = {token for answer in known for token in answer}
    random = np.random.default_rng(0)

    def of_the_prompt(i: int) -> list[int]:
        tokens = [token for token in task.prompt(test, i).tolist() if token in written] or sorted(written)
        return [tokens[place] for place in random.integers(0, len(tokens), len(wanted[i]))]

    def accuracy(answer: Callable[[int], list[int]]) -> float:
        verdicts = [task.verify(truth, np.array(answer(i), np.int32)) for i, truth in enumerate(test.truth)]
        return float(np.mean([verdict.correct for verdict in verdicts]))

    frequent = [list(answer) for answer, _ in Counter(map(tuple, known)).most_common(3)]
    return {
        "the best constant answer": max(accuracy(lambda i, answer=answer: answer) for answer in frequent),  # type: ignore[misc]
        "the answer to another question": accuracy(lambda i: known[i]),
        "random tokens of the prompt": accuracy(of_the_prompt),
    }


def likeliest_end(task: Asks[Any]) -> float:
    """Share of answers with the likeliest last token: no constant answer is right more often."""
    instances = task.sample(TRAIN, np.arange(ANSWERS))
    ends = Counter(int(task.completion(instances, i)[-1]) for i in range(ANSWERS))
    return ends.most_common(1)[0][1] / ANSWERS


@pytest.mark.slow
@every_question
def test_chance_is_what_an_answer_that_ignores_the_question_gets(name: str) -> None:
    task = require(from_preset(name, "tiny"), Asks)
    chance = task.chance
    if chance is None:
        return
    assert 0 <= chance < 1, f"{name}: chance is an accuracy, from 0 to 1 (without 1), not {chance}"
    found = blind(task)
    constant = found["the best constant answer"]
    error = sqrt((chance + 1e-3) / ANSWERS)
    assert constant <= chance + 4 * error, (
        f"{name}: it states a chance of {chance:.3g}, but one and the same answer to {ANSWERS} questions is right in "
        f"{constant:.3g} of them; chance must be the accuracy of the best answer that ignores the question"
    )
    if supports(task, ChecksSteps):  # whose chance may be that of what stands at the end of the steps
        found["the likeliest final result"] = likeliest_end(task)
    best = max(found, key=found.__getitem__)
    assert chance <= 1.5 * found[best] + 0.05 + 4 * error, (
        f"{name}: it states a chance of {chance:.3g}, but no answer that ignores the question comes near it: {best} is "
        f"right in {found[best]:.3g} of {ANSWERS} questions; chance must be the accuracy of the best such answer"
    )


# -- entropy -----------------------------------------------------------------------------------------------------------


@having(HasEntropy)
def test_the_floor_is_the_mean_surprisal(name: str) -> None:
    task = require(from_preset(name, "tiny"), HasEntropy)
    surprisal, floor = task.surprisal(task.sample(TEST, np.arange(4000))), task.floor()
    assert surprisal is not None, f"{name}: it tells its entropy, so surprisal() must be told of its own instances"
    assert surprisal.min() >= 0, f"{name}: a surprisal of {surprisal.min():.4g} nats is below 0: P is more than 1"
    mean, error = float(surprisal.mean()), float(surprisal.std()) / sqrt(len(surprisal))
    assert floor == pytest.approx(mean, rel=1e-9, abs=5 * error + 1e-9), (
        f"{name}: floor() is {floor:.6g} nats, but the mean surprisal() of 4000 instances is {mean:.6g} ± {error:.2g}; "
        "the floor must be its expectation"
    )


def unigram_loss(task: Task[Any]) -> tuple[float, float]:
    """Loss in nats per instance of a model that knows how often each token is trained on at each place; its error.

    Smoothed, trained on 4000 instances and tested on as many others: no floor can be above it.
    """
    train, test = (task.sample(stream, np.arange(4000)) for stream in (TRAIN, TEST))
    words, places = len(task.vocabulary), task.max_length

    def places_of(instances: Instances) -> NDArray[np.int64]:
        place = np.arange(len(instances.tokens)) - np.repeat(instances.offsets[:-1], instances.lengths)
        return place * words + instances.tokens

    counts = np.bincount(places_of(train)[train.loss], minlength=words * places).reshape(places, words) + 0.5
    loss = -np.log(counts / counts.sum(1, keepdims=True)).reshape(-1)[places_of(test)] * test.loss
    each = np.add.reduceat(loss, test.offsets[:-1])
    return float(each.mean()), float(each.std()) / sqrt(len(each))


@having(HasEntropy)
def test_no_floor_is_above_the_loss_of_a_simple_model(name: str) -> None:
    task = require(from_preset(name, "tiny"), HasEntropy)
    loss, error = unigram_loss(task)
    end = float(task.end_surprisal(task.sample(TEST, MANY)).mean())  # no model's loss on an instance's own tokens
    assert task.floor() - end <= loss + 5 * error, (
        f"{name}: floor() is {task.floor():.4g} nats, but a model that only knows how often each token stands at each "
        f"place has a loss of {loss:.4g} ± {error:.2g}; the floor is the least loss, summed over an instance's trained "
        "tokens, that any model can have"
    )


@having(HasEntropy)
def test_no_floor_is_below_what_repetitions_tell(name: str) -> None:
    """Where whole texts are trained on. -ln of the probability that two texts are alike is at most their entropy."""
    task = require(from_preset(name, "tiny"), HasEntropy)
    count = 4000
    instances = task.sample(TEST, np.random.default_rng(0).integers(0, 2**40, count))
    starts = np.zeros(len(instances.tokens), np.bool_)
    starts[instances.offsets[:-1]] = True
    if not (instances.loss | starts).all():
        return
    repeated = Counter(bytes(instances[i]) for i in range(count))
    alike = sum(n * (n - 1) // 2 for n in repeated.values())
    pairs = count * (count - 1) // 2
    least = -log((alike + 5 * sqrt(alike + 1) + 10) / pairs)
    assert task.floor() >= least, (
        f"{name}: floor() is {task.floor():.4g} nats, so about {exp(-task.floor()):.2g} of all pairs of texts or more "
        f"would be alike, but of {pairs} pairs {alike} are; the entropy is at least {least:.4g} nats"
    )


def other_answers(right: list[int], words: int) -> Iterator[list[int]]:
    """One token changed to any other, or two exchanged."""
    for place in range(len(right)):
        for token in range(words):
            yield [*right[:place], token, *right[place + 1 :]]
        for other in range(place):
            swapped = right.copy()
            swapped[place], swapped[other] = right[other], right[place]
            yield swapped


@having(HasEntropy)
def test_the_floor_of_answers_is_above_0_only_where_several_are_right(name: str) -> None:
    task = from_preset(name, "tiny")
    if not supports(task, Asks):
        return
    entropy, instances = require(task, HasEntropy).floor(), task.sample(TEST, MANY[:20])
    several = False
    for i, truth in enumerate(instances.truth):
        start, right = len(task.prompt(instances, i)), task.completion(instances, i).tolist()
        trained = np.flatnonzero(instances.loss[instances.offsets[i] : instances.offsets[i + 1]])
        if trained.tolist() != list(range(start, start + len(right))):
            return  # other texts are trained on, too
        others = (other for other in other_answers(right, len(task.vocabulary)) if other != right)
        several |= any(task.verify(truth, np.array(other, np.int32)).correct for other in others)
    assert entropy == 0 or several, (
        f"{name}: floor() is {entropy:.4g} nats, but only answers are trained on and each question has one right "
        "answer, which follows from it: the floor is 0"
    )


# -- steps and grammars ------------------------------------------------------------------------------------------------


@having(ChecksSteps)
def test_the_steps_of_answers_are_counted_up_to_the_first_wrong_one(name: str) -> None:
    task = require(from_preset(name, "tiny"), ChecksSteps)
    instances, marks = task.sample(TEST, MANY[:40]), task.step_marks
    for i, truth in enumerate(instances.truth):
        right = task.completion(instances, i)
        counts, steps = task.verify(truth, right).counts, int((right == marks.end).sum())
        assert counts["sentences"] + counts["retries"] == steps, f"{name}: {steps} steps, counted as {dict(counts)}"
        assert right[0] == marks.begin, f"{name}: a step must begin with `step_marks.begin`"
        wrong = right.copy()
        ends = np.flatnonzero(right == marks.end)
        wrong[ends[-1] - 1] = task.separator
        broken = task.verify(truth, wrong).counts
        assert broken.get("first_wrong") == steps, f"{name}: step {steps} is wrong, found was {dict(broken)}"


@having(HasGrammar)
def test_the_grammar_says_how_likely_its_sentences_are(name: str) -> None:
    task = require(from_preset(name, "tiny"), HasGrammar)
    instances = task.sample(TEST, MANY[:100])
    shares = task.next_token(instances.tokens, instances.offsets)
    assert shares.shape == (len(instances.tokens), len(task.vocabulary))
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-9)
    following = np.append(instances.tokens[1:], task.separator)
    following[instances.offsets[1:] - 1] = task.separator
    each = np.add.reduceat(-np.log(shares[np.arange(len(following)), following]), instances.offsets[:-1])
    np.testing.assert_allclose(each, task.surprisal(instances), rtol=1e-9)
    assert instances.lengths.max() <= 1 + task.grammar.max_length
    assert instances.lengths.min() >= 1 + task.grammar.min_length
