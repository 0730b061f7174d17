"""Sizes and names of the graphs of Depo and Brevo."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from physlm.randomness import start
from physlm.tasks.brevo import BrevoConfig
from physlm.tasks.depo import DepoConfig
from physlm.tasks.vertices import draw_names, size_probabilities, sizes, sizes_at, split_names


def names(seed: int, n: int, shortest: int, longest: int, symbols: int) -> list[tuple[int, ...]]:
    """n names with tokens from 10 on."""
    rows, lengths = np.empty((n, longest), np.int64), np.empty(n, np.int64)
    places, seen = np.empty(n, np.int64), np.empty(4 * n, np.int64)
    draw_names(start(np.uint64(seed), 0), n, shortest, longest, symbols, 10, rows, lengths, places, seen)
    return [tuple(row[:length].tolist()) for row, length in zip(rows, lengths, strict=True)]


def test_sizes_follow_the_papers_law() -> None:
    p = size_probabilities(225)
    assert p.sum() == pytest.approx(1)
    assert p[0] / p[-1] == pytest.approx((15 + 225) / (15 + 3))
    n = sizes(DepoConfig(vertices=9), 1, np.arange(40_000))
    counts = np.bincount(n, minlength=10)
    assert counts[:3].sum() == 0
    expected = 1 / (3 + np.arange(3, 10))
    assert counts[3:] / 40_000 == pytest.approx(expected / expected.sum(), abs=0.01)


def test_quantiles_of_sizes_cover_all_of_them() -> None:
    config = BrevoConfig(vertices=9, name_symbols=9)
    n = sizes_at(config, np.linspace(0, 1, 10_000, endpoint=False))
    assert np.bincount(n, minlength=10)[3:] / 10_000 == pytest.approx(size_probabilities(9), abs=2e-4)
    assert sizes_at(config, np.array([0, 1 - 2**-32])).tolist() == [3, 9]
    assert sizes(config.model_copy(update={"exact": True}), 1, np.arange(3)).tolist() == [9, 9, 9]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "shortest", "longest", "symbols"), [(30, 1, 1, 30), (375, 1, 2, 50), (84, 1, 3, 4)])
def test_names_are_distinct_even_when_all_are_needed(n: int, shortest: int, longest: int, symbols: int) -> None:
    drawn = names(3, n, shortest, longest, symbols)
    assert len(set(drawn)) == n
    last = 10 + symbols if longest > 1 else 10
    for name in drawn:
        assert shortest <= len(name) <= longest
        assert all(10 <= token < 10 + symbols for token in name[:-1])
        assert last <= name[-1] < last + symbols


@pytest.mark.slow
def test_lengths_and_tokens_of_names_are_uniform() -> None:
    drawn = [name for seed in range(300) for name in names(seed, 20, 5, 7, 4)]
    lengths = np.bincount([len(name) for name in drawn], minlength=8)[5:] / len(drawn)
    assert lengths == pytest.approx([1 / 3] * 3, abs=0.02)
    first = np.bincount([name[0] for name in drawn])[10:] / len(drawn)
    assert first == pytest.approx([1 / 4] * 4, abs=0.02)


def test_no_vertex_is_likelier_to_have_a_short_name() -> None:
    # 4 of the 20 names have one token in each draw at most: drawn in order they would be the first ones
    short = np.mean([[len(name) == 1 for name in names(seed, 20, 1, 2, 4)] for seed in range(4000)], axis=0)
    assert short == pytest.approx(short.mean(), abs=4 * np.sqrt(short.mean() / 4000))


def test_tokens_split_into_names_and_what_is_left() -> None:
    assert split_names([1, 9, 9, 2, 3, 9, 5], 9, 10) == ([(1, 9), (9,), (2, 3, 9)], (5,))
    assert split_names([], 9, 10) == ([], ())


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"vertices": 2}, "greater than or equal to 3"),
        ({"vertices": 33}, "33 vertices need distinct names, but name_tokens .1, 1. and name_symbols 32 give only 32"),
        ({"name_tokens": (2, 1)}, "two numbers from 1 to 16, the smaller first, got .2, 1."),
        ({"name_tokens": (1, 16), "name_symbols": 50}, "names of up to 16 tokens must be below 13"),
    ],
)
def test_impossible_names_are_refused_in_a_sentence(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DepoConfig.model_validate(knobs)


def test_the_largest_name_space_that_is_allowed_works() -> None:
    assert len(set(names(1, 50, 16, 16, 13))) == 50
    DepoConfig(name_tokens=(1, 16), name_symbols=13)
