"""Problems and solutions, against an independent reading of their text and the published distributions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from physlm.igsm import dependency, rendering, structure
from physlm.randomness import start
from physlm.tasks import Stream
from physlm.tasks.igsm import Igsm, IgsmConfig

TINY = Igsm.presets["tiny"]
TRAIN, TEST = Stream("train", 3), Stream("test", 3)


def igsm(**knobs: Any) -> Igsm:
    return Igsm(IgsmConfig(**knobs))


def texts(task: Igsm, stream: Stream, count: int) -> list[str]:
    instances = task.sample(stream, np.arange(count))
    return [task.text(instances[i]) for i in range(count)]


def in_numbers(expression: str, values: Mapping[str, int]) -> str:
    return re.sub(r"[A-Za-z]", lambda letter: str(values[letter[0]]), expression)


VARIANTS: dict[str, dict[str, Any]] = {
    "tiny": dict(TINY),
    "med_pq": {},
    "med_qp": {"order": "qp"},
    "hard": dict(Igsm.presets["hard"]),
    "reask": {"reask": True},
    "longer": {"op": 23},
    "solved": {"perm_level": 6},
    "odd": {"modulus": 10, "names": 33, "chains": 3, "letters": 20, "max_depth": 3, "perm_level": 2},
}


@pytest.mark.parametrize("knobs", VARIANTS.values(), ids=VARIANTS)
def test_solutions_say_what_the_problem_comes_to_and_nothing_else(
    knobs: dict[str, Any], read: Any, read_steps: Any
) -> None:
    task = igsm(**knobs)
    c = task.config
    for text in texts(task, TEST, 150) + texts(task, TRAIN, 50):
        problem = read(text, c.modulus)
        steps = read_steps(text)
        defined: dict[str, tuple[str, str]] = {}
        values: dict[str, int] = {}
        for step in steps:
            assert problem.needs(step.parameter) <= set(defined.values()), "a sentence comes before what it needs"
            for formula in step.formulas:
                letter, *equal = formula.split(" = ")
                assert letter not in values
                numbers = [int(eval(in_numbers(e, values))) % c.modulus for e in equal]
                assert set(numbers) == {numbers[-1]}
                if len(equal) == 3:  # letters, then numbers, then the result
                    assert equal[1] == in_numbers(equal[0], values)
                values[letter] = numbers[-1]
            assert step.formulas[-1].startswith(step.letter)
            assert values[step.letter] == problem.value(step.parameter)
            defined[step.letter] = step.parameter
        parameters = [step.parameter for step in steps]
        assert len(set(parameters)) == len(parameters)
        assert set(parameters) == problem.necessary
        assert parameters[-1] == problem.query
        assert text.endswith(f"<answer> {problem.value(problem.query)}")

        operations = sum(len(step.formulas) for step in steps)
        assert operations == text.count(";") == sum(map(problem.operations, parameters))
        if c.reask:
            assert operations <= c.letters
        else:
            assert operations == c.op if c.op else operations <= c.max_op
        assert len(problem.stated) <= c.max_edges
        for statement in problem.stated.values():
            operands = len(statement.operands) + (statement.constant is not None)
            assert 1 <= operands <= 4
            assert statement.constant is None or statement.constant < c.modulus
            assert len(set(statement.operands)) == len(statement.operands)


def test_the_question_stands_before_or_after_the_problem_and_else_nothing_changes() -> None:
    for pq, qp in zip(texts(igsm(), TEST, 50), texts(igsm(order="qp"), TEST, 50), strict=True):
        body, question, solution = re.fullmatch(r"<s> (.*) (How .*\?) (<solution>.*)", pq).groups()  # type: ignore[union-attr]
        assert qp == f"<s> {question} {body} {solution}"


# -- distributions -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("stream", "least"), [(TRAIN, 1), (TEST, 3)])
def test_op_is_the_smaller_of_two_uniform_numbers(stream: Stream, least: int) -> None:
    ops = np.bincount([text.count(";") for text in texts(igsm(), stream, 4000)], minlength=16)
    sizes = np.arange(least, 16)
    expected = 2 * (15 - sizes) + 1
    assert ops[:least].sum() == 0
    assert chisquare(ops[least:], 4000 * expected / expected.sum()).pvalue > 1e-3


# Means and standard errors of the released generator (commit e159aa2 of a copy of it, problems of exactly op operations
# and all template bins; 40,000, 12,000 and 8,000 problems).
RELEASED = {
    (5, 20): {
        "edges": (9.106, 0.020),
        "steps": (4.615, 0.002),
        "instance_steps": (3.505, 0.004),
        "abstract_query": (0.457, 0.0025),
        "constants": (0.665, 0.0012),
        "operands": (1.508, 0.0017),
        "unnecessary_constants": (0.649, 0.0013),
        "unnecessary_operands": (1.638, 0.0023),
    },
    (12, 20): {
        "edges": (10.326, 0.033),
        "steps": (9.512, 0.013),
        "instance_steps": (6.787, 0.014),
        "abstract_query": (0.498, 0.0046),
        "constants": (0.606, 0.0021),
        "operands": (1.834, 0.0039),
        "unnecessary_constants": (0.676, 0.0028),
        "unnecessary_operands": (1.592, 0.0053),
    },
    (21, 28): {
        "edges": (13.338, 0.054),
        "steps": (14.512, 0.028),
        "instance_steps": (10.449, 0.028),
        "abstract_query": (0.542, 0.0056),
        "constants": (0.585, 0.002),
        "operands": (2.065, 0.006),
        "unnecessary_constants": (0.665, 0.004),
        "unnecessary_operands": (1.601, 0.008),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(("op", "edges"), RELEASED)
def test_moments_are_those_of_the_released_generator(op: int, edges: int, read: Any) -> None:
    task = igsm(op=op, max_op=op, max_edges=edges, train_bins=22, max_tokens=4000)
    rows: dict[str, list[float]] = {name: [] for name in RELEASED[op, edges]}
    for text in texts(task, TRAIN, 2000):
        problem = read(text, 23)
        instance = [problem.stated[p] for p in problem.necessary if p in problem.stated]
        others = [statement for p, statement in problem.stated.items() if p not in problem.necessary]
        rows["edges"].append(len(problem.stated))
        rows["steps"].append(len(problem.necessary))
        rows["instance_steps"].append(len(instance))
        rows["abstract_query"].append(problem.query not in problem.stated)
        rows["constants"].append(mean_constants(instance) if instance else 0.0)
        for name, statements in (("", instance), ("unnecessary_", others)):
            if statements:
                rows[f"{name}operands"].append(
                    np.mean([len(s.operands) + (s.constant is not None) for s in statements])
                )
        if others:
            rows["unnecessary_constants"].append(mean_constants(others))
    for name, (mean, error) in RELEASED[op, edges].items():
        ours = np.array(rows[name], float)
        assert abs(ours.mean() - mean) < 4 * sqrt(error**2 + ours.var() / len(ours)), name


def mean_constants(statements: list[Any]) -> float:
    return float(np.mean([s.constant is not None for s in statements]))


@pytest.mark.slow
def test_constants_operators_and_letters_are_uniform(read: Any, read_steps: Any) -> None:
    added, multiplied, signs, letters = Counter[int](), Counter[int](), Counter[bool](), Counter[str]()
    for text in texts(igsm(), TRAIN, 3000):
        problem = read(text, 23)
        for statement in problem.stated.values():
            if statement.constant is not None:
                (multiplied if statement.times else added)[statement.constant] += 1
            if len(statement.operands) == 2:
                signs[statement.minus] += 1
        letters.update(step.letter for step in read_steps(text))
    assert set(added) == set(range(23))
    assert set(multiplied) == set(range(1, 23))
    assert len(letters) == 52
    for counts in (added, multiplied, signs, letters):
        assert chisquare(list(counts.values())).pvalue > 1e-3


def test_structures_are_layered_and_everything_is_contained() -> None:
    task = igsm()
    knobs = task._knobs(TRAIN)
    draft, page = structure.blank(), rendering.blank_page(knobs)
    depths = set()
    for i in range(400):
        assert rendering.draw(start(np.uint64(5), i), knobs, task._lexicon.words, draft, page)
        depth, edges, parameters = (
            int(draft["number"][k]) for k in (structure.DEPTH, structure.EDGES, structure.PARAMETERS)
        )
        widths = draft["width"].tolist()
        depths.add(depth)
        assert all(2 <= width <= 4 for width in widths[:depth])
        assert widths[depth:] == [0] * (4 - depth)
        contained = {
            (owner, target) for owner, target in zip(draft["owner"][:edges], draft["target"][:edges], strict=True)
        }
        assert len(contained) == edges
        assert all(target // 4 == owner // 4 + 1 for owner, target in contained)
        below = {4 * layer + place for layer in range(1, depth) for place in range(widths[layer])}
        assert {target for _, target in contained} == below
        assert parameters - edges == sum(widths[layer] * (depth - 1 - layer) for layer in range(depth))
        for layer in range(depth):
            names = draft["name"][4 * layer : 4 * layer + widths[layer]]
            assert len(set(names.tolist())) == widths[layer]
    assert depths == {2, 3, 4}


# -- the order of the problem's sentences ------------------------------------------------------------------------------


def out_of_place(problem: Any) -> float:
    """Share of (parameter, what its value takes) pairs of stated parameters that stand in the wrong order."""
    place = {p: i for i, p in enumerate(problem.order)}
    pairs = [(p, q) for p in problem.order for q in problem.closure(p) if q != p and q in place]
    return sum(place[p] < place[q] for p, q in pairs) / max(1, len(pairs))


@pytest.mark.slow
def test_shuffle_levels(read: Any, read_steps: Any) -> None:
    wrong = []
    for level in range(6):
        problems = [read(text, 23) for text in texts(igsm(perm_level=level), TEST, 200)]
        wrong.append(np.mean([out_of_place(problem) for problem in problems]))
    assert wrong[0] == 0
    assert wrong == sorted(wrong)
    assert len(set(wrong)) == 6
    for text in texts(igsm(perm_level=6), TEST, 100):
        problem = read(text, 23)
        solved = [step.parameter for step in read_steps(text) if step.parameter in problem.stated]
        assert problem.order[: len(solved)] == solved
        assert out_of_place(problem) == 0


def test_a_full_shuffle_is_uniform(read: Any) -> None:
    places = []
    for text in texts(igsm(op=8), TEST, 3000):
        problem = read(text, 23)
        if len(problem.order) == 9 and problem.query in problem.stated:
            places.append(problem.order.index(problem.query))
    assert chisquare(np.bincount(places, minlength=9)).pvalue > 1e-3


# -- train and test are disjoint ---------------------------------------------------------------------------------------


def sketch(steps: list[Any], problem: Any) -> str:
    """The paper's: a solution without names and numbers, letters renamed as they come."""
    renamed: dict[str, str] = {}
    lines = []
    for step in steps:
        kind = "Inst" if step.parameter in problem.stated else "Inter"
        formulas = re.sub(r"\d+", "0", "; ".join(step.formulas))
        lines.append(
            kind + ": " + re.sub(r"[A-Za-z]", lambda m: renamed.setdefault(m[0], f"x{len(renamed)}"), formulas)
        )
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("knobs", [TINY, {"op": 4}, {**TINY, "reask": True}, {"op": 3, "order": "qp"}], ids=str)
def test_no_template_of_a_test_is_seen_in_training(knobs: dict[str, Any], read: Any, read_steps: Any) -> None:
    task = igsm(**knobs)
    train, validation, test = (
        Counter(
            sketch(read_steps(text), read(text, task.config.modulus)) for text in texts(task, Stream(split, seed), 1500)
        )
        for split, seed in (("train", 0), ("validation", 0), ("test", 1))
    )
    assert max(train.values()) > 5
    assert max(test.values()) > 5
    assert not (train | validation).keys() & test.keys()
    assert train.keys() & validation.keys()


def test_templates_do_not_depend_on_names_numbers_letters_or_retries(read: Any, read_steps: Any) -> None:
    """Equal sketches have equal bins, over configurations: so training and test sets of any two are disjoint."""
    bins: dict[str, int] = {}
    for knobs in ({}, {"names": 20, "modulus": 7, "order": "qp"}, {"retry_rate": 0.3, "letters": 20, "max_edges": 15}):
        task = igsm(op=4, **knobs)
        wide = task._knobs(TRAIN)._replace(first_bin=0, end_bin=dependency.HASH_BINS)
        draft, page = structure.blank(), rendering.blank_page(wide)
        for i in range(600):
            length = rendering.draw(start(np.uint64(7), i), wide, task._lexicon.words, draft, page)
            text = task.text(page[0, :length])
            steps = [step for step in read_steps(text) if step.letter != "BACK"]
            found = bins.setdefault(sketch(steps, read(text, task.config.modulus)), dependency.template_bin(draft))
            assert found == dependency.template_bin(draft)
    assert len(bins) > 100
    assert set(bins.values()) == set(range(23))


def test_bins_are_equally_likely() -> None:
    task = igsm(op=12)
    knobs = task._knobs(TRAIN)._replace(first_bin=0, end_bin=dependency.HASH_BINS)
    draft, page = structure.blank(), rendering.blank_page(knobs)
    bins = []
    for i in range(4600):
        rendering.draw(start(np.uint64(9), i), knobs, task._lexicon.words, draft, page)
        bins.append(dependency.template_bin(draft))
    assert chisquare(np.bincount(bins, minlength=23)).pvalue > 1e-3
