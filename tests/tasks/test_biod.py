"""The language bioD: its facts, its exposures and its counts."""

from __future__ import annotations

from math import log, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from physlm.tasks.biod import NAME, VALUE, Biod, BiodConfig
from physlm.tasks.contract import Stream

configs = st.builds(
    lambda n, k, c, length, t, d, name, seed: BiodConfig(
        people=min(n, t**name),
        attributes=k,
        chunks=c,
        chunk_length=length,
        vocabulary=t,
        diversity=min(d, t**length),
        name_length=name,
        seed=seed,
    ),
    st.integers(2, 60),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(2, 40),
    st.integers(1, 50),
    st.integers(1, 4),
    st.integers(0, 5),
)


@given(configs)
@settings(max_examples=60, deadline=None)
def test_every_exposure_shows_each_person_once_with_its_facts(config: BiodConfig) -> None:
    task = Biod(config)
    names, values = task.facts()["names"], task.facts()["values"]
    assert len(np.unique(names, axis=0)) == config.people
    n = config.people
    sample = task.sample(Stream("train", 1), np.arange(2 * n))
    tokens = sample.tokens.reshape(2 * n, -1)
    person = sample.labels["person"].reshape(2 * n, -1)[:, 0]
    part = sample.labels["part"].reshape(2 * n, -1)
    assert sorted(person[:n]) == list(range(n)) == sorted(person[n:])
    for row, who, kinds in zip(tokens, person, part, strict=True):
        assert (row[kinds == NAME] - 1 == names[who]).all()
        sentences = row[1 + config.name_length :].reshape(config.attributes, -1)
        keys = sentences[:, 0] - 1 - config.vocabulary
        assert sorted(keys) == list(range(config.attributes))
        assert (sentences[:, 1:] - 1 == values[who, keys]).all()
        assert (kinds == VALUE).sum() == config.attributes * config.value_length
    assert tokens.max() < len(task.vocabulary)
    assert task.used_tokens == len(np.unique(tokens))


@given(configs, st.lists(st.integers(0, 500), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_an_instance_depends_on_its_place_alone(config: BiodConfig, places: list[int]) -> None:
    task = Biod(config)
    together = task.sample(Stream("train", 0), np.array(places))
    for i, place in enumerate(places):
        assert (together[i] == Biod(config).sample(Stream("train", 0), np.array([place]))[0]).all()


@given(configs)
@settings(max_examples=40, deadline=None)
def test_values_come_from_the_diversity_sets(config: BiodConfig) -> None:
    values = Biod(config).facts()["values"].reshape(config.people, config.attributes, config.chunks, -1)
    for k in range(config.attributes):
        assert len(np.unique(values[:, k].reshape(-1, config.chunk_length), axis=0)) <= config.diversity


def test_orders_are_drawn_anew_at_each_exposure_and_uniform() -> None:
    task = Biod(BiodConfig(people=500, attributes=3))
    sample = task.sample(Stream("train", 0), np.arange(6000))
    keys = sample.tokens.reshape(6000, -1)[:, [4, 6, 8]]
    _, counts = np.unique(keys, axis=0, return_counts=True)
    assert len(counts) == 6
    # chi-square with 5 degrees of freedom: 25 is exceeded once in 7,000 honest worlds
    assert ((counts - 1000) ** 2 / 1000).sum() < 25


def test_neighbours_in_the_stream_are_shuffled() -> None:
    task = Biod(BiodConfig(people=100))
    sample = task.sample(Stream("train", 0), np.arange(300))
    person = sample.labels["person"].reshape(300, -1)[:, 0].reshape(3, 100)
    assert (person[0] != person[1]).mean() > 0.9
    other = task.sample(Stream("train", 1), np.arange(100)).labels["person"].reshape(100, -1)[:, 0]
    assert (person[0] != other).mean() > 0.9


def test_the_worlds_information_is_the_papers_formula() -> None:
    task = Biod(BiodConfig(people=100, attributes=2, chunks=3, diversity=10, chunk_length=2, vocabulary=8))
    expected = 100 * log2(8**3 / 100) + 100 * 2 * 3 * log2(10) + 2 * 10 * log2(8**2 / 10)
    assert task.bits_max == pytest.approx(expected)
    assert task.floor() == pytest.approx(log(100) + log(2))


def test_too_few_strings_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"600 persons need distinct names, but .* give only 512"):
        BiodConfig(people=600, vocabulary=8)
    with pytest.raises(ValidationError, match=r"10 distinct strings are asked for, but .* give only 8"):
        BiodConfig(people=10, vocabulary=8, diversity=10)


def test_text_reads_back() -> None:
    task = Biod(BiodConfig(people=10))
    tokens = task.sample(Stream(), np.arange(1))[0]
    assert (task.parse(task.text(tokens)) == tokens).all()
