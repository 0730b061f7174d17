"""The language bioS: its persons, its texts, what an exposure holds, its questions and its counts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import factorial, log, log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from physlm.errors import UserError
from physlm.people import ATTRIBUTES, FACTS, World, pools
from physlm.people.labels import GENDER, NAME, VALUE
from physlm.people.schedule import BIOGRAPHY, CELEBRITY, JUNK, QUESTION
from physlm.people.templates import QUESTIONS, SENTENCES
from physlm.tasks import bios as bios_module
from physlm.tasks.bios import Bios, BiosConfig
from physlm.tasks.capabilities import HasEntropy, unsupported_reason
from physlm.tasks.task import Instances, Stream
from physlm.training.packing import pack

TRAIN, TEST = Stream("train", 1), Stream("test", 1)
TINY = Bios.presets["tiny"]
EVERYTHING = {
    "people": 60,
    "celebrities": 12,
    "junk_people": 40,
    "junk_fraction": 0.5,
    "qa_fraction": 0.4,
    "tag": True,
    "question_wordings": 2,
}

knobs = st.fixed_dictionaries(
    {
        "people": st.integers(4, 60),
        "wordings": st.sampled_from([None, 1, 2, 3]),
        "naming": st.sampled_from([{}, {"fullname": True}, {"reverse": 2}, {"reverse": 5}]),
        "couple": st.booleans(),
        "pronoun": st.sampled_from(["gendered", "they"]),
        "spelling": st.sampled_from(["words", "subwords"]),
        "celebrities": st.sampled_from([0, 9]),
        "qa_fraction": st.sampled_from([0.0, 0.4, 1.0]),
        "tag": st.booleans(),
        "seed": st.integers(0, 3),
    }
)
orders = st.sampled_from([{"permute": False}, {}, {"orders": 2}])
junk = st.sampled_from([{}, {"junk_people": 30, "junk_fraction": 0.6}])


def bios(**changes: Any) -> Bios:
    return Bios(BiosConfig.model_validate({**TINY, **changes}))


def one_exposure(task: Bios, stream: Stream = TRAIN, exposure: int = 0) -> Instances:
    return task.sample(stream, exposure * task.population + np.arange(task.population))


def each(instances: Instances, label: str) -> np.ndarray[Any, Any]:
    """A label that is the same on all tokens of an instance, int32 [n]."""
    return instances.labels[label][instances.offsets[:-1]]


def joined(task: Bios, tokens: np.ndarray[Any, Any]) -> str:
    return task.text(tokens).replace(" ##", "")


def entry(task: Bios, fact: str, value: int) -> str:
    return " ".join(task.world.entries[fact][value]).replace("|", "")


# -- persons -----------------------------------------------------------------------------------------------------------


def test_pools_and_sentences_are_as_many_as_the_papers_and_distinct() -> None:
    sizes = {name: len(entries) for name, entries in World().entries.items()}
    assert [sizes[fact] for fact in FACTS] == [400, 400, 1000, 2, 12, 28, 200, 200, 300, 100, 263, 200]
    for name in ("FIRST_NAMES", "MIDDLE_NAMES", "LAST_NAMES", "CITIES", "UNIVERSITIES", "MAJORS", "COMPANIES"):
        spelt = [" ".join(entry).replace("|", "") for entry in getattr(pools, name)]
        assert len(set(spelt)) == len(spelt), name
    lines = [line for attribute in ATTRIBUTES for line in SENTENCES[attribute]]
    assert [len(SENTENCES[attribute]) for attribute in ATTRIBUTES] == [50] * 6
    assert len(set(lines)) == 300
    assert all(line.split().count("{value}") == 1 and line.endswith(" .") for line in lines)
    assert all(line.split().count("{name}") == 1 for lines in QUESTIONS.values() for line in lines)


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12)))
@settings(max_examples=50)
def test_names_are_unique_up_to_the_last_one(seed: int, names: tuple[int, int, int]) -> None:
    world = World(seed, names=names)
    persons = world.persons(np.arange(world.names_possible))
    assert len(np.unique(persons[:, :3], axis=0)) == world.names_possible
    np.testing.assert_array_equal(persons[-1:], world.persons(np.array([world.names_possible - 1])))


def test_facts_are_uniform_and_the_company_tells_its_city() -> None:
    world = World(5)
    persons = world.persons(np.arange(200_000))
    for column, fact in enumerate(FACTS[:-1]):
        counts = np.bincount(persons[:, column], minlength=world.size(fact))
        expected = 200_000 / world.size(fact)
        freedom = world.size(fact) - 1
        assert ((counts - expected) ** 2 / expected).sum() < freedom + 5 * (2 * freedom) ** 0.5 + 5, fact
    np.testing.assert_array_equal(persons[:, 11], world.city_of_company[persons[:, 10]])
    shares = world.probabilities("company_city")
    assert shares.max() == pytest.approx(0.137, abs=0.005)
    assert 120 < (shares > 0).sum() < 150
    # no two facts go together
    assert abs(np.corrcoef(persons[:, :11].T) - np.eye(11)).max() < 0.015


def test_a_person_has_47_6_bits() -> None:
    task = Bios(BiosConfig(people=100_000))
    assert task.bits_each == pytest.approx(log2(2 * (12 * 28 * 200) * 200 * 300 * 100 * 263))
    assert task.bits_each == pytest.approx(47.6, abs=0.02)
    assert task.bits_max == pytest.approx(100_000 * (log2(160e6 / 100_000) + task.bits_each))
    assert Bios(BiosConfig(pronoun="they")).bits_each == pytest.approx(task.bits_each - 1)
    assert Bios(BiosConfig(fullname=True)).bits_each == pytest.approx(task.bits_each - 1)


def test_junk_of_a_hundred_million_persons_costs_no_memory() -> None:
    task = Bios(BiosConfig.model_validate(Bios.presets["junk_tagged"]))
    instances = task.sample(TRAIN, np.arange(4000))
    kind = each(instances, "kind")
    assert np.mean(kind == JUNK) == pytest.approx(7 / 8, abs=0.02)
    assert each(instances, "person").max() > 90_000_000
    assert task.population == 800_000


# -- texts -------------------------------------------------------------------------------------------------------------


@given(knobs, orders, junk, st.sampled_from([TRAIN, TEST]))
@settings(max_examples=60)
def test_an_exposure_tells_each_person_once_with_its_facts(
    config: dict[str, Any], order: dict[str, Any], mixed: dict[str, Any], stream: Stream
) -> None:
    naming, config = config["naming"], {knob: value for knob, value in config.items() if knob != "naming"}
    task = bios(**naming, **config, **order, **mixed)
    c = task.config
    instances = one_exposure(task, stream, 2)
    kind, person = each(instances, "kind"), each(instances, "person")
    told = person[kind <= CELEBRITY]
    useful = c.people + c.celebrities if c.qa_fraction < 1 else 0
    assert sorted(told) == list(range(useful))
    if useful:
        assert (kind == JUNK).sum() == round(useful * c.junk_fraction / (1 - c.junk_fraction))
    facts = task.world.persons(person.astype(np.int64))
    for i in range(0, len(instances), 7):
        values = {fact: entry(task, fact, facts[i, column]) for column, fact in enumerate(FACTS)}
        text = joined(task, instances[i])
        full_name = f"{values['first_name']} {values['middle_name']} {values['last_name']}"
        assert full_name in text
        assert text.startswith("<s> <useful>") == (c.tag and kind[i] <= CELEBRITY)
        if kind[i] == QUESTION:
            continue
        assert text.count(full_name) == (6 if c.fullname else 1)
        assert f"{values['birth_month']} {values['birth_day']} , {values['birth_year']}" in text
        assert all(f" {values[fact]} " in text for fact in FACTS[7:])
        pronoun = "They" if c.pronoun == "they" else values["gender"].capitalize()
        assert text.count(f" {pronoun} ") == (0 if c.fullname else 5)
        assert text.count(f" {pronoun} ", 0, text.index(full_name)) == c.reverse
        assert full_name in task.text(task.prompt(instances, i)).replace(" ##", "")


def test_persons_are_the_same_whatever_is_mixed_in() -> None:
    plain = bios(people=60).facts()
    for task in (bios(**EVERYTHING), bios(**EVERYTHING).without_distractors):
        for name, column in task.facts().items():
            np.testing.assert_array_equal(column, plain[name])
    assert list(bios(**EVERYTHING).vocabulary) == list(bios(people=60).vocabulary)


def texts_by_person(task: Bios, exposures: int) -> dict[int, list[str]]:
    texts: dict[int, list[str]] = {}
    for exposure in range(exposures):
        instances = one_exposure(task, exposure=exposure)
        for i, person in enumerate(each(instances, "person").tolist()):
            texts.setdefault(person, []).append(task.text(instances[i]))
    return texts


def sentences(text: str) -> list[str]:
    """A text's sentences without their subjects, in order."""
    first, *others = text.removeprefix("<s> ").removesuffix(" .").split(" . ")
    return [" ".join(first.split()[3:]), *(" ".join(sentence.split()[1:]) for sentence in others)]


@pytest.mark.parametrize(
    ("changes", "wordings", "distinct_orders"),
    [
        ({"wordings": 1, "permute": False}, 1, 1),
        ({"wordings": 1, "orders": 5}, 1, 5),
        ({"wordings": 3, "permute": False}, 3, 1),
        ({"wordings": 3, "orders": 3}, 3, 3),
        ({"wordings": 2, "orders": 3}, 2, 3),
        ({"wordings": 1, "orders": 6, "couple": True}, 1, 6),
        ({}, 12, 12),
    ],
)
def test_texts_vary_as_the_knobs_say(changes: dict[str, Any], wordings: int, distinct_orders: int) -> None:
    task = bios(people=30, sentences=50, **changes)
    texts = texts_by_person(task, 12)
    worded = [len({frozenset(sentences(text)) for text in told}) for told in texts.values()]
    assert np.mean(worded) == pytest.approx(wordings, rel=0.02)
    where = {line: a for a, attribute in enumerate(ATTRIBUTES) for line in SENTENCES[attribute]}
    assert len(where) == 300
    attributes = each_order(task, 12)
    orders = [len(set(told)) for told in attributes.values()]
    bound = min(distinct_orders, 6) if task.config.couple else distinct_orders
    assert max(orders) <= bound
    if not task.config.couple:
        assert np.mean(orders) == pytest.approx(distinct_orders, rel=0.03)
    if not task.config.permute:
        assert {order for told in attributes.values() for order in told} == {(0, 1, 2, 3, 4, 5)}
    if task.config.couple:
        for told in attributes.values():
            assert all(set(order[i : i + 2]) in ({0, 1}, {2, 3}, {4, 5}) for order in told for i in (0, 2, 4))
            assert all(a < b for order in told for a, b in (order[0:2], order[2:4], order[4:6]))


def each_order(task: Bios, exposures: int) -> dict[int, list[tuple[int, ...]]]:
    """The order in which each person's attributes are told, by exposure."""
    orders: dict[int, list[tuple[int, ...]]] = {}
    for exposure in range(exposures):
        instances = one_exposure(task, exposure=exposure)
        before, offsets = instances.labels["before"], instances.offsets
        for i, person in enumerate(each(instances, "person").tolist()):
            row = before[offsets[i] : offsets[i + 1]]
            orders.setdefault(person, []).append(tuple(row[row >= 0].tolist()))
    return orders


def test_fixed_texts_come_in_turn() -> None:
    for told in texts_by_person(bios(people=40, sentences=50, wordings=4, orders=4), 8).values():
        assert told[:4] == told[4:]
        assert len(set(told)) == 4


def test_orders_and_sentences_are_uniform() -> None:
    task = bios(people=500, sentences=3)
    orders = Counter(order for told in each_order(task, 20).values() for order in told)
    assert len(orders) == 720
    counts = np.array(list(orders.values()))
    expected = 10_000 / 720
    assert ((counts - expected) ** 2 / expected).sum() < 719 + 5 * (2 * 719) ** 0.5


def test_paraphrases_of_one_person_are_not_packed_into_one_window() -> None:
    """Unshuffled paraphrases in one window let a model copy instead of learning (extraction 7 % instead of 97 %)."""
    context = 512
    for changes in ({"wordings": 5, "orders": 5}, {"wordings": 5, "permute": False}, {}):
        task = bios(people=500, **changes)
        neighbours = windows = 0
        instances = task.sample(TRAIN, np.arange(10 * task.population))
        packed, _ = pack(instances, context, task.separator)
        person = instances.labels["person"]
        for row in packed.source:
            inside = person[row[row >= 0]][instances.tokens[row[row >= 0]] == task.separator]
            windows += 1
            neighbours += len(np.unique(inside)) < len(inside)
            assert (inside[1:] != inside[:-1]).all()
        # Only windows across two exposures can hold a person twice, and then by chance, as 10 of 500 do.
        assert neighbours <= 9 * 2
        assert windows > 300
        first = each(instances, "person").reshape(10, -1)
        assert all((a != b).mean() > 0.9 for a, b in pairwise(first))


def test_texts_come_together_on_demand_and_every_one_comes() -> None:
    fixed = {"people": 40, "wordings": 5, "permute": False}
    apart, together = bios(**fixed), bios(**fixed, texts_together=5)
    told = []
    for task in (apart, together):
        instances = task.sample(TRAIN, np.arange(10 * task.population))
        told.append(Counter(task.text(instances[i]) for i in range(len(instances))))
    assert told[0] == told[1]
    person = each(instances, "person").reshape(2, 40, 5)
    assert (person == person[..., :1]).all()
    assert all(len(np.unique(turn[:, 0])) == 40 for turn in person)
    assert unsupported_reason(apart, HasEntropy) is None
    with pytest.raises(UserError, match="texts_together doesn't tell its entropy"):
        together.floor()
    assert together.without_distractors.config.texts_together == 1


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["words", "subwords"])
def test_labels_tell_what_and_where(spelling: str) -> None:
    task = bios(**{**EVERYTHING, "spelling": spelling})
    instances = one_exposure(task)
    labels = {name: np.asarray(row) for name, row in instances.labels.items()}
    for i in range(len(instances)):
        rows = slice(*instances.offsets[i : i + 2])
        row = {name: label[rows] for name, label in labels.items()}
        tokens = instances[i]
        facts = [row[fact][0] for fact in FACTS[4:]]
        values = [entry(task, fact, value) for fact, value in zip(FACTS[4:], facts, strict=True)]
        expected = [" ".join([values[0], values[1], values[2]]), *values[3:]]
        kind = row["kind"][0]
        told = range(6) if kind != QUESTION else {int(a) for a in row["attribute"] if a >= 0}
        for attribute in told:
            assert joined(task, tokens[row["attribute"] == attribute]) == expected[attribute]
            at = np.flatnonzero(row["before"] == attribute)
            assert len(at) == 1
            assert row["attribute"][at[0] + 1] == attribute
        name = joined(task, tokens[row["part"] == NAME]).split()
        assert len(name) == 3
        assert ((row["part"] == VALUE) == (row["attribute"] >= 0)).all()
        assert (row["part"] == GENDER).sum() == (kind != QUESTION)


def test_names_alone_carry_all_labels() -> None:
    task = bios(people=60, celebrities=5, spelling="subwords")
    instances = task.named(np.arange(65))
    facts, whole = task.world.persons(np.arange(65)), one_exposure(task)
    person, held_out = each(whole, "person"), each(whole, "held_out")
    for i in range(65):
        name = " ".join(entry(task, fact, facts[i, column]) for column, fact in enumerate(FACTS[:3]))
        assert joined(task, instances[i]) == f"<s> {name} <s>"
        assert instances[i][-1] == task.separator
    for label in ("company", "birth_year", "held_out"):
        np.testing.assert_array_equal(each(instances, label)[person], each(whole, label))
    assert Counter(held_out.tolist()) == {0: 30, 1: 30, -1: 5}
    asked = bios(people=60, qa_fraction=1.0).sample(TEST, np.arange(400))
    assert (asked.labels["held_out"] == 1).all()


def test_what_probes_ask_for_is_the_name_and_what_they_are_to_answer_the_fact() -> None:
    task = bios(people=60, qa_fraction=0.5, spelling="subwords")
    instances = task.sample(TEST, np.arange(50))
    asked = task.questions("company", TEST, np.arange(50))
    for i in range(50):
        named = task.named(each(instances, "person")[[i]].astype(np.int64))
        words = asked.asked[asked.offsets[i] : asked.offsets[i + 1]]
        np.testing.assert_array_equal(words, named[0][1:-1])
    np.testing.assert_array_equal(asked.instance, np.arange(50))
    np.testing.assert_array_equal(asked.answer, each(instances, "company"))


def test_celebrities_have_many_wordings_the_people_one() -> None:
    task = bios(
        people=20, celebrities=10, celebrity_wordings=4, wordings=1, permute=False, sentences=50, qa_fraction=0.1
    )
    texts: dict[int, set[str]] = {}
    for exposure in range(8):
        instances = one_exposure(task, exposure=exposure)
        for i in np.flatnonzero(each(instances, "kind") != QUESTION):
            texts.setdefault(int(each(instances, "person")[i]), set()).add(task.text(instances[i]))
            assert (each(instances, "kind")[i] == CELEBRITY) == (each(instances, "person")[i] >= 20)
    assert [len(texts[person]) for person in range(30)] == [1] * 20 + [4] * 10
    assert max(truth.persons[0] for truth in instances.truth if truth.kind >= 0) < 20


# -- questions ---------------------------------------------------------------------------------------------------------


def test_half_of_the_people_are_asked_about_in_training_the_rest_in_tests() -> None:
    task = bios(qa_fraction=1.0, people=41, question_wordings=4)
    asked = {}
    for stream in (TRAIN, TEST):
        instances = one_exposure(task, stream)
        pairs = Counter((truth.persons[0], truth.kind) for truth in instances.truth)
        asked[stream.split] = {person for person, _ in pairs}
        if stream.split == "train":
            assert task.population == 20 * 6
            assert set(pairs.values()) == {1}  # each question once an exposure
    assert len(asked["train"]) == 20
    assert asked["train"] | asked["test"] == set(range(41))
    assert not asked["train"] & asked["test"]


def test_questions_take_their_share_of_the_tokens() -> None:
    for changes in (EVERYTHING, {"qa_fraction": 0.8}, {"qa_fraction": 0.2, "spelling": "subwords", "sentences": 50}):
        task = bios(**{"people": 200, **changes})
        instances = task.sample(TRAIN, np.arange(4 * task.population))
        share = (instances.labels["kind"] == QUESTION).mean()
        assert share == pytest.approx(task.config.qa_fraction, abs=0.02)
        biographies, questions = (instances.lengths[each(instances, "kind") == k].mean() for k in (BIOGRAPHY, QUESTION))
        if not task.config.tag:
            assert (biographies, questions) == pytest.approx(task.mean_lengths, rel=0.02)


def test_evaluations_ask_about_the_held_out_people_and_leave_the_world_alone() -> None:
    task = bios(**EVERYTHING)
    assert set(task.evaluations) == {"questions", *ATTRIBUTES}
    held_out = {
        truth.persons[0] for truth in bios(**EVERYTHING, seed=0).sample(TEST, np.arange(4000)).truth if truth.kind >= 0
    }
    for name, overrides in task.evaluations.items():
        asking = bios(**{**EVERYTHING, **overrides})
        instances = one_exposure(asking, TEST)
        assert (each(instances, "kind") == QUESTION).all()
        assert {truth.persons[0] for truth in instances.truth} <= held_out
        if name in ATTRIBUTES:
            assert set(np.unique(instances.labels["attribute"])) == {-1, ATTRIBUTES.index(name)}
    assert bios().evaluations == {}


def test_guessing_is_no_better_than_chance() -> None:
    """The best answer for each attribute, counted over the world's own persons."""
    task = bios(qa_fraction=1.0, people=20_000, names=(400, 400, 1000))
    persons = task.world.persons(np.arange(20_000))
    best = []
    for columns in ([4, 5, 6], [7], [8], [9], [10], [11]):
        _, counts = np.unique(persons[:, columns], axis=0, return_counts=True)
        best.append(counts.max() / 20_000)
    assert task.chance == pytest.approx(np.mean(best), rel=0.1)


# -- counts ------------------------------------------------------------------------------------------------------------


def test_the_floor_counts_all_that_is_free() -> None:
    task = bios(people=100, sentences=7)
    assert task.floor() == pytest.approx(log(100) + 6 * log(7) + log(factorial(6)))
    assert bios(people=100, wordings=1, permute=False).floor() == pytest.approx(log(100))
    task = bios(people=100, sentences=50, wordings=3, orders=3)
    assert task.floor() == pytest.approx(log(100) + log(3), rel=1e-3)
    assert bios(qa_fraction=1.0, people=100).floor() == pytest.approx(log(6 * 50))


def test_equal_texts_of_a_person_are_counted_as_one() -> None:
    task = bios(people=300, sentences=1, wordings=4, permute=False)  # four times the same
    assert task.floor() == pytest.approx(log(300))
    task = bios(people=50, sentences=2, wordings=8, permute=False)
    instances = task.sample(TRAIN, np.arange(8 * 50))
    texts = Counter(bytes(instances[i]) for i in range(len(instances)))
    entropy = sum(-count / 400 * log(count / 400) for count in texts.values())
    assert task.floor() == pytest.approx(entropy)
    for i, surprisal in enumerate(task.surprisal(instances)):
        assert surprisal == pytest.approx(-log(texts[bytes(instances[i])] / 400))


def test_the_floor_of_a_mixture_is_the_mean_surprisal() -> None:
    task = bios(**{**EVERYTHING, "wordings": 2, "permute": False})
    surprisal = task.surprisal(task.sample(TEST, np.arange(20 * task.population)))
    assert surprisal.mean() == pytest.approx(task.floor(), rel=2e-3)


def test_used_tokens_are_those_that_occur() -> None:
    for changes in ({}, EVERYTHING, {"qa_fraction": 1.0}, {"pronoun": "they"}, {"fullname": True}):
        task = bios(**{"people": 60, "sentences": 2, **changes})
        seen = [np.unique(task.sample(s, np.arange(30 * task.population)).tokens) for s in (TRAIN, TEST)]
        assert len(np.union1d(*seen)) <= task.used_tokens
        if task.config.qa_fraction < 1:
            assert len(np.union1d(*seen)) == task.used_tokens
    assert len(bios().vocabulary) < 450
    assert len(Bios(BiosConfig(spelling="subwords")).vocabulary) < 1000 < len(Bios(BiosConfig()).vocabulary)


def test_other_wordings_tell_the_same() -> None:
    for changes in (EVERYTHING, {"wordings": 1, "permute": False}, {"qa_fraction": 1.0}):
        task = bios(**{"people": 60, "sentences": 50, **changes})
        indices = np.arange(task.population)
        original, other, third = task.sample(TRAIN, indices), *(task.paraphrase(TRAIN, indices, k) for k in (0, 1))
        for label in ("kind", "person", "company"):
            np.testing.assert_array_equal(each(original, label), each(other, label))
        asked = each(original, "kind") == QUESTION
        for i in range(len(indices)):
            texts = {bytes(instances[i]) for instances in (original, other, third)}
            assert bytes(original[i]) not in texts - {bytes(original[i])}
            assert bytes(original[i]) != bytes(other[i])
            assert len(texts) == 3 or asked[i]
            if asked[i]:
                assert original.truth[i].answer == other.truth[i].answer


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"people": 200_000}, "200000 persons in all need distinct names, but names .* give only 160000"),
        ({"names": (1, 1, 2000)}, r"names: must be at least 1 and at most \[400, 400, 1000\]"),
        ({"permute": False, "orders": 2}, "orders: sentences have one order only where permute is false"),
        ({"reverse": 1, "fullname": True}, "reverse: where fullname is true every sentence names the person"),
        ({"junk_fraction": 0.5}, "junk_people: junk_fraction needs persons"),
        ({"questions": ("major", "major")}, "must name each attribute once"),
    ],
)
def test_impossible_knobs_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        bios(**changes)


def test_the_docstrings_biography_is_a_real_sample() -> None:
    task = Bios(BiosConfig())
    text = task.text(task.sample(Stream(), np.arange(1))[0]).removeprefix("<s> ")
    assert text in " ".join((bios_module.__doc__ or "").split())
