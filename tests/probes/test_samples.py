"""What probes are trained on and how they are scored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physlm import standard_errors
from physlm.measures.measure import Member
from physlm.probes import controls, scores
from physlm.probes.linear import Linear
from physlm.probes.samples import sample, split
from physlm.tasks.biod import Biod, BiodConfig
from physlm.tasks.cfg import Cfg, CfgConfig
from physlm.tasks.task import Stream


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 6))
def test_shuffled_labels_are_the_same_labels_at_the_same_places(key: int, rows: int, columns: int) -> None:
    labels = np.random.default_rng(key).integers(-1, 3, (rows, columns)).astype(np.int32)
    found = controls.shuffled(labels, key)
    np.testing.assert_array_equal(found < 0, labels < 0)
    np.testing.assert_array_equal(np.sort(found, 0), np.sort(labels, 0))


def test_shuffled_labels_know_nothing_of_the_true_ones() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (4000, 3)).astype(np.int32)
    assert abs((controls.shuffled(labels, 7) == labels).mean() - 0.5) < 0.03


def test_control_classes_are_a_function_of_the_last_tokens_with_the_labels_frequencies() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, 3, (300, 40))
    types = controls.types(tokens, np.broadcast_to(np.arange(40), tokens.shape))
    assert 500 <= len(np.unique(types)) < 1500  # 3⁶ = 729, and the beginnings
    by_type: dict[int, set[tuple[int, ...]]] = {}
    for row, column in np.ndindex(*tokens.shape):
        if column >= 5:
            by_type.setdefault(int(types[row, column]), set()).add(tuple(tokens[row, column - 5 : column + 1].tolist()))
    assert all(len(found) == 1 for found in by_type.values())
    labels = (generator.random(tokens.shape) < 0.2).astype(np.int32)
    found = controls.control(labels, types, 3)
    assert len({(t, c) for t, c in zip(types.ravel().tolist(), found.ravel().tolist(), strict=True)}) == len(
        np.unique(types)
    )
    assert found.mean() == pytest.approx(0.2, abs=0.05)


def test_rows_are_instances_and_a_clusters_rows_are_never_split() -> None:
    class Persons(Biod):
        clusters = "person"

    task = Persons(BiodConfig(people=40))
    drawn = sample([Member(task, 3, task.max_length, 1)], {"part": 4}, count=120)
    assert len(np.unique(drawn.cluster)) == 40
    for person in range(40):
        assert len(np.unique(drawn.test[drawn.cluster == person])) == 1
    assert 0.15 < drawn.test.mean() < 0.55
    instances = task.sample(Stream("test", 3), np.arange(120))
    np.testing.assert_array_equal(drawn.tokens[0, 5], instances[5])
    assert "person" not in Linear.targets(task)


def test_more_instances_leave_the_split_of_the_first_as_it_is() -> None:
    task = Cfg(CfgConfig())
    member = Member(task, 1, task.max_length, 1)
    few, many = (split(member, task.sample(Stream("test", 1), np.arange(n)))[1] for n in (50, 200))
    np.testing.assert_array_equal(few, many[:50])


def test_labels_are_read_at_ends_only_where_asked() -> None:
    task = Cfg(CfgConfig())
    drawn = sample([Member(task, 0, task.max_length, 1)], {"symbol_3": 3, "boundary_3": 2}, task.probe_ends, 50)
    symbol, boundary = drawn.labels[0, 0]
    np.testing.assert_array_equal(symbol >= 0, boundary == 1)
    majority = np.bincount(symbol[~drawn.test[0]][symbol[~drawn.test[0]] >= 0]).argmax()
    tested = symbol[drawn.test[0]]
    held = drawn.test[0][:, None].repeat(symbol.shape[1], 1)
    assert scores.majority(symbol, held) == pytest.approx((tested[tested >= 0] == majority).mean())


def test_the_standard_error_is_that_of_clusters() -> None:
    """Of 400 coins tossed once and written down five times it is the error of 400 tosses, not of 2,000."""
    coins = np.random.default_rng(0).integers(0, 2, 400).astype(float)
    cluster = np.repeat(np.arange(400), 5)
    order = np.random.default_rng(1).permutation(2000)
    mean, error, n = standard_errors.clustered_means(np.repeat(coins, 5)[order], cluster[order])
    assert n == 400
    assert float(mean) == pytest.approx(coins.mean())
    assert float(error) == pytest.approx(coins.std(ddof=1) / np.sqrt(400))
