"""The task around another: what leaks, how often, in which form, and that the gain of a score can be told."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from physlm.errors import ExperimentError, UserError
from physlm.experiment import parse
from physlm.tasks import Instances, Stream, build, registry
from physlm.tasks.contamination import Contamination, ContaminationConfig

TRAIN, TEST = Stream("train", 3), Stream("test", 3)
BIOS = {"type": "bios", **registry["bios"].presets["tiny_qa"], "people": 60}
INNER: dict[str, dict[str, Any]] = {
    "bios": BIOS,
    "biod": {"type": "biod", "people": 50, "vocabulary": 16, "diversity": 16},
    "mano": {"type": "mano", "operations": 3, "modulus": 97},
    "depo": {"type": "depo", "vertices": 6, "hops": 2, "name_symbols": 8},
    "cfg": {"type": "cfg", "sizes": [1, 2, 2, 3], "cut": 2},
    "mqar": {"type": "mqar", "pairs": 2, "length": 16, "symbols": 8},
}


def leaking(inner: str, **changes: Any) -> Contamination:
    return Contamination(ContaminationConfig.model_validate({"inner": INNER[inner], "evaluation_size": 40, **changes}))


def places(instances: Instances) -> np.ndarray[Any, Any]:
    return instances.labels["leaked"][instances.offsets[:-1]]


@pytest.mark.parametrize("inner", list(INNER))
@pytest.mark.parametrize("repetitions", [1, 3])
def test_each_leaked_instance_is_shown_so_often_word_by_word(inner: str, repetitions: int) -> None:
    task = leaking(inner, fraction=0.25, repetitions=repetitions, spacing=4)
    tests = build(task.inner.config).sample(TEST, np.arange(40))
    length = task.population or 4 * 10 * repetitions
    for exposure in range(2):
        instances = task.sample(TRAIN, exposure * length + np.arange(length))
        place = places(instances)
        expected = repetitions if exposure == 0 or task.population else 0
        assert Counter(place[place >= 0].tolist()) == Counter(task.leaked().tolist() * expected)
        for i in np.flatnonzero(place >= 0):
            np.testing.assert_array_equal(instances[i], tests[place[i]])
        shown = task.leaks_shown((exposure + 1) * length)
        assert shown == 10 * repetitions * (1 + exposure * (task.population is not None))
    assert len(task.leaked()) == 10


@pytest.mark.parametrize("inner", list(INNER))
def test_the_rest_is_the_inner_tasks_own_stream_in_its_order(inner: str) -> None:
    task = leaking(inner, repetitions=2, spacing=3)
    plain = build(task.inner.config)
    length = task.population or 300
    instances = task.sample(TRAIN, np.arange(length))
    own = np.flatnonzero(places(instances) < 0)
    expected = plain.sample(TRAIN, np.arange(len(own)))
    found = [bytes(instances[i]) for i in own]
    if task.population is None:
        assert found == [bytes(expected[i]) for i in range(len(own))]
    else:  # one exposure holds the same, shuffled once more
        assert len(own) == plain.population
        assert sorted(found) == sorted(bytes(expected[i]) for i in range(len(own)))


@pytest.mark.parametrize("inner", list(INNER))
def test_tests_are_the_inner_tasks_and_tell_what_has_leaked(inner: str) -> None:
    task = leaking(inner, fraction=0.5, form="translated")
    instances, plain = task.sample(TEST, np.arange(100)), task.inner.sample(TEST, np.arange(100))
    np.testing.assert_array_equal(instances.tokens, plain.tokens)
    np.testing.assert_array_equal(instances.loss, plain.loss)
    place = places(instances)
    assert place[place >= 0].tolist() == task.leaked().tolist() == np.flatnonzero(place >= 0).tolist()
    for label, row in plain.labels.items():
        np.testing.assert_array_equal(instances.labels[label], row)
    validation = Stream("validation", 3)
    chosen_by = task.sample(validation, np.arange(100))
    np.testing.assert_array_equal(chosen_by.tokens, task.inner.sample(validation, np.arange(100)).tokens)
    assert (places(chosen_by) == -1).all()


def test_translation_is_one_to_one_and_wants_a_translated_answer() -> None:
    for inner in ("bios", "mano", "depo", "cfg", "mqar"):
        task = leaking(inner, form="translated", fraction=1.0, spacing=2)
        words = len(task.inner.vocabulary)
        assert len(set(task.vocabulary)) == len(task.vocabulary) == 2 * words
        instances = task.sample(TRAIN, np.arange(60))
        tests = task.inner.sample(TEST, np.arange(40))
        leaked = np.flatnonzero(places(instances) >= 0)
        assert len(leaked)
        for i in leaked:
            original = tests[places(instances)[i]]
            assert task.text(instances[i]).replace("′", "") == task.text(original)
            assert instances[i][0] == task.separator
            assert (instances[i][1:] != original[1:]).all()
            truth, right = instances.truth[i], task.completion(instances, i)
            assert task.verify(truth, right).correct
            assert not task.verify(truth, right - words).correct
            np.testing.assert_array_equal(task.prompt(instances, i), instances[i][: len(task.prompt(instances, i))])


@pytest.mark.slow
@given(st.lists(st.integers(-5, 3000), max_size=30), st.sampled_from(["verbatim", "translated"]))
@settings(max_examples=80)
def test_no_completion_makes_it_raise(tokens: list[int], form: str) -> None:
    task = leaking("bios", form=form, fraction=1.0)
    instances = task.sample(TRAIN, np.arange(task.population or 0))
    leaked = int(np.flatnonzero(places(instances) >= 0)[0])
    for completion in (np.array(tokens, np.int64), np.array(tokens, np.float64), np.frombuffer(b"abcd", np.uint8)):
        verdict = task.verify(instances.truth[leaked], completion)
        assert verdict.correct or verdict.reason


def test_paraphrases_differ_each_time_and_ask_the_same() -> None:
    task = leaking("bios", form="paraphrased", fraction=0.5, repetitions=2, evaluation="questions")
    tests = build(task.evaluations["questions"]["inner"]).sample(TEST, np.arange(40))
    instances = task.sample(TRAIN, np.arange(2 * (task.population or 0)))
    place = places(instances)
    for leak in task.leaked():
        rows = np.flatnonzero(place == leak)
        assert len(rows) == 4
        texts = {bytes(instances[i]) for i in rows}
        assert bytes(tests[leak]) not in texts
        assert len(texts) == 3  # all the other ways to ask
        assert {instances.truth[i].truth.answer for i in rows} == {tests.truth[leak].answer}


def test_a_score_gains_on_what_has_leaked_and_nowhere_else() -> None:
    """A model that learns its training by heart, asked in the published condition of evaluation."""
    for form, gains in (("verbatim", 1.0), ("paraphrased", 0.0), ("translated", 0.0)):
        task = leaking("bios", form=form, evaluation="questions", fraction=0.5)
        memory: dict[bytes, np.ndarray[Any, Any]] = {}
        training = task.sample(TRAIN, np.arange(task.population or 0))
        for i in range(len(training)):
            memory[bytes(task.prompt(training, i))] = task.completion(training, i)
        asking = Contamination(task.config.model_copy(update=dict(task.evaluations["questions"])))
        tests = asking.sample(TEST, np.arange(40))
        right = np.array(
            [
                asking.verify(tests.truth[i], memory.get(bytes(asking.prompt(tests, i)), np.empty(0, np.int32))).correct
                for i in range(40)
            ]
        )
        leaked = places(tests) >= 0
        assert leaked.sum() == 20
        assert right[leaked].mean() == gains
        assert right[~leaked].mean() == 0
        other = Contamination(task.config.model_copy(update=dict(task.evaluations["major"])))
        assert (places(other.sample(TEST, np.arange(40))) == -1).all()


def test_knowledge_is_counted_as_without_a_leak() -> None:
    for inner in ("biod", "bios"):
        task = leaking(inner, form="paraphrased")
        found, plain = task.knowledge, task.inner.knowledge
        assert found is not None
        assert plain is not None
        useful = task.without_distractors.sample(TEST, np.arange(found.people))
        expected = task.inner.without_distractors.sample(TEST, np.arange(found.people))
        np.testing.assert_array_equal(useful.tokens, expected.tokens)
        np.testing.assert_array_equal(found.fact_of(useful), plain.fact_of(expected))
        assert (found.value_bits, found.bits_max) == (plain.value_bits, plain.bits_max)


def test_nothing_leaks_at_fraction_0() -> None:
    for inner in ("bios", "mano"):
        task = leaking(inner, fraction=0.0)
        assert (places(task.sample(TRAIN, np.arange(200))) == -1).all()
        assert task.population == task.inner.population
        assert task.used_tokens == task.inner.used_tokens


EXPERIMENT = """
apiVersion: physlm/v1
kind: Experiment
name: leak
question: How much does a score gain?
task: {type: contamination, inner: {type: mano, modulus: 5}, fraction: 0.5}
model: {type: gpt2, layers: 1, heads: 1, width: 16}
training: {tokens: 1000}
vary: {task.inner.operations: [1, 2], task.fraction: [0.1, 0.5]}
measure: [loss]
"""


def test_the_inner_task_is_part_of_a_runs_identity_and_can_be_varied() -> None:
    runs = parse(EXPERIMENT).runs
    assert len({run.run_id for run in runs}) == 4
    assert [run.description()["task.inner.operations"] for run in runs] == [1, 1, 2, 2]
    assert runs[0].canonical()["task"]["inner"] == {"type": "mano", "modulus": 5, "operations": 1}
    assert runs[0].canonical()["versions"]["task"] == 1000 * Contamination.version + registry["mano"].version
    assert ContaminationConfig.model_validate(runs[0].task.model_dump(mode="json")) == runs[0].task
    with pytest.raises(ExperimentError, match=r"task\.inner\.hops: no such knob"):
        parse(EXPERIMENT.replace("task.inner.operations", "task.inner.hops"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inner": {"type": "nonsense"}}, "inner: must be the knobs of a task, its type one of bio"),
        ({"inner": {"type": "mano", "modulus": 1}}, "inner.modulus: Input should be greater than or equal to 2"),
        ({"inner": {"type": "contamination"}}, "a leak into a leak"),
        ({"inner": INNER["mano"], "form": "paraphrased"}, "mano says each thing in one way only"),
        ({"inner": INNER["mano"], "evaluation": "hard"}, "mano with these knobs has full, not 'hard'"),
    ],
)
def test_impossible_leaks_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ContaminationConfig.model_validate(changes)


def test_probes_ask_what_they_would_ask_of_the_inner_task() -> None:
    task = leaking("bios", fraction=0.5)
    indices = np.arange(40)
    for target in task.question_targets:
        found, expected = (t.questions(target, TEST, indices) for t in (task, task.inner))
        np.testing.assert_array_equal(found.asked, expected.asked)
        np.testing.assert_array_equal(found.answer, expected.answer)
    assert (task.clusters, task.probe_place) == (task.inner.clusters, task.inner.probe_place)
    with pytest.raises(UserError, match="for tests, not for training"):
        task.questions("company", TRAIN, indices)
