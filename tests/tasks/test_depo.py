"""Depo: cycles, questions, labels, and the paper's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from physlm.tasks import Instances, Stream
from physlm.tasks.depo import ANSWER, QUERY, Depo, DepoConfig

MANY = np.arange(500)


def depo(**knobs: object) -> Depo:
    return Depo(DepoConfig.model_validate(knobs))


def words(task: Depo, instances: Instances, i: int) -> list[str]:
    """The instance as words, a name of several tokens being one word."""
    return task.text(instances[i]).replace(" <", "|<").replace("> ", ">|").replace(". ", ".|").split("|")


def test_paraphrases_list_the_edges_in_another_order() -> None:
    task = depo(vertices=8, name_symbols=9)
    original, other = task.sample(Stream(), MANY), task.paraphrase(Stream(), MANY, 4)
    np.testing.assert_array_equal(original.offsets, other.offsets)
    for i in range(len(MANY)):
        assert sorted(original[i]) == sorted(other[i])
        np.testing.assert_array_equal(task.completion(original, i), task.completion(other, i))
        questions = int(np.argmax(original.labels["question"][original.offsets[i] : original.offsets[i + 1]] >= 0))
        np.testing.assert_array_equal(original[i][questions:], other[i][questions:])
    assert (original.tokens != other.tokens).mean() > 0.2


def test_edges_make_one_cycle_and_answers_follow_it() -> None:
    task = depo(vertices=12, hops=20, name_tokens=(1, 3), name_symbols=4)
    instances = task.sample(Stream(), MANY)
    for i in range(100):
        separator, *text = words(task, instances, i)
        first = next(j for j, word in enumerate(text) if word.startswith("<query"))
        edges = dict(zip(text[:first:2], text[1:first:2], strict=True))
        n = first // 2
        assert separator == "<s>"
        assert len(edges) == n == len(set(edges.values()))
        cycle = [text[0]]
        while edges[cycle[-1]] != text[0]:
            cycle.append(edges[cycle[-1]])
        assert len(cycle) == n  # one cycle, not several
        questions = np.array(text[first:]).reshape(-1, 4)
        assert len(questions) == min(10, n)
        assert len(set(questions[:, 1])) == len(questions)
        for query, source, mark, answer in questions:
            hops = int(query.removeprefix("<query_").removesuffix(">"))
            assert 1 <= hops <= 20
            assert mark == "<ans>"
            assert answer == cycle[(cycle.index(source) + hops) % n]


def test_only_the_answers_names_are_trained_on() -> None:
    task = depo(vertices=12, name_tokens=(1, 3), name_symbols=4)
    instances = task.sample(Stream(), MANY)
    expected = np.zeros(len(instances.tokens), bool)
    inside = False
    for j, token in enumerate(instances.tokens):
        expected[j] = inside and token > QUERY + 3
        inside = token == ANSWER or expected[j]
    np.testing.assert_array_equal(instances.loss, expected)


def test_hops_are_uniform_and_edges_in_random_order() -> None:
    task = depo(vertices=6, exact=True, hops=4)
    instances = task.sample(Stream(), MANY)
    hops = instances.labels["hops"][instances.loss]
    assert np.bincount(hops)[1:] / len(hops) == pytest.approx([1 / 4] * 4, abs=0.03)
    vertex = instances.labels["vertex"]
    first_edge = vertex[instances.offsets[:-1] + 1]
    assert np.bincount(first_edge) / 500 == pytest.approx([1 / 6] * 6, abs=0.06)


def test_labels_tell_who_is_meant() -> None:
    task = depo(vertices=9, hops=5, name_tokens=(2, 3), name_symbols=3, exact=True)
    instances = task.sample(Stream(), MANY)
    labels = instances.labels
    first_name_token = QUERY + 5
    is_name = instances.tokens >= first_name_token
    assert ((labels["vertex"] >= 0) == is_name).all()
    starts = np.flatnonzero((instances.tokens >= QUERY) & (instances.tokens < first_name_token))
    assert (labels["question"][starts].reshape(500, 9) == np.arange(9)).all()
    answers = np.flatnonzero(instances.tokens == ANSWER) + 1
    distance = (labels["vertex"][answers] - labels["vertex"][starts + 1]) % 9
    np.testing.assert_array_equal(distance, labels["hops"][starts] % 9)
    np.testing.assert_array_equal(labels["answer"][starts], instances.tokens[answers] - first_name_token)
    # the second name of an edge is the vertex after the first
    edges = [labels["vertex"][a : a + 8] for a in instances.offsets[:-1] + 1]
    for row in edges[:50]:
        changes = row[np.flatnonzero(np.diff(row, prepend=-1))]
        assert (changes[1] - changes[0]) % 9 == 1


def test_exact_questions_are_as_the_paper_evaluates() -> None:
    base = {"vertices": 20, "hops": 8}
    for overrides, k in zip(depo(**base).evaluations.values(), (8, 4), strict=True):
        instances = depo(**base, **overrides).sample(Stream("test"), MANY)
        assert (instances.labels["hops"][instances.loss] == k).all()
        assert (instances.lengths == 1 + 2 * 20 + 10 * 4).all()


@pytest.mark.parametrize("exact", [True, False])
def test_chance_is_that_of_naming_any_vertex(exact: bool) -> None:
    task = depo(vertices=7, exact=exact)
    instances = task.sample(Stream(), np.arange(4000))
    right = []
    for i, prompt in enumerate(instances.truth):
        guess = prompt[1 + 2 * (i % 3) :][:1]  # the source of one of the first edges
        right.append(task.verify(prompt, guess).correct)
    assert np.mean(right) == pytest.approx(task.chance, abs=0.02)


def test_published_presets() -> None:
    for preset, (n, k, tokens, symbols) in {
        "depo1_225": (225, 8, (1, 2), 50),
        "depo1_375_k4": (375, 4, (1, 2), 50),
        "depo2_125": (125, 16, (5, 7), 4),
    }.items():
        task = depo(**Depo.presets[preset])
        c = task.config
        assert (c.vertices, c.hops, c.name_tokens, c.name_symbols) == (n, k, tokens, symbols)
    assert max(depo(**preset).max_length for preset in Depo.presets.values()) <= 2048  # the paper's context


def test_the_longest_instance_reaches_the_bound() -> None:
    task = depo(vertices=10, exact=True, name_tokens=(2, 2), name_symbols=4)
    assert task.sample(Stream(), MANY[:3]).lengths.tolist() == [task.max_length] * 3


def test_more_hops_than_tokens_are_refused() -> None:
    with pytest.raises(ValidationError, match="exact_hops: must be at most hops, 4, got 5"):
        depo(exact_hops=5)


def test_wrong_answers_are_explained() -> None:
    task = depo(vertices=4, hops=3, queries=2, name_tokens=(1, 2), name_symbols=4, seed=11)
    prompt = task.sample(Stream(), MANY[:1]).truth[0]  # the docstring's sample; right: x3.
    assert task.verify(prompt, task.parse("x3.")).counts == {"operations": 2, "tokens_right": 1}
    for completion, reason in {
        "": "the answer has 1 tokens, the completion 0",
        "x3. x1.": "the answer has 1 tokens, the completion 2",
        "x1.": "token 1 of the answer is x3., not x1.",
        "what": "token 1 of the answer is x3., not -1, which is no token",
    }.items():
        assert task.verify(prompt, task.parse(completion)).reason == reason
