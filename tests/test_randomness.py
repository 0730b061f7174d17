"""Counter-based draws: known answers, independence of batches, uniformity."""

from __future__ import annotations

from itertools import pairwise
from math import factorial

import numpy as np
import pytest

from physlm import randomness


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known-answer vectors that Random123 publishes for philox4x32-10
        ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_answers(counter: list[int], key: list[int], expected: list[int]) -> None:
    words = randomness.philox(*(np.uint64(x) for x in counter + key))
    assert [int(w) for w in words] == expected


def test_words_and_sequences_agree() -> None:
    key = randomness.key("test", 1)
    table = randomness.words(key, np.array([7, 10**12]), 11)
    for row, index in zip(table, (7, 10**12), strict=True):
        state = randomness.start(np.uint64(key), index)
        assert [int(randomness.bits(state)) for _ in range(11)] == row.tolist()


def test_below_is_uniform() -> None:
    state = randomness.start(np.uint64(randomness.key("below")), 0)
    counts = np.bincount([randomness.below(state, 7) for _ in range(14_000)], minlength=7)
    assert ((counts - 2000) ** 2 / 2000).sum() < 30  # chi-square, 6 degrees of freedom: 1 in 25,000


def test_uniform_fills_the_unit_interval() -> None:
    state = randomness.start(np.uint64(randomness.key("uniform")), 0)
    draws = np.array([randomness.uniform(state) for _ in range(10_000)])
    assert 0 <= draws.min() < 0.001
    assert 0.999 < draws.max() < 1
    assert abs(draws.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 10_000)


def test_permutations_differ_by_epoch_and_are_whole() -> None:
    first, second = (randomness.permutation(5, epoch, 1000) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(1000))
    assert (first != second).any()


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100, 12_345])
def test_places_are_a_shuffle_for_each_epoch(n: int) -> None:
    key, everything = randomness.key("places", n), np.arange(n)
    shuffles = [randomness.places(key, np.full(n, epoch), n, everything) for epoch in range(20)]
    assert all(sorted(shuffle) == list(range(n)) for shuffle in shuffles)
    if n >= 100:
        assert len({shuffle.tobytes() for shuffle in shuffles}) == 20
        assert np.mean([(a == b).mean() for a, b in pairwise(shuffles)]) < 5 / n
    large = randomness.places(key, np.zeros(3, np.int64), 2**61, np.array([0, 1, 2**61 - 1]))
    assert len(set(large.tolist())) == 3
    assert 0 <= large.min() <= large.max() < 2**61


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_all_shuffles_of_a_few_are_about_as_likely(n: int) -> None:
    draws = 200 * factorial(n)
    table = np.stack([randomness.places(9, np.arange(draws), n, np.full(draws, i)) for i in range(n)], axis=1)
    _, counts = np.unique(table, axis=0, return_counts=True)
    assert len(counts) == factorial(n)
    freedom = factorial(n) - 1
    assert ((counts - 200) ** 2 / 200).sum() < freedom + 5 * (2 * freedom) ** 0.5


def test_places_of_neighbours_are_independent() -> None:
    n, epochs = 50, np.arange(100_000)
    a, b = (randomness.places(3, epochs, n, np.full_like(epochs, i)) for i in (10, 11))
    pairs = np.bincount(a * n + b, minlength=n * n).reshape(n, n)
    expected = len(epochs) / (n * (n - 1))
    assert np.diag(pairs).sum() == 0
    off = pairs[~np.eye(n, dtype=bool)]
    assert ((off - expected) ** 2 / expected).sum() < 2449 + 5 * (2 * 2449) ** 0.5


def test_keys_tell_purposes_apart() -> None:
    keys = {randomness.key("a", 1), randomness.key("a", 2), randomness.key("b", 1), randomness.key("a", "1")}
    assert len(keys) == 4
