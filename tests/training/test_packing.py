"""Packing keeps every instance whole, once and in order, however the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physlm.tasks.biod import Biod, BiodConfig
from physlm.tasks.task import Instances, Stream
from physlm.training.packing import Packer, StreamSource, pack

SEPARATOR = 0


def instances_of(lengths: list[int]) -> Instances:
    """Instances whose tokens are their own number plus one."""
    tokens = np.repeat(np.arange(1, len(lengths) + 1), lengths).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Instances(tokens, offsets, np.ones(len(tokens), np.bool_))


@given(st.lists(st.integers(1, 10), min_size=1, max_size=60), st.integers(10, 25))
def test_every_instance_is_whole_once_and_in_order(lengths: list[int], context: int) -> None:
    windows, packed = pack(instances_of(lengths), context, SEPARATOR)
    assert packed == len(lengths)
    shown = windows.tokens[windows.source >= 0]
    assert shown.tolist() == np.repeat(np.arange(1, len(lengths) + 1), lengths).tolist()
    for window in windows.tokens:
        for instance in set(window.tolist()) - {SEPARATOR}:
            assert (window == instance).sum() == lengths[instance - 1]


@given(st.lists(st.integers(1, 10), min_size=1, max_size=60), st.integers(10, 25))
def test_no_window_could_have_held_the_next_instance(lengths: list[int], context: int) -> None:
    windows, _ = pack(instances_of(lengths), context, SEPARATOR)
    for this, following in zip(windows.tokens[:-1], windows.tokens[1:], strict=True):
        filled = int((this != SEPARATOR).sum())
        assert filled + lengths[following[0] - 1] > context


def test_filling_and_first_tokens_are_not_predicted() -> None:
    windows, _ = pack(instances_of([4, 4, 4]), 10, SEPARATOR)
    assert windows.loss.tolist() == [[False] + [True] * 7 + [False] * 2, [False] + [True] * 3 + [False] * 6]
    assert windows.predicted == 10
    assert windows.shown == 12


def test_an_instance_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="11 tokens doesn't fit a window of 10"):
        pack(instances_of([3, 11]), 10, SEPARATOR)


@pytest.mark.parametrize("context", [12, 30, 64])
def test_stopping_and_going_on_changes_nothing(context: int) -> None:
    task = Biod(BiodConfig(people=50))
    whole = Packer(StreamSource(task, Stream("train", 3), stop=500), context, task.separator)
    expected = [whole.next(7).tokens for _ in range(30)]
    cursor, seen = 0, []
    for _ in range(30):
        windows = Packer(StreamSource(task, Stream("train", 3), cursor, 500), context, task.separator).next(7)
        seen.append(windows.tokens)
        cursor += windows.instances
    assert all((a == b).all() for a, b in zip(expected, seen, strict=True))


def test_a_budget_ends_exactly() -> None:
    task = Biod(BiodConfig(people=50))
    packer = Packer(StreamSource(task, Stream("train", 0), stop=150), 30, task.separator)
    batches = [packer.next(8) for _ in range(20)]
    assert sum(windows.instances for windows in batches) == 150
    assert sum(windows.shown for windows in batches) == 150 * task.max_length
    assert packer.next(8).predicted == 0
