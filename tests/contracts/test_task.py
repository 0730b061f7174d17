"""What every task must do, whatever it is: a new file in physlm.tasks is tested here by being there."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from physlm.errors import UserError
from physlm.tasks import Instances, Stream, Task, Verdict, build, registry

Tokens = NDArray[np.int32]
TRAIN, TEST = Stream("train", 3), Stream("test", 3)
MANY = np.arange(300)


def make(name: str, **knobs: Any) -> Task[Any]:
    cls = registry[name]
    return cls(cls.config_type.model_validate(knobs))


def tiny(name: str, **knobs: Any) -> Task[Any]:
    return make(name, **{**registry[name].presets["tiny"], **knobs})


TASKS = list(registry)
ASKING = [name for name, cls in registry.items() if cls.verify is not Task.verify]
SILENT = [name for name in TASKS if name not in ASKING]
PARAPHRASING = [name for name, cls in registry.items() if cls.paraphrase is not Task.paraphrase]
SURPRISED = [name for name, cls in registry.items() if cls.surprisal is not Task.surprisal]

every_task = pytest.mark.parametrize("name", TASKS)
every_question = pytest.mark.parametrize("name", ASKING)


def same(a: Any, b: Any) -> bool:
    """Whether two truths are the same, arrays or not."""
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)


def content(instances: Instances, i: int) -> tuple[Any, ...]:
    """All there is of one instance but its truth."""
    rows = slice(*instances.offsets[i : i + 2])
    labels = {label: row[rows].tolist() for label, row in instances.labels.items()}
    return instances[i].tolist(), instances.loss[rows].tolist(), labels


# -- the language ------------------------------------------------------------------------------------------------------


@every_task
def test_it_is_found_by_its_name_and_every_preset_is_valid(name: str) -> None:
    task = tiny(name)
    assert task.name == name
    assert type(build(task.config)) is type(task)
    assert set(task.presets) > {"tiny"}, "published settings are missing"
    for preset in task.presets.values():
        assert len(make(name, **preset).vocabulary) >= 2


@every_task
def test_vocabulary_has_distinct_words_and_covers_the_tokens(name: str) -> None:
    task = tiny(name)
    words = list(task.vocabulary)
    assert len(set(words)) == len(words)
    assert all(word.isprintable() and word for word in words)
    seen = np.unique(np.concatenate([task.sample(stream, MANY).tokens for stream in (TRAIN, TEST)]))
    assert seen[0] >= 0
    assert seen[-1] < len(words)
    assert task.separator in seen
    assert len(seen) <= task.used_tokens <= len(words)


@every_task
def test_text_and_tokens_round_trip(name: str) -> None:
    task = tiny(name)
    instances = task.sample(TEST, MANY[:20])
    for i in range(20):
        np.testing.assert_array_equal(task.parse(task.text(instances[i])), instances[i])
    strange = np.array([-1, len(task.vocabulary), 2**31 - 1], np.int32)
    assert task.parse(task.text(strange)).tolist() == [-1, -1, -1]
    assert task.text(np.array([], np.int32)) == ""
    assert len(task.parse("")) == 0


@every_task
def test_axes_name_knobs_and_the_harder_value_is_longer_or_takes_more_steps(name: str) -> None:
    task = tiny(name)
    knobs = type(task.config).model_fields
    assert task.axes
    for axis in task.axes:
        assert axis.knob in knobs
        if axis.harder is not None:
            easy, hard = (effort(make(name, **{axis.knob: value})) for value in axis.harder)
            assert hard[0] > easy[0] or hard[1] > easy[1], f"{axis.knob}: {axis.harder} gives {easy}, then {hard}"


def effort(task: Task[Any]) -> tuple[float, float]:
    """Mean tokens of an instance, mean operations of an answer (0 where they aren't counted)."""
    instances = task.sample(TEST, MANY)
    verdicts = [task.verify(t, task.completion(instances, i)) for i, t in enumerate(instances.truth)]
    steps = [verdict.counts.get("operations", 0.0) for verdict in verdicts] or [0.0]
    return float(instances.lengths.mean()), float(np.mean(steps))


@every_task
def test_every_knob_is_described(name: str) -> None:
    for knob, field in registry[name].config_type.model_fields.items():
        assert knob == "type" or field.description, f"{knob} has no description"


@every_task
def test_the_axes_span_amount_type_difficulty_and_format(name: str) -> None:
    """Most tasks have all four; none has fewer than three, or its difficulty can't be told from its amount."""
    assert len({axis.kind for axis in tiny(name).axes}) >= 3


@every_task
def test_evaluations_change_the_difficulty_not_the_vocabulary(name: str) -> None:
    task = tiny(name)
    for overrides in task.evaluations.values():
        harder = tiny(name, **overrides)
        assert harder.config != task.config
        assert list(harder.vocabulary) == list(task.vocabulary)
        assert harder.max_length <= task.max_length


def examples() -> Iterator[Any]:
    for name, cls in registry.items():
        rows = re.findall(
            r"^    (config|text|loss|\w+) +(.+)$", sys.modules[cls.__module__].__doc__ or "", re.MULTILINE
        )
        if rows and rows[0][0] == "config":
            joined: dict[str, str] = {}  # long samples take several lines
            for row, words in rows:
                joined[row] = f"{joined[row]} {words}" if row in joined else words
            yield pytest.param(name, joined, id=name)


@pytest.mark.parametrize(("name", "rows"), list(examples()))
def test_the_worked_example_is_a_real_sample(name: str, rows: dict[str, str]) -> None:
    knobs = {}
    for setting in rows.pop("config").split():
        knob, _, value = setting.partition("=")
        knobs[knob] = json.loads(value) if re.match(r"[\d\[{]|(true|false)$", value) else value
    task = make(name, **knobs)
    words = re.split(r"\s{4,}", rows.pop("text").strip())[0].split()
    tokens = task.parse(" ".join(words))
    instances = task.sample(Stream(), np.arange(2000))
    place = next(i for i in range(2000) if np.array_equal(instances[i], tokens))
    _, loss, labels = content(instances, place)
    shown = {label: [int(x) for x in row.split()[: len(words)]] for label, row in rows.items() if label in labels}
    assert [bool(int(x)) for x in rows["loss"].split()[: len(words)]] == loss
    assert shown == {label: labels[label] for label in shown}
    assert shown


# -- sampling ----------------------------------------------------------------------------------------------------------


@every_task
@settings(max_examples=15)
@given(indices=st.lists(st.integers(0, 2**40), min_size=1, max_size=6), stream=st.sampled_from([TRAIN, TEST]))
def test_an_instance_depends_on_its_stream_and_index_alone(name: str, indices: list[int], stream: Stream) -> None:
    batch = tiny(name).sample(stream, np.array(indices))
    for i, index in enumerate(indices):
        alone = tiny(name).sample(stream, np.array([index]))
        assert content(batch, i) == content(alone, 0)
        assert same(batch.truth[i], alone.truth[0]) if len(batch.truth) else len(alone.truth) == 0


@every_task
def test_a_batch_may_be_empty(name: str) -> None:
    instances = tiny(name).sample(TRAIN, np.array([], np.int64))
    assert (len(instances), len(instances.tokens), len(instances.loss), len(instances.truth)) == (0, 0, 0, 0)
    assert instances.offsets.tolist() == [0]


@every_task
def test_streams_and_worlds_differ(name: str) -> None:
    streams = [Stream("train", 0), Stream("train", 1), Stream("test", 0), Stream("test", 1)]
    drawn = [tiny(name).sample(stream, MANY).tokens.tobytes() for stream in streams]
    drawn.append(tiny(name, seed=1).sample(streams[0], MANY).tokens.tobytes())
    assert len(set(drawn)) == len(drawn)


@every_task
def test_masks_labels_and_truths_align_with_the_tokens(name: str) -> None:
    task = tiny(name)
    instances = task.sample(TRAIN, MANY)
    total = len(instances.tokens)
    dtypes = [array.dtype.name for array in (instances.tokens, instances.offsets, instances.loss)]
    assert dtypes == ["int32", "int64", "bool"]
    assert instances.offsets[0] == 0
    assert instances.offsets[-1] == total == len(instances.loss)
    assert len(instances) == len(MANY)
    assert 1 < instances.lengths.min() <= instances.lengths.max() <= task.max_length
    assert (instances.tokens[instances.offsets[:-1]] == task.separator).all()
    assert (np.add.reduceat(instances.loss, instances.offsets[:-1]) > 0).all()
    assert len(instances.truth) in (0, len(MANY))
    for label, row in instances.labels.items():
        assert (row.dtype.name, len(row)) == ("int32", total), label
        assert row.min() >= -1


@every_task
def test_questions_are_about_beginnings_of_instances_and_the_same_in_any_batch(name: str) -> None:
    task = tiny(name)
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


@every_task
def test_probe_targets_are_labels_of_so_many_classes(name: str) -> None:
    task = tiny(name)
    labels = task.sample(TRAIN, MANY).labels
    for target, classes in task.probe_targets.items():
        seen = np.unique(labels[target][labels[target] >= 0])
        assert 2 <= len(seen) <= classes, target
        assert seen[-1] < classes, target


@pytest.mark.parametrize("name", PARAPHRASING)
def test_paraphrases_are_other_texts_with_the_same_answers(name: str) -> None:
    task = tiny(name)
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
        for i, truth in enumerate(other.truth):
            assert task.verify(truth, task.completion(other, i)).correct
        if "person" in original.labels:
            people = [x.labels["person"][x.offsets[:-1]] for x in (original, other)]
            np.testing.assert_array_equal(*people)


@pytest.mark.parametrize("name", [name for name in TASKS if name not in PARAPHRASING])
def test_a_task_of_one_wording_says_so(name: str) -> None:
    with pytest.raises(UserError, match="no paraphrases"):
        tiny(name).paraphrase(TEST, MANY, 0)


@every_task
def test_what_is_worth_knowing_has_the_same_facts_and_vocabulary(name: str) -> None:
    task = tiny(name)
    assert list(task.without_distractors.vocabulary) == list(task.vocabulary)
    assert task.without_distractors.max_length <= task.max_length
    for fact, array in task.without_distractors.facts().items():
        np.testing.assert_array_equal(array, task.facts()[fact])


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SILENT)
def test_a_task_without_questions_says_so(name: str) -> None:
    task = tiny(name)
    instances = task.sample(TEST, MANY[:1])
    assert task.chance is None
    for ask in (lambda: task.prompt(instances, 0), lambda: task.verify(None, instances[0])):
        with pytest.raises(UserError, match="asks no questions"):
            ask()


@every_question
def test_every_truth_verifies(name: str) -> None:
    task = tiny(name)
    for stream in (TRAIN, TEST):
        instances = task.sample(stream, MANY)
        for i, truth in enumerate(instances.truth):
            prompt = task.prompt(instances, i)
            np.testing.assert_array_equal(prompt, instances[i][: len(prompt)])
            verdict = task.verify(truth, task.completion(instances, i))
            assert verdict.correct, verdict.reason
            assert verdict.reason == ""


@every_question
def test_every_corrupted_answer_fails_with_a_reason(name: str) -> None:
    task = tiny(name)
    instances = task.sample(TEST, MANY[:40])
    for i, truth in enumerate(instances.truth):
        right = task.completion(instances, i)
        for wrong in corruptions(right, len(task.vocabulary), unique=task.floor() == 0):
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


@every_question
@settings(max_examples=60)
@given(data=st.data())
def test_verify_never_raises(name: str, data: st.DataObject) -> None:
    task = tiny(name)
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
    task = tiny(name)
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


@every_task
@settings(max_examples=40)
@given(text=st.text(max_size=300))
def test_any_text_is_parsed(name: str, text: str) -> None:
    task = tiny(name)
    tokens = task.parse(text)
    assert (tokens.dtype, tokens.ndim) == (np.int32, 1)
    assert ((tokens >= -1) & (tokens < len(task.vocabulary))).all()


@every_question
def test_verify_bears_megabytes(name: str) -> None:
    task = tiny(name)
    instances = task.sample(TEST, MANY[:1])
    right = task.completion(instances, 0)
    random = np.random.default_rng(0).integers(0, len(task.vocabulary), 2**18, dtype=np.int32)
    foreign = np.random.default_rng(0).integers(-(2**31), 2**31, 2**18, dtype=np.int32)
    words = task.parse("word " * 2**18)
    for huge in (random, np.tile(right, 2**18 // len(right)), np.concatenate([right, random]), foreign, words):
        verdict = task.verify(instances.truth[0], huge)
        assert not verdict.correct
        assert len(verdict.reason) < 1000


@every_question
def test_no_fixed_answer_beats_chance(name: str) -> None:
    task = tiny(name)
    if task.chance is None:
        return
    assert 0 <= task.chance < 1
    indices = np.arange(1000)
    train, test = task.sample(TRAIN, indices), task.sample(TEST, indices)
    frequent = Counter(tuple(task.completion(train, i).tolist()) for i in range(1000)).most_common(1)[0][0]
    right = np.mean([task.verify(truth, np.array(frequent, np.int32)).correct for truth in test.truth])
    assert right <= task.chance + 4 * sqrt((task.chance + 1e-3) / len(indices))


@pytest.mark.parametrize("name", SURPRISED)
def test_the_floor_is_the_mean_surprisal(name: str) -> None:
    task = tiny(name)
    surprisal = task.surprisal(task.sample(TEST, np.arange(4000)))
    floor = task.floor()
    assert surprisal is not None
    assert floor is not None
    assert surprisal.min() >= 0
    assert surprisal.mean() == pytest.approx(floor, rel=1e-9, abs=5 * surprisal.std() / sqrt(len(surprisal)) + 1e-9)


@every_task
def test_counterfactual_prompts_differ_in_the_carrier_alone_and_in_their_answers(name: str) -> None:
    task = tiny(name)
    if type(task).counterfactuals is Task.counterfactuals:
        with pytest.raises(UserError, match=f"{name} has no pairs of prompts"):
            task.counterfactuals(TEST, MANY)
        return
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
