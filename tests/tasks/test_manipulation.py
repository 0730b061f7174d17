"""Knowledge manipulation: every answer against what a reader of the text would work out from a table of persons."""

from __future__ import annotations

import re
from collections import Counter
from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from physlm.people import FACTS
from physlm.people.labels import NAME, VALUE
from physlm.people.question_kinds import KINDS, NOUNS
from physlm.people.schedule import QUESTION
from physlm.tasks.manipulation import Manipulation, ManipulationConfig
from physlm.tasks.task import Stream

TRAIN, TEST = Stream("train", 2), Stream("test", 2)
SMALL = {
    "people": 120, "names": (12, 12, 12), "years": 5, "cities": 8, "universities": 8, "majors": 9, "companies": 8,
    "sentences": 2, "qa_fraction": 1.0, "question_wordings": 4,
}  # fmt: skip
HINTED = [name for name, kind in KINDS.items() if kind.hint]


def asking(**changes: Any) -> Manipulation:
    return Manipulation(ManipulationConfig.model_validate({**SMALL, **changes}))


def table(task: Manipulation) -> dict[str, dict[str, str]]:
    """Every person's facts as text, by full name."""
    persons = task.world.persons(np.arange(task.config.people))
    rows = [
        {fact: " ".join(task.world.entries[fact][v]).replace("|", "") for fact, v in zip(FACTS, row, strict=True)}
        for row in persons.tolist()
    ]
    return {f"{row['first_name']} {row['middle_name']} {row['last_name']}": row for row in rows}


def value(row: dict[str, str], attribute: str) -> str:
    if attribute == "birth_date":
        return f"{row['birth_month']} {row['birth_day']} , {row['birth_year']}"
    return row[attribute]


def worked_out(task: Manipulation, question: str, people: dict[str, dict[str, str]]) -> tuple[str, str]:
    """The hint and the answer, from the words of the question alone."""
    months = [entry[0] for entry in task.world.entries["birth_month"]]
    majors = [" ".join(entry) for entry in task.world.entries["major"]]
    named = [name for name in people if name in question]
    named.sort(key=question.index)

    def number(name: str, what: str) -> int:
        row = people[name]
        if "month" in what:
            return months.index(row["birth_month"]) + 1
        if "day" in what:
            return int(row["birth_day"])
        return int(task.luck[majors.index(row["major"])])

    def recalled(what: str) -> str:
        fact = "birth_month" if "month" in what else "birth_day" if "day" in what else "major"
        return " ; ".join(people[name][fact] for name in named)

    if found := re.search(r"the (first|full) name of the person with (.*) [?.] <", question):
        clues = dict(clue.split(" : ") for clue in split_clues(found[2]))
        fits = [
            name
            for name, row in people.items()
            if all(value(row, attribute) == clues[noun] for attribute, noun in NOUNS.items() if noun in clues)
        ]
        return "", "|".join(name.split()[0] if found[1] == "first" else name for name in fits)
    if found := re.search(r"(birth month|birth day|luck of the major) of .* minus that of", question):
        return recalled(found[1]), str(number(named[0], found[1]) - number(named[1], found[1]))
    if found := re.search(r"(birth month|birth day|major) of .* is (later|luckier) than", question):
        return recalled(found[1]), "Yes" if number(named[0], found[1]) > number(named[1], found[1]) else "No"
    if found := re.search(r"the (birth month|luck of the major) of .* modulo (\d+)", question):
        return recalled(found[1]), str(number(named[0], found[1]) % int(found[2]))
    if "is even" in question:
        return recalled("month"), "Yes" if number(named[0], "month") % 2 == 0 else "No"
    row = people[named[0]]
    if found := re.search(r"the (birth month|birth day|birth year) of", question):
        return value(row, "birth_date"), row[found[1].replace(" ", "_")]
    attributes = {noun: attribute for attribute, noun in NOUNS.items()}
    found = re.search(r"the ([a-z ]+?)(?: and the ([a-z ]+))? of ", question)
    assert found
    return "", " ; ".join(value(row, attributes[noun]) for noun in found.groups() if noun)


def split_clues(text: str) -> list[str]:
    nouns = "|".join(NOUNS.values())
    parts = re.split(rf"(?:^| , )({nouns}) ", text)[1:]
    return [f"{noun} : {told}" for noun, told in zip(parts[::2], parts[1::2], strict=True)]


@pytest.mark.parametrize("name", list(KINDS))
def test_every_answer_is_what_follows_from_the_persons_facts(name: str) -> None:
    task = asking(questions=(name,), hints=0.5)
    people = table(task)
    hinted = 0
    for stream in (TRAIN, TEST):
        instances = task.sample(stream, np.arange(150))
        for i in range(150):
            question = task.text(task.prompt(instances, i))
            hint, answer = worked_out(task, question, people)
            told = task.text(task.completion(instances, i))
            if question.endswith("<hint>"):
                hinted += 1
                assert told == f"{hint} . {answer}"
            else:
                assert question.endswith("<ans>")
                assert told in answer.split("|")
    assert (hinted > 100) == (name in HINTED)


@pytest.mark.parametrize("spelling", ["words", "subwords"])
def test_an_inverse_question_takes_any_name_that_fits_and_no_other(spelling: str) -> None:
    task = asking(questions=("inverse_date_full", "inverse_date_first"), years=1, people=1000, spelling=spelling)
    instances = task.sample(TEST, np.arange(200))
    persons = task.world.persons(np.arange(1000))
    several = 0
    for i in range(100):
        truth = instances.truth[i]
        fits = (persons[:, 4:7] == persons[truth.persons[0], 4:7]).all(1)
        for other in (*np.flatnonzero(fits), 0, 500):
            names = FACTS[:1] if truth.kind == 1 else FACTS[:3]
            tokens = [
                token for column, fact in enumerate(names)
                for token in task.script.tokens_of(task.first_piece[fact] + int(persons[other, column]))
            ]  # fmt: skip
            expected = (persons[fits][:, : len(names)] == persons[other, : len(names)]).all(1).any()
            assert task.verify(truth, np.array(tokens)).correct == expected
        several += fits.sum() > 1
    assert several > 50


def test_a_hint_and_its_answer_are_counted_apart() -> None:
    task = asking(questions=("rank_month",), hints=1.0)
    instances = task.sample(TEST, np.arange(1))
    truth, words = instances.truth[0], list(task.vocabulary)
    right = [words[t] for t in truth.answer]
    assert right[1] == ";"
    assert right[3] == "."
    wrong_month = "May" if right[0] != "May" else "June"
    other = {"Yes": "No", "No": "Yes"}[right[4]]

    def counts(*told: str) -> tuple[bool, float, float]:
        verdict = task.verify(truth, task.parse(" ".join(told)))
        return verdict.correct, verdict.counts["hint_right"], verdict.counts["answer_right"]

    assert counts(*right) == (True, 1, 1)
    assert counts(*right[:4], other) == (False, 1, 0)
    assert counts(wrong_month, *right[1:]) == (False, 0, 1)
    assert counts(right[4]) == (False, 0, 0)
    assert counts(*right, right[4]) == (False, 1, 0)
    assert counts(*right[:3]) == (False, 1, 0)


@pytest.mark.slow
@given(st.lists(st.integers(-3, 700), max_size=12), st.integers(0, 199))
@settings(max_examples=150)
def test_no_completion_makes_verify_raise(tokens: list[int], i: int) -> None:
    task = asking(hints=0.5)
    instances = task.sample(TEST, np.arange(200))
    for completion in (np.array(tokens, np.int64), np.array([tokens]), np.array(tokens, np.float32)):
        verdict = task.verify(instances.truth[i], completion)
        assert verdict.correct or verdict.reason


def test_chance_is_the_likeliest_answers() -> None:
    task = Manipulation(ManipulationConfig(qa_fraction=1.0))
    expected = {
        "month_mod_2": 1 / 2, "month_mod_6": 1 / 6, "month_mod_12": 1 / 12, "luck_mod_5": 1 / 5, "luck_mod_20": 1 / 20,
        "luck_mod_100": 1 / 100, "rank_month": 13 / 24, "rank_day": 29 / 56, "rank_luck": 0.505,
        "subtract_month": 1 / 12, "subtract_day": 1 / 28, "subtract_luck": 1 / 100, "birth_day": 1 / 28,
        "birth_year": 1 / 200, "major_and_company": 1 / 26_300, "inverse_all_full": 1 / 1000, "birth_month": 1 / 12,
        "inverse_date_first": 1 / 400, "university": 1 / 300,
    }  # fmt: skip
    for name, chance in expected.items():
        assert task.guess_answer(KINDS[name]) == pytest.approx(chance), name
    for name in ("month_mod_2", "rank_month", "subtract_month", "luck_mod_5"):
        small = asking(questions=(name,), people=2000, names=(100, 100, 100))
        instances = small.sample(TEST, np.arange(1000))
        common = Counter(small.completion(instances, i).tobytes() for i in range(1000)).most_common(1)[0][1]
        assert common / 1000 == pytest.approx(small.chance, abs=0.06)


def test_the_floor_counts_persons_wordings_hints_and_pairs() -> None:
    assert asking(questions=("major",)).floor() == pytest.approx(log(60 * 4))
    assert asking(questions=("rank_month",), hints=0.5).floor() == pytest.approx(log(60 * 59 * 4 * 2))
    task = asking(questions=("inverse_date_first",), years=1, names=(3, 40, 40), question_wordings=1, people=2000)
    instances = task.sample(TEST, np.arange(task.population))
    texts = Counter(bytes(instances[i]) for i in range(len(instances)))
    assert max(texts.values()) > 2
    entropy = sum(-count / 1000 * log(count / 1000) for count in texts.values())
    assert task.floor() == pytest.approx(entropy)
    assert task.surprisal(instances) == pytest.approx([-log(texts[bytes(instances[i])] / 1000) for i in range(1000)])
    mixed = asking(qa_fraction=0.5, hints=0.3)
    surprisal = mixed.surprisal(mixed.sample(TEST, np.arange(20 * mixed.population)))
    assert surprisal is not None
    assert surprisal.mean() == pytest.approx(mixed.floor(), rel=3e-3)


def test_pairs_are_of_one_split_and_of_two_persons() -> None:
    task = asking(questions=("rank_month", "subtract_luck", "month_mod_2"))
    halves = [{p for truth in task.sample(s, np.arange(600)).truth for p in truth.persons} for s in (TRAIN, TEST)]
    assert not halves[0] & halves[1]
    for truth in task.sample(TRAIN, np.arange(600)).truth:
        assert len(set(truth.persons)) == len(truth.persons) == (1 if truth.kind == 2 else 2)


def test_evaluations_are_one_for_each_question_with_and_without_hints() -> None:
    task = asking(questions=("month_mod_2", "major"), hints=0.5, qa_fraction=0.5)
    assert set(task.evaluations) == {"questions", "questions_hint", "month_mod_2", "month_mod_2_hint", "major"}
    for name, overrides in task.evaluations.items():
        harder = asking(**{"hints": 0.5, "qa_fraction": 0.5, **overrides})
        instances = harder.sample(TEST, np.arange(100))
        assert (instances.labels["kind"] == QUESTION).all()
        assert list(harder.vocabulary) == list(task.vocabulary)
        marks = {harder.text(harder.prompt(instances, i)).split()[-1] for i in range(100)}
        assert marks == (
            {"<hint>"} if name == "month_mod_2_hint" else {"<ans>"} if "hint" not in name else {"<ans>", "<hint>"}
        )


def test_questions_take_their_share_of_the_tokens_with_hints_too() -> None:
    task = asking(qa_fraction=0.5, hints=0.3, question_wordings=2)
    instances = task.sample(TRAIN, np.arange(8 * task.population))
    assert (instances.labels["kind"] == QUESTION).mean() == pytest.approx(0.5, abs=0.03)
    seen = len(np.unique(instances.tokens))
    assert seen <= task.used_tokens <= len(task.vocabulary)


def test_names_and_values_of_both_persons_are_marked() -> None:
    task = asking(questions=("rank_luck",), hints=1.0)
    instances = task.sample(TEST, np.arange(50))
    part = instances.labels["part"]
    for i in range(50):
        rows = slice(*instances.offsets[i : i + 2])
        assert (part[rows] == NAME).sum() == 6
        values = instances[i][part[rows] == VALUE]
        hint = task.text(task.completion(instances, i)).replace(" ;", "").replace(" .", "")
        assert task.text(values) == hint
        assert task.verify(instances.truth[i], task.completion(instances, i)).counts["operations"] == 3


def test_luck_is_a_ranking_of_the_majors() -> None:
    task = Manipulation(ManipulationConfig())
    assert sorted(task.luck) == list(range(100))
    np.testing.assert_array_equal(task.facts()["luck_of_major"], task.luck)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"questions": ("month_mod_3",)}, "must be names of questions .*got 'month_mod_3'"),
        ({"questions": ("major", "major")}, "must name each question once"),
        (
            {"people": 4, "qa_people": 0.2},
            "qa_people: persons are compared, so there must be 2 in training .* got 1 and 3",
        ),
    ],
)
def test_impossible_knobs_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        asking(**changes)
