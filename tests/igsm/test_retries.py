"""Retry data: how many mistakes, which ones, and what is trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from physlm.igsm import lexicon, rendering
from physlm.tasks import Instances, Stream
from physlm.tasks.igsm import Igsm, IgsmConfig

TINY = Igsm.presets["tiny"]
KINDS = ("cannot_next", "later_step", "any_parameter")


def igsm(**knobs: Any) -> Igsm:
    return Igsm(IgsmConfig(**knobs))


def sampled(task: Igsm, count: int) -> tuple[Instances, list[str]]:
    instances = task.sample(Stream(), np.arange(count))
    return instances, [task.text(instances[i]) for i in range(count)]


def runs(steps: list[Any]) -> list[tuple[list[Any], Any]]:
    """Each sentence's wrong parameters and its right one."""
    found: list[tuple[list[Any], Any]] = []
    wrong: list[Any] = []
    for step in steps:
        wrong.append(step.parameter)
        if step.letter != "BACK":
            found.append((wrong[:-1], wrong[-1]))
            wrong = []
    assert not wrong
    return found


def wrong_ones(kind: str, problem: Any, right: list[Any], place: int, every: set[Any]) -> set[Any]:
    """The parameters that may be named by mistake before sentence `place`, of those that the text lets one see."""
    known = set(right[:place])
    if kind == "later_step":
        return set(right[place + 1 :])
    if kind == "any_parameter":
        return every - {right[place]}
    return {p for p in every - known if not problem.needs(p) <= known}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_mistakes_are_as_many_and_of_the_kind_that_they_should_be(
    kind: str, rate: float, read: Any, read_steps: Any
) -> None:
    task = igsm(retry_rate=rate, retry_kind=kind, max_tokens=4000)
    counts = []
    for text in sampled(task, 1500)[1]:
        problem = read(text, 23)
        every = {p for q in problem.stated for p in problem.closure(q)} | problem.necessary
        said = runs(read_steps(text))
        right = [p for _, p in said]
        assert set(right) == problem.necessary
        for place, (wrong, _) in enumerate(said):
            assert len(set(wrong)) == len(wrong), "a mistake is made once before each sentence"
            allowed = wrong_ones(kind, problem, right, place, every)
            unseen = {p for p in wrong if p not in every}  # parameters that neither question nor sentences touch
            if kind == "cannot_next":
                assert all(not problem.needs(p) <= set(right[:place]) for p in unseen)
            else:
                assert kind == "any_parameter" or not unseen
            assert set(wrong) - unseen <= allowed
            if len(allowed) >= 8:  # so many that 8 in a row are rare, and the ninth can't matter
                counts.append(len(wrong))
    shares = np.bincount(np.minimum(counts, 4), minlength=5)
    expected = np.array([(1 - rate) * rate**k for k in range(4)] + [rate**4])
    assert chisquare(shares, len(counts) * expected).pvalue > 1e-3
    assert np.mean(counts) == pytest.approx(rate / (1 - rate), rel=0.15)  # E = q / (1 - q)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_solution_passes(kind: str) -> None:
    task = igsm(**TINY, retry_rate=0.5, retry_kind=kind)
    instances, texts = sampled(task, 300)
    for i, text in enumerate(texts):
        verdict = task.verify(instances.truth[i], task.completion(instances, i))
        assert verdict.correct, verdict.reason
        assert verdict.counts["retries"] == text.count("BACK")
        assert verdict.counts["unnecessary_parameters"] == 0


def test_without_mistakes_the_instance_is_the_same() -> None:
    """Retries are drawn last: all arms ask the same questions, and what isn't taken back doesn't change."""
    arms = [igsm(retry_rate=rate, retry_kind=kind, max_tokens=4000) for rate in (0.0, 0.2, 0.5) for kind in KINDS]
    plain, _ = sampled(igsm(max_tokens=4000), 200)
    for arm in arms:
        instances, _ = sampled(arm, 200)
        for i in range(200):
            np.testing.assert_array_equal(instances.truth[i], plain.truth[i])
            part = instances.labels["part"][instances.offsets[i] : instances.offsets[i + 1]]
            np.testing.assert_array_equal(instances[i][part != rendering.RETRY], plain[i])


def test_the_mask_leaves_out_the_wrong_names_and_nothing_else() -> None:
    masked, _ = sampled(igsm(**TINY, retry_rate=0.5, mask_retry=True), 300)
    plain, _ = sampled(igsm(**TINY, retry_rate=0.5), 300)
    np.testing.assert_array_equal(masked.tokens, plain.tokens)
    assert plain.loss.all()
    tokens = masked.tokens
    wrong = np.zeros(len(tokens), bool)
    for back in np.flatnonzero(tokens == lexicon.BACK):
        define = back - np.argmax(tokens[back::-1] == lexicon.DEFINE)
        wrong[define + 1 : back - 1] = True  # between "Define" and "as BACK"
    assert wrong.any()
    np.testing.assert_array_equal(masked.loss, ~wrong)
    np.testing.assert_array_equal(masked.labels["part"] == rendering.RETRY, plain.labels["part"] == rendering.RETRY)


def test_solutions_alone_can_be_trained_on() -> None:
    masked, _ = sampled(igsm(**TINY, retry_rate=0.5, mask_retry=True, mask_problem=True), 300)
    plain, _ = sampled(igsm(**TINY, retry_rate=0.5, mask_retry=True), 300)
    np.testing.assert_array_equal(masked.tokens, plain.tokens)
    told = np.isin(plain.labels["part"], (rendering.PROBLEM, rendering.QUESTION))
    assert told.any()
    np.testing.assert_array_equal(masked.loss, plain.loss & ~told)


def test_tests_are_without_mistakes() -> None:
    task = igsm(**TINY, retry_rate=0.5)
    plain = igsm(**TINY)
    assert task.evaluations.keys() == plain.evaluations.keys()
    for name, overrides in task.evaluations.items():
        sets = [
            igsm(**{**TINY, **knobs, **overrides}).sample(Stream("test"), np.arange(50))
            for knobs, overrides in (({"retry_rate": 0.5}, overrides), ({}, plain.evaluations[name]))
        ]
        np.testing.assert_array_equal(sets[0].tokens, sets[1].tokens)
        assert lexicon.BACK not in sets[0].tokens
