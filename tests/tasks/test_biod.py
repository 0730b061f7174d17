"""The language bioD: its facts, its exposures and its counts."""

from __future__ import annotations

import hashlib
from math import log, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from physlm.tasks.biod import NAME, VALUE, Biod, BiodConfig
from physlm.tasks.task import Stream

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
@settings(max_examples=60)
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


@pytest.mark.slow
@given(configs, st.lists(st.integers(0, 500), min_size=1, max_size=20))
@settings(max_examples=30)
def test_an_instance_depends_on_its_place_alone(config: BiodConfig, places: list[int]) -> None:
    task = Biod(config)
    together = task.sample(Stream("train", 0), np.array(places))
    for i, place in enumerate(places):
        assert (together[i] == Biod(config).sample(Stream("train", 0), np.array([place]))[0]).all()


@given(configs)
@settings(max_examples=40)
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


JUNK = {"people": 40, "attributes": 3, "vocabulary": 9, "diversity": 5, "junk_people": 360, "junk_fraction": 0.75}


@pytest.mark.parametrize("tag", [False, True])
def test_an_exposure_shows_each_person_once_and_its_share_of_junk(tag: bool) -> None:
    task = Biod(BiodConfig(**JUNK, tag=tag))
    plain = Biod(BiodConfig(people=40, attributes=3, vocabulary=9, diversity=5))
    assert task.population == 160
    for fact, array in task.facts().items():
        np.testing.assert_array_equal(array, plain.facts()[fact])
    useful = {tuple(name) for name in task.facts()["names"].tolist()}
    sets = [{tuple(v) for v in task.facts()["values"][:, k].tolist()} for k in range(3)]
    names, values = [], []
    for exposure in range(10):
        sample = task.sample(Stream("train", 2), exposure * 160 + np.arange(160))
        person = sample.labels["person"][sample.offsets[:-1]]
        assert sorted(person[person >= 0]) == list(range(40))
        for i in np.flatnonzero(person < 0):
            row = slice(*sample.offsets[i : i + 2])
            names.append(tuple((sample.tokens[row][sample.labels["part"][row] == NAME] - 1).tolist()))
            values.append(sample.tokens[row][sample.labels["part"][row] == VALUE] - 1)
        tagged = sample.tokens[sample.offsets[:-1] + 1] == len(task.vocabulary) - 1
        assert (tagged == (person >= 0)).all() if tag else len(task.vocabulary) == len(plain.vocabulary)
        np.testing.assert_array_equal(sample.lengths, np.where((person >= 0) & tag, 11, 10))
    assert len(set(names[:360])) == 360  # all of them once, then all again
    assert set(names[360:720]) == set(names[:360])
    assert set(names).isdisjoint(useful)
    assert {v for row in values for v in map(tuple, row[:, None].tolist())} <= set.union(*sets)


def test_all_names_can_be_taken() -> None:
    task = Biod(BiodConfig(people=20, vocabulary=4, diversity=3, junk_people=44, junk_fraction=0.9))
    sample = task.sample(Stream(), np.arange(task.population))
    names = sample.tokens[sample.labels["part"] == NAME].reshape(-1, 3)
    assert len(np.unique(names, axis=0)) == 64
    with pytest.raises(ValidationError, match="65 persons need distinct names"):
        BiodConfig(people=21, vocabulary=4, diversity=3, junk_people=44)
    with pytest.raises(ValidationError, match="junk_fraction needs persons"):
        BiodConfig(junk_fraction=0.5)


def test_junk_leaves_the_useful_persons_and_what_can_be_known_alone() -> None:
    task = Biod(BiodConfig(**JUNK, tag=True))
    assert task.without_distractors.config.junk_people == 0
    assert list(task.without_distractors.vocabulary) == list(task.vocabulary)
    assert task.bits_max == Biod(BiodConfig(people=40, attributes=3, vocabulary=9, diversity=5)).bits_max
    sample = task.without_distractors.sample(Stream("test"), np.arange(40))
    assert (sample.tokens.reshape(40, -1)[:, 1] == len(task.vocabulary) - 1).all()
    shares = np.array([40, 120]) / 160
    assert task.floor() == pytest.approx(-(shares * np.log(shares / [40, 360])).sum() + log(6))
    seen = np.unique(task.sample(Stream(), np.arange(20 * 160)).tokens)
    assert len(seen) == task.used_tokens
    large = Biod(BiodConfig(people=1000, vocabulary=600, junk_people=10**8, junk_fraction=7 / 8))
    assert large.sample(Stream(), np.arange(2000)).labels["person"].min() == -1


def test_runs_without_junk_are_the_runs_they_were() -> None:
    assert set(BiodConfig().model_dump(exclude_defaults=True)) == set()
    tokens = Biod(BiodConfig()).sample(Stream(), np.arange(1000)).tokens
    assert hashlib.sha256(tokens.tobytes()).hexdigest()[:16] == "56a3a1a0abb08b53"


def test_too_few_strings_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"600 persons need distinct names, but .* give only 512"):
        BiodConfig(people=600, vocabulary=8)
    with pytest.raises(ValidationError, match=r"10 distinct strings are asked for, but .* give only 8"):
        BiodConfig(people=10, vocabulary=8, diversity=10)


def test_text_reads_back() -> None:
    task = Biod(BiodConfig(people=10))
    tokens = task.sample(Stream(), np.arange(1))[0]
    assert (task.parse(task.text(tokens)) == tokens).all()
