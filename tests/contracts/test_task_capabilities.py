"""What tasks with a world, paraphrases, probes or counterfactuals must do.

A new file in physlm.tasks is tested here by being there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physlm.tasks import (
    Asks,
    CountsKnowledge,
    HasCounterfactuals,
    HasDistractors,
    HasParaphrases,
    HasProbeQuestions,
    HasWorld,
    Incompressible,
    Instances,
    Probed,
    Stream,
    Task,
    from_preset,
    registry,
    require,
    supports,
)
from physlm.tasks.capabilities import without_distractors

TRAIN, TEST = Stream("train", 3), Stream("test", 3)
MANY = np.arange(300)


def having(capability: type[Task[Any]]) -> pytest.MarkDecorator:
    """Every task that has the capability as its preset `tiny` sets it."""
    names = [name for name in registry if supports(from_preset(name, "tiny"), capability)]
    return pytest.mark.parametrize("name", names)


def content(instances: Instances, i: int) -> tuple[Any, ...]:
    """All there is of one instance but its truth."""
    rows = slice(*instances.offsets[i : i + 2])
    labels = {label: row[rows].tolist() for label, row in instances.labels.items()}
    return instances[i].tolist(), instances.loss[rows].tolist(), labels


# -- knowledge ---------------------------------------------------------------------------------------------------------


@having(HasWorld)
def test_the_world_is_made_by_its_seed_alone(name: str) -> None:
    first, again, other = (require(from_preset(name, "tiny", seed=seed), HasWorld).facts() for seed in (0, 0, 1))
    assert first, f"{name}: it has a world, so facts() must not be empty"
    for fact, array in first.items():
        np.testing.assert_array_equal(array, again[fact])
    if name != "contamination":  # whose inner task has a seed of its own
        assert any(not np.array_equal(array, other[fact]) for fact, array in first.items()), (
            f"{name}: seed does nothing"
        )


@having(CountsKnowledge)
def test_what_there_is_to_know_is_told_of_each_person_once(name: str) -> None:
    task = require(from_preset(name, "tiny"), CountsKnowledge)
    known, plain = task.knowledge, without_distractors(task)
    assert require(plain, CountsKnowledge).knowledge.people == known.people
    assert known.people <= known.names_possible
    assert 0 < known.attributes <= known.values
    assert 0 < known.guess < 1
    assert known.bits_max > 0
    instances = plain.sample(TEST, np.arange(known.people))
    fact = known.fact_of(instances)
    assert fact.shape == instances.tokens.shape
    for i in range(len(instances)):
        spelt = set(fact[instances.offsets[i] : instances.offsets[i + 1]].tolist()) - {-1}
        assert spelt == set(range(known.values + 1)), f"{name}: instance {i} spells the facts {sorted(spelt)}"


@having(Incompressible)
def test_random_strings_are_all_there_is(name: str) -> None:
    task = require(from_preset(name, "tiny"), Incompressible)
    assert task.population is not None, f"{name}: as many strings as its population are shown over and over"
    instances = task.sample(TRAIN, np.arange(task.population))
    assert (instances.lengths == 1 + task.string_length).all()
    assert len({bytes(instances[i]) for i in range(task.population)}) == task.population
    assert 0 < task.memorisable_bits <= task.population * task.string_bits


@having(HasDistractors)
def test_what_is_worth_knowing_has_the_same_facts_and_vocabulary(name: str) -> None:
    task = require(from_preset(name, "tiny"), HasDistractors)
    assert list(task.without_distractors.vocabulary) == list(task.vocabulary)
    assert task.without_distractors.max_length <= task.max_length
    facts = task.facts() if supports(task, HasWorld) else {}
    for fact, array in facts.items():
        np.testing.assert_array_equal(array, task.without_distractors.facts()[fact])


@having(HasParaphrases)
def test_paraphrases_are_other_texts_with_the_same_answers(name: str) -> None:
    task = require(from_preset(name, "tiny"), HasParaphrases)
    for stream in (TRAIN, TEST):
        original, other, again = (
            task.sample(stream, MANY),
            task.paraphrase(stream, MANY, 0),
            task.paraphrase(stream, MANY, 1),
        )
        texts = [[bytes(instances[i]) for i in range(len(MANY))] for instances in (original, other, again)]
        assert np.mean([a != b for a, b in zip(texts[0], texts[1], strict=True)]) > 0.8
        assert np.mean([a != b for a, b in zip(texts[1], texts[2], strict=True)]) > 0.3
        assert other.lengths.max() <= task.max_length
        for i in (7, 200):
            assert content(task.paraphrase(stream, MANY[i : i + 1], 0), 0) == content(other, i)
        if supports(task, Asks):
            for i, truth in enumerate(other.truth):
                assert task.verify(truth, task.completion(other, i)).correct
        if "person" in original.labels:
            people = [x.labels["person"][x.offsets[:-1]] for x in (original, other)]
            np.testing.assert_array_equal(*people)


# -- probes ------------------------------------------------------------------------------------------------------------


@having(HasProbeQuestions)
def test_questions_are_about_beginnings_of_instances_and_the_same_in_any_batch(name: str) -> None:
    task = require(from_preset(name, "tiny"), HasProbeQuestions)
    instances = task.sample(TEST, MANY[:40])
    for target, classes in task.question_targets.items():
        asked = task.questions(target, TEST, MANY[:40])
        assert len(asked) > 0
        assert asked.answer.min() >= 0
        assert asked.answer.max() < classes
        assert len(np.unique(asked.answer)) > 1, f"{target} has one answer"
        assert (asked.shown >= 1).all()
        assert (asked.shown <= instances.lengths[asked.instance]).all()
        assert asked.offsets[-1] == len(asked.asked)
        assert not len(asked.asked) or 0 <= asked.asked.min() <= asked.asked.max() < len(task.vocabulary)
        later = task.questions(target, TEST, MANY[20:40])
        same = asked.instance >= 20
        np.testing.assert_array_equal(asked.answer[same], later.answer)
        np.testing.assert_array_equal(asked.instance[same] - 20, later.instance)


@having(Probed)
def test_probe_targets_are_labels_of_so_many_classes(name: str) -> None:
    task = require(from_preset(name, "tiny"), Probed)
    labels = task.sample(TRAIN, MANY).labels
    for target, classes in task.probe_targets.items():
        seen = np.unique(labels[target][labels[target] >= 0])
        assert 2 <= len(seen) <= classes, target
        assert seen[-1] < classes, target


# -- counterfactuals ---------------------------------------------------------------------------------------------------


@having(HasCounterfactuals)
def test_counterfactual_prompts_differ_in_the_carrier_alone_and_in_their_answers(name: str) -> None:
    task = require(from_preset(name, "tiny"), HasCounterfactuals)
    pairs = task.counterfactuals(TEST, MANY)
    assert pairs.clean.shape == pairs.changed.shape == pairs.carrier.shape
    place, length = np.arange(pairs.clean.shape[1]), pairs.length[:, None]
    differs = pairs.clean != pairs.changed
    assert differs.any(1).all()
    assert not differs[~pairs.carrier].any()
    assert not pairs.carrier[place >= length - 1].any(), "the last token is read behind the carrier"
    for prompts in (pairs.clean, pairs.changed):
        assert (prompts[place >= length] == task.separator).all()
    assert (pairs.answer != pairs.other).all()
    for tokens in (pairs.clean, pairs.changed, pairs.answer, pairs.other):
        assert tokens.dtype == np.int32
        assert 0 <= tokens.min() <= tokens.max() < len(task.vocabulary)
    later = task.counterfactuals(TEST, MANY[20:])
    for attribute in ("clean", "changed", "answer", "other", "length", "carrier"):
        own, whole = getattr(later, attribute), getattr(pairs, attribute)[20:]
        np.testing.assert_array_equal(own, whole if own.ndim == 1 else whole[:, : own.shape[1]])
    train = task.counterfactuals(TRAIN, MANY)
    assert train.clean.shape != pairs.clean.shape or (train.clean != pairs.clean).any()
