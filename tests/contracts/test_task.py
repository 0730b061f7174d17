"""What every task must do, whatever it is: a new file in physlm.tasks is tested here by being there."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physlm.errors import UserError
from physlm.tasks import (
    Asks,
    Instances,
    Stream,
    Task,
    build,
    from_preset,
    registry,
    require,
    supports,
    unsupported_reason,
)
from physlm.tasks.capabilities import CAPABILITIES

Tokens = NDArray[np.int32]
TRAIN, TEST = Stream("train", 3), Stream("test", 3)
MANY = np.arange(300)


def make(name: str, **knobs: Any) -> Task[Any]:
    cls = registry[name]
    return cls(cls.config_type.model_validate(knobs))


def tiny(name: str, **knobs: Any) -> Task[Any]:
    return from_preset(name, "tiny", **knobs)


every_task = pytest.mark.parametrize("name", list(registry))


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
    assert set(task.presets) > {"tiny"}, f"{name}: beside the preset `tiny` there must be one of published size"
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
    assert len(seen) <= task.used_tokens <= len(words), (
        f"{name}: used_tokens is {task.used_tokens}; {len(seen)} distinct tokens were seen, of {len(words)} words"
    )


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


@pytest.mark.slow
@every_task
def test_axes_name_knobs_and_the_harder_value_is_longer_or_takes_more_steps(name: str) -> None:
    task = tiny(name)
    knobs = type(task.config).model_fields
    for axis in task.axes:
        assert axis.knob in knobs, f"{name}: the axis {axis.knob} is none of the knobs {', '.join(knobs)}"
        if axis.harder is not None:
            easy, hard = (effort(make(name, **{axis.knob: value})) for value in axis.harder)
            assert hard[0] > easy[0] or hard[1] > easy[1], f"{axis.knob}: {axis.harder} gives {easy}, then {hard}"


def effort(task: Task[Any]) -> tuple[float, float]:
    """Mean tokens of an instance, mean operations of an answer (0 where they aren't counted)."""
    instances = task.sample(TEST, MANY)
    steps = [0.0]
    if supports(task, Asks):
        verdicts = [task.verify(t, task.completion(instances, i)) for i, t in enumerate(instances.truth)]
        steps = [verdict.counts.get("operations", 0.0) for verdict in verdicts]
    return float(instances.lengths.mean()), float(np.mean(steps))


@every_task
def test_every_knob_is_described(name: str) -> None:
    for knob, field in registry[name].config_type.model_fields.items():
        assert knob == "type" or field.description, f"{knob} has no description"


@every_task
def test_the_axes_span_amount_type_difficulty_and_format(name: str) -> None:
    """Most tasks have all four; none has fewer than three, or its difficulty can't be told from its amount."""
    kinds = {axis.kind for axis in tiny(name).axes}
    assert len(kinds) >= 3, (
        f"{name}: its axes are of the kinds {', '.join(sorted(kinds)) or 'none'}; name knobs of three or more of "
        "amount, type, difficulty and format"
    )


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


@pytest.mark.slow
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
    assert 1 < instances.lengths.min() <= instances.lengths.max() <= task.max_length, (
        f"{name}: instances have {instances.lengths.min()} to {instances.lengths.max()} tokens; they must have 2 or "
        f"more and at most max_length, {task.max_length}"
    )
    assert (instances.tokens[instances.offsets[:-1]] == task.separator).all(), (
        f"{name}: every instance must begin with the separator, token {task.separator}"
    )
    assert (np.add.reduceat(instances.loss, instances.offsets[:-1]) > 0).all(), (
        f"{name}: an instance has no token that is trained on"
    )
    assert len(instances.truth) in (0, len(MANY))
    for label, row in instances.labels.items():
        assert (row.dtype.name, len(row)) == ("int32", total), label
        assert row.min() >= -1


@every_task
def test_what_it_can_do_is_declared(name: str) -> None:
    """Whoever has a method of a capability inherits from the capability: else nobody would call it."""
    cls = registry[name]
    for capability in CAPABILITIES:
        if issubclass(cls, capability):
            continue
        own = {member for member in vars(capability) if not member.startswith("_")} - {*vars(Task), "absence"}
        defined = sorted(member for member in own if hasattr(cls, member))
        assert not defined, (
            f"{name}: {cls.__name__} defines {', '.join(defined)} but doesn't inherit from {capability.__name__}, so "
            f"it counts as a task that {capability.absence}; write class {cls.__name__}({capability.__name__}"
            f"[{cls.config_type.__name__}], ...)"
        )


@every_task
def test_all_is_trained_on_where_nothing_is_asked(name: str) -> None:
    task = tiny(name)
    if supports(task, Asks):
        return
    instances = task.sample(TRAIN, MANY)
    trained = instances.loss.copy()
    trained[instances.offsets[:-1]] = True  # the separator may go untrained
    left_out = int(np.argmin(trained))
    i = int(np.searchsorted(instances.offsets, left_out, side="right")) - 1
    assert trained.all(), (
        f"{name}: the loss mask leaves out token {left_out - int(instances.offsets[i])} of instance {i}, though "
        "nothing is asked; train on every token behind the separator, or inherit from Asks and make it a prompt"
    )


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda capability: capability.__name__)
@every_task
def test_a_task_without_a_capability_says_so(name: str, capability: type[Task[Any]]) -> None:
    task = tiny(name)
    if reason := unsupported_reason(task, capability):
        assert re.fullmatch(r"\w+:? .+", reason)
        assert reason.startswith(name), f"the reason must begin with the task's name, {name}, got {reason!r}"
        with pytest.raises(UserError, match=re.escape(reason)):
            require(task, capability)
    else:
        assert require(task, capability) is task


@every_task
@settings(max_examples=40)
@given(text=st.text(max_size=300))
def test_any_text_is_parsed(name: str, text: str) -> None:
    task = tiny(name)
    tokens = task.parse(text)
    assert (tokens.dtype, tokens.ndim) == (np.int32, 1)
    assert ((tokens >= -1) & (tokens < len(task.vocabulary))).all()
