"""iGSM as a task: its knobs, presets, evaluations, chance, and what it refuses. The language: tests/igsm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from physlm.errors import UserError
from physlm.igsm.bank import CATEGORIES, NAMES_EACH, NOUNS, QUALIFIERS
from physlm.igsm.lexicon import LETTERS, Lexicon
from physlm.igsm.structure import MAX_PARAMETERS
from physlm.tasks import Stream
from physlm.tasks.igsm import Igsm, IgsmConfig

TINY = Igsm.presets["tiny"]
MANY = np.arange(400)


def igsm(**knobs: Any) -> Igsm:
    return Igsm(IgsmConfig(**knobs))


# -- presets and evaluations -------------------------------------------------------------------------------------------


def test_presets_are_the_published_ones() -> None:
    med, hard = (IgsmConfig(**Igsm.presets[name]) for name in ("med", "hard"))
    assert (med.max_op, med.max_edges, med.modulus, med.perm_level, med.max_tokens) == (15, 20, 23, 5, 768)
    assert (hard.max_op, hard.max_edges, hard.modulus, hard.perm_level, hard.max_tokens) == (21, 28, 23, 5, 1024)
    for size in ("med", "hard"):
        assert [IgsmConfig(**Igsm.presets[f"{size}_{order}"]).order for order in ("pq", "qp")] == ["pq", "qp"]
    tiny = IgsmConfig(**TINY)
    assert (tiny.max_op, tiny.modulus) == (5, 7)
    assert len(igsm(**TINY).vocabulary) < 70


def test_evaluations_are_the_published_ones() -> None:
    assert list(igsm().evaluations) == ["op_15", "op_20", "op_21", "op_22", "op_23", "reask"]
    hard = igsm(**Igsm.presets["hard"])
    assert list(hard.evaluations) == ["op_21", "op_28", "op_29", "op_30", "op_31", "op_32", "reask"]
    assert list(igsm(**TINY).evaluations) == ["op_5", "op_7", "reask"]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "med", "hard_qp"])
def test_evaluations_can_be_drawn_and_are_what_they_say(preset: str) -> None:
    knobs = Igsm.presets[preset]
    for name, overrides in igsm(**knobs).evaluations.items():
        task = igsm(**{**knobs, **overrides})
        instances = task.sample(Stream("test"), MANY[:100])
        verdicts = [task.verify(t, task.completion(instances, i)) for i, t in enumerate(instances.truth)]
        assert all(verdict.correct for verdict in verdicts)
        operations = {verdict.counts["operations"] for verdict in verdicts}
        if name == "reask":
            assert len(operations) > 3
        else:
            assert operations == {float(name.removeprefix("op_"))}


def test_reask_keeps_the_problem_and_asks_for_less_of_it() -> None:
    """A random other number needs fewer of the sentences than the one that the problem was made for."""
    needed = []
    for reask in (False, True):
        nece = igsm(op=12, reask=reask).sample(Stream(), MANY).labels["nece"]
        needed.append((nece == 1).sum() / (nece >= 0).sum())
    assert needed[1] < 0.8 * needed[0]


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_edges": 8}, "max_edges: 4 layers of 4 things need at least 12 edges, got 8"),
        ({"max_edges": 40}, "max_edges: at most 38 with max_depth 4 and max_width 4, got 40"),
        ({"letters": 14}, "letters: a solution of 15 operations needs as many letters, got 14"),
        ({"op": 20, "letters": 19}, "letters: a solution of 20 operations needs as many letters, got 19"),
        ({"retry_rate": 1.0}, "less than 1"),
        ({"names": 101}, "less than or equal to 100"),
        ({"retry_kind": "any"}, "any_parameter"),
        ({"train_bins": 23}, "less than 23"),
    ],
)
def test_impossible_knobs(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        IgsmConfig(**knobs)


def test_the_largest_structures_fit() -> None:
    assert IgsmConfig(max_edges=38).max_parameters == MAX_PARAMETERS
    task = igsm(max_edges=38, max_op=45, op=45, max_tokens=4000)
    instances = task.sample(Stream(), MANY[:20])
    for i, truth in enumerate(instances.truth):
        assert task.verify(truth, task.completion(instances, i)).counts["operations"] == 45


@pytest.mark.slow
def test_an_op_that_no_problem_has_is_refused_soon() -> None:
    task = igsm(**{**TINY, "letters": 30, "op": 30})
    for draw in (task.sample, task.probe_labels):
        with pytest.raises(UserError, match="found no problem of op 30 for the train split with at most 6 edges"):
            draw(Stream(), np.arange(10**6))


@pytest.mark.parametrize("op", [1, 2])
def test_tests_of_too_few_operations_are_refused(op: int) -> None:
    task = igsm(**TINY, op=op)
    assert len(task.sample(Stream(), MANY)) == len(MANY)
    with pytest.raises(UserError, match=f"op {op} has too few templates .* ask for op 3 up"):
        task.sample(Stream("test"), MANY)


# -- chance and words --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_zero_is_the_likeliest_answer() -> None:
    for knobs in ({}, TINY):
        task = igsm(**knobs)
        instances = task.sample(Stream("test", 9), np.arange(4000))
        answers = instances.tokens[instances.offsets[1:] - 1] - task._lexicon.words.number
        shares = np.bincount(answers) / len(answers)
        assert shares.argmax() == 0
        assert 1 / task.config.modulus < task.chance < 0.5
        assert shares[0] == pytest.approx(task.chance, abs=4 * np.sqrt(task.chance / len(answers)))


def test_used_tokens_are_all_but_back() -> None:
    task = igsm(**TINY)
    assert task.used_tokens == len(task.vocabulary) - 1
    seen = np.unique(task.sample(Stream(), np.arange(5000)).tokens)
    assert len(seen) == task.used_tokens
    assert igsm(**TINY, retry_rate=0.1).used_tokens == len(task.vocabulary)


def test_names_are_distinct_and_as_many_as_the_papers() -> None:
    nouns = [noun for chain in NOUNS for level in chain for noun in level]
    assert len(set(nouns)) == len(nouns) == 320
    assert all(noun.isalpha() and noun[0].isupper() and len(noun) > 1 for noun in nouns)
    assert NAMES_EACH == 100
    assert not set(nouns) & {word for level in QUALIFIERS for word in level}
    assert not set(nouns) & {category for chain in CATEGORIES for category in chain}


@pytest.mark.parametrize("names", [4, 20, 21, 57, 100])
def test_every_name_is_read_back(names: int) -> None:
    lexicon = Lexicon(11, 10, 3, names)
    found = lexicon.names_by_tokens
    assert sorted(found.values()) == [(c, level, n) for c in range(3) for level in range(4) for n in range(names)]
    assert lexicon.name_length == max(map(len, found))
    for tokens in found:
        assert tuple(lexicon.parse(lexicon.text(tokens))) == tokens
    assert len(set(map(lexicon.text, found))) == 12 * names


def test_text_is_english_and_unknown_words_are_minus_one() -> None:
    task = igsm(**TINY)
    text = task.text(task.sample(Stream(), MANY[:1])[0])
    assert "  " not in text
    assert " ." not in text
    assert "each" in text
    assert task.parse("The number of each Zebra's Silk equals 8").tolist()[2] == -1
    assert task.parse(text.replace(" ", "\n\t ")).tolist()[:3] != [-1]
    assert len(LETTERS) == 52


def test_v_probes_are_asked_what_the_papers_ask() -> None:
    """What is asked for is necessary; after the last step all that is necessary is known, and nothing can be next."""
    task, stream = igsm(**TINY), Stream("test", 2)
    instances = task.sample(stream, MANY[:60])
    nece = task.questions("nece", stream, MANY[:60])
    for i in range(60):
        text = task.text(instances[i])
        own = np.flatnonzero(nece.instance == i)
        names = {task.text(nece.asked[nece.offsets[q] : nece.offsets[q + 1]]): int(nece.answer[q]) for q in own}
        assert len(names) == len(own)
        defined = {name for name in names if f"Define {name} as" in text}
        assert defined == {name for name, needed in names.items() if needed}
        assert task.text(instances[i][: nece.shown[own[0]]]).endswith("?")
    known, following = (task.questions(target, stream, MANY[:60]) for target in ("known", "nece_next"))
    last = np.zeros(60, np.int64)
    np.maximum.at(last, known.instance, known.shown)
    at_end = known.shown == last[known.instance]
    np.testing.assert_array_equal(known.answer[at_end], nece.answer)
    assert not following.answer[at_end].any()
