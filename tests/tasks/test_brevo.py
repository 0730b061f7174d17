"""Brevo: graphs, orders and their entropy, checked against enumeration."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import exp, log

import numpy as np
import pytest
from pydantic import ValidationError

from physlm.tasks import Stream
from physlm.tasks.brevo import ANSWER, END, FIRST, QUERY, Brevo, BrevoConfig

MANY = np.arange(400)


def brevo(**knobs: object) -> Brevo:
    return Brevo(BrevoConfig.model_validate(knobs))


def graph(prompt: Sequence[int]) -> tuple[dict[int, set[int]], int]:
    """What each vertex depends on, and the query; names of one token."""
    edges, query = list(prompt)[1:-3], prompt[-2]
    parents: dict[int, set[int]] = {vertex: set() for vertex in edges}
    for parent, child in zip(edges[::2], edges[1::2], strict=True):
        parents[child].add(parent)
    return parents, query


def ancestors(parents: dict[int, set[int]], query: int) -> set[int]:
    found = {query}
    for _ in parents:
        found |= {p for v in found for p in parents[v]}
    return found


def is_valid(parents: dict[int, set[int]], order: Sequence[int]) -> bool:
    return all(parents[v] <= set(order[:i]) for i, v in enumerate(order))


def log_probability(parents: dict[int, set[int]], order: Sequence[int]) -> float:
    """ln of the chance that a sort from the query backwards, picking uniformly, makes this order."""
    total, placed = 0.0, set()
    for v in reversed(order):
        free = [u for u in order if u not in placed and all(w in placed for w in order if u in parents[w])]
        assert v in free
        total -= log(len(free))
        placed.add(v)
    return total


def test_exactly_the_topological_orders_of_the_ancestors_pass() -> None:
    task = brevo(vertices=6, name_symbols=6)
    instances = task.sample(Stream(), MANY)
    several = 0
    for prompt in instances.truth[:60]:
        parents, query = graph(prompt.tolist())
        needed = ancestors(parents, query)
        valid = 0
        for size in range(len(parents) + 1):
            for order in permutations(parents, size):
                expected = set(order) == needed and is_valid(parents, order)
                assert task.verify(prompt, np.array([*order, END], np.int32)).correct == expected
                valid += expected
        several += valid > 1
    assert several > 10


def test_paraphrases_list_the_edges_in_another_order() -> None:
    task = brevo(vertices=7, name_symbols=7)
    original, other = task.sample(Stream(), MANY), task.paraphrase(Stream(), MANY, 4)
    for i in range(len(MANY)):
        assert graph(original.truth[i].tolist()) == graph(other.truth[i].tolist())
        np.testing.assert_array_equal(task.completion(original, i), task.completion(other, i))
    assert (original.tokens != other.tokens).mean() > 0.2
    np.testing.assert_allclose(task.surprisal(original), task.surprisal(other))


def test_surprisal_is_exact_and_orders_have_probabilities_that_sum_to_one() -> None:
    task = brevo(vertices=7, name_symbols=7)
    instances = task.sample(Stream(), MANY)
    surprisal = task.surprisal(instances)
    for i in range(60):
        parents, query = graph(instances.truth[i].tolist())
        order = task.completion(instances, i).tolist()[:-1]
        assert surprisal[i] == pytest.approx(-log_probability(parents, order))
        orders = [o for o in permutations(ancestors(parents, query)) if is_valid(parents, o)]
        assert sum(exp(log_probability(parents, o)) for o in orders) == pytest.approx(1)


def test_orders_are_drawn_with_these_probabilities() -> None:
    task = brevo(vertices=5, exact=True, name_symbols=5)
    instances = task.sample(Stream(), np.arange(20_000))
    choices = instances.labels["choices"]
    assert set(np.unique(choices)) <= {-1, 1, 2, 3, 4}
    # among two sources that are free at once the one that the graph grew earlier is as often placed last as the other
    two = np.flatnonzero(choices == 2)
    vertex, depth = instances.labels["vertex"], instances.labels["depth"]
    alone = two[(choices[two - 1] == 1) & (depth[two] == 0) & (depth[two - 1] == 0)]
    assert len(alone) > 1000
    assert np.mean(vertex[alone] > vertex[alone - 1]) == pytest.approx(0.5, abs=0.05)


def test_graphs_grow_as_in_the_paper() -> None:
    task = brevo(vertices=16, exact=True, name_symbols=16)
    instances = task.sample(Stream(), MANY)
    sources, queries, degrees = [], [], []
    for i in range(len(MANY)):
        prompt = instances.truth[i].tolist()
        parents, query = graph(prompt)
        number = dict(zip(instances[i].tolist(), instances.labels["vertex"][instances.offsets[i] :], strict=False))
        dependants = [sum(v in p for p in parents.values()) for v in parents]
        assert all(number[p] < number[v] for v in parents for p in parents[v])
        assert max(dependants) <= 4
        assert max(map(len, parents.values())) <= 4
        sources.append(min(number[v] for v in parents if parents[v]))  # the first that depends on another
        degrees += [len(p) for p in parents.values() if p]
        queries.append(number[query])
    assert np.bincount(sources, minlength=5)[1:] / 400 == pytest.approx([1 / 4] * 4, abs=0.08)
    assert np.bincount(queries, minlength=16)[12:] / 400 == pytest.approx([1 / 4] * 4, abs=0.08)
    assert min(degrees) == 1
    assert np.mean(degrees) == pytest.approx(2.3, abs=0.2)


def test_the_released_code_always_asks_for_the_last_vertex() -> None:
    task = brevo(vertices=16, exact=True, name_symbols=16, query="last")
    instances = task.sample(Stream(), MANY)
    asked = np.flatnonzero(instances.tokens == QUERY) + 1
    assert (instances.labels["vertex"][asked] == 15).all()


def test_labels_are_the_graph() -> None:
    task = brevo(vertices=10, name_symbols=10)
    instances = task.sample(Stream(), MANY)
    for i in range(50):
        parents, query = graph(instances.truth[i].tolist())
        rows = slice(*instances.offsets[i : i + 2])
        depth: dict[int, int] = {}

        def longest(v: int, parents: dict[int, set[int]] = parents, depth: dict[int, int] = depth) -> int:
            depth[v] = max((longest(p) + 1 for p in parents[v]), default=0)
            return depth[v]

        for token, is_ancestor, deep in zip(
            instances[i].tolist(), instances.labels["ancestor"][rows], instances.labels["depth"][rows], strict=True
        ):
            if token < FIRST:
                assert is_ancestor == deep == -1
            else:
                assert is_ancestor == (token in ancestors(parents, query))
                assert deep == longest(token)


def test_only_answers_are_trained_on() -> None:
    instances = brevo(name_tokens=(2, 4), name_symbols=4).sample(Stream(), MANY)
    for i in range(len(MANY)):
        answer = instances[i].tolist().index(ANSWER)
        loss = instances.loss[instances.offsets[i] : instances.offsets[i + 1]]
        assert not loss[: answer + 1].any()
        assert loss[answer + 1 :].all()


@pytest.mark.slow
def test_floor_and_chance_are_good_estimates() -> None:
    task = brevo(**Brevo.presets["brevo1_70"])
    instances = task.sample(Stream("test"), np.arange(20_000))
    surprisal = task.surprisal(instances)
    assert task.floor() == pytest.approx(surprisal.mean(), abs=3 * surprisal.std() / 100)
    small = brevo(vertices=5, name_symbols=5, exact=True)
    instances = small.sample(Stream("test"), np.arange(20_000))
    right = []
    for prompt in instances.truth:  # the first edge's vertices, in an order that doesn't depend on the graph
        a, b = sorted(prompt[1:3].tolist())
        right.append(small.verify(prompt, np.array([a, b, END])).correct)
    assert 0.2 * small.chance < np.mean(right) < 6 * small.chance
    assert small.chance < 1 / 20


def test_published_presets_fit_the_papers_contexts() -> None:
    for n in (70, 90, 110):
        task = brevo(**Brevo.presets[f"brevo1_{n}"])
        assert (task.config.vertices, task.config.name_symbols, len(task.vocabulary)) == (n, n, n + 4)
        assert task.max_length <= 1024
    for n in (30, 40, 50):
        task = brevo(**Brevo.presets[f"brevo2_{n}"])
        assert (task.config.vertices, task.config.name_tokens, task.config.name_symbols) == (n, (2, 4), 4)
        assert task.max_length <= 1536


def test_longer_instances_are_drawn_again() -> None:
    task = brevo(vertices=4, name_symbols=4, exact=True)
    bound = task.max_length
    lengths = task.sample(Stream(), np.arange(2000)).lengths
    assert lengths.max() == bound  # it is reached
    cut = brevo(vertices=4, name_symbols=4, exact=True, max_tokens=bound - 1)
    instances = cut.sample(Stream(), np.arange(2000))
    assert instances.lengths.max() < bound
    same = instances.lengths == lengths
    assert same[lengths < bound].all()
    with pytest.raises(ValidationError, match="max_tokens: must be at least 3/4 of the longest instance's 21 tokens"):
        brevo(vertices=4, name_symbols=4, max_tokens=10)


def test_wrong_answers_are_explained() -> None:
    task = brevo(vertices=5, name_symbols=6, exact=True, seed=14)
    prompt = task.sample(Stream(), MANY[:1]).truth[0]  # the docstring's sample; right: x6. x4. x1. x2.

    def verdict(completion: str) -> tuple[bool, str]:
        result = task.verify(prompt, task.parse(completion))
        return result.correct, result.reason

    assert verdict("x6. x4. x1. x2. <eos>") == (True, "")
    assert verdict("x4. x6. x1. x2. <eos>") == (True, "")
    assert verdict("x6. x4. x1. x2.") == (False, "the completion doesn't end with <eos>")
    assert verdict("x6. x1. x4. x2. <eos>") == (False, "x1. is named before one that it depends on")
    assert verdict("x6. x4. x3. x2. <eos>") == (False, "x3. is no vertex that the query depends on")
    assert verdict("x6. x6. x1. x2. <eos>") == (False, "x6. is named twice")
    assert verdict("x6. x4. <eos>") == (False, "2 of 4 vertices aren't named")
    assert verdict("<eos> <eos>") == (False, "the completion has tokens that spell no name")
    assert task.verify(prompt, task.parse("x4. x6. x1. x3.")).counts == {"operations": 4, "vertices": 4, "in_order": 3}
