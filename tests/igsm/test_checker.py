"""The checker: every right solution passes however it is written, every wrong one fails, nothing makes it raise."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm.errors import UserError
from physlm.igsm import checker, lexicon
from physlm.tasks import Stream, Verdict
from physlm.tasks.igsm import Igsm, IgsmConfig

TINY = IgsmConfig(**Igsm.presets["tiny"])
LANGUAGES = {
    "tiny": TINY,
    "med": IgsmConfig(),
    "hard": IgsmConfig(**Igsm.presets["hard_qp"]),
    "retries": TINY.model_copy(update={"retry_rate": 0.4}),
    "reask": IgsmConfig(reask=True),
}


LETTER = re.compile(r"(?<![\w'])[A-Za-z](?!\w)")


@cache
def igsm(name: str = "tiny") -> Igsm:
    return Igsm(LANGUAGES[name])


def problems(task: Igsm, count: int) -> Iterator[tuple[Any, list[int], str]]:
    """Prompt, right completion, and the text of both."""
    instances = task.sample(Stream("test", 5), np.arange(count))
    for i in range(count):
        yield instances.truth[i], task.completion(instances, i).tolist(), task.text(instances[i])


def verify(task: Igsm, prompt: Any, completion: Any) -> Verdict:
    tokens = task.parse(completion) if isinstance(completion, str) else np.array(completion, np.int64)
    return task.verify(prompt, tokens)


# -- right ones --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_sampled_solution_passes_and_is_counted(name: str, read: Any, read_steps: Any) -> None:
    task = igsm(name)
    for prompt, completion, text in problems(task, 200):
        verdict = verify(task, prompt, completion)
        assert verdict.correct, verdict.reason
        steps = read_steps(text)
        assert verdict.counts == {
            "sentences": len(read(text, task.config.modulus).necessary),
            "operations": text.count(";"),
            "unnecessary_parameters": 0,
            "unnecessary_operations": 0,
            "retries": sum(step.letter == "BACK" for step in steps),
        }


def own_solution(problem: Any, rng: random.Random, extra: int) -> tuple[str, int, int]:
    """A solution in another order and from the right, with `extra` unnecessary numbers if it can; and how many."""
    letters = list(lexicon.LETTERS)
    rng.shuffle(letters)
    names = {p for q in problem.stated for p in problem.closure(q)} | problem.closure(problem.query)
    extras = sorted(p for p in names - problem.necessary if problem.query not in problem.closure(p))
    rng.shuffle(extras)
    wanted = set(problem.necessary)
    for p in extras:
        more = problem.closure(p) - wanted
        if len(more) <= extra and sum(map(problem.operations, wanted | more)) <= len(letters):
            wanted |= more
            extra -= len(more)
    letter_of: dict[Any, tuple[str, int]] = {}
    sentences = []
    m = problem.modulus
    while wanted:
        ready = [p for p in sorted(wanted) if problem.needs(p) <= letter_of.keys()]
        p = rng.choice([q for q in ready if q != problem.query] or ready)
        wanted.remove(p)
        own = letters.pop()
        work: list[str] = []

        def step(left: tuple[str, int], sign: str, right: tuple[str, int], work: list[str] = work) -> tuple[str, int]:
            result = {"+": left[1] + right[1], "-": left[1] - right[1], "*": left[1] * right[1]}[sign] % m
            letter = letters.pop()
            work.append(f"{letter} = {left[0]} {sign} {right[0]} = {left[1]} {sign} {right[1]} = {result}")
            return letter, result

        if p in problem.stated:
            s = problem.stated[p]
            parts = [letter_of[q] for q in s.operands]
        else:
            s = None
            parts = []
            for child in problem.children(p[0]):
                count = letter_of[p[0], child]
                parts.append(count if problem.is_of(child, p[1]) else step(letter_of[child, p[1]], "*", count))
        minus = s is not None and s.minus
        total: tuple[str, int] | None = None
        for part in parts if minus else parts[::-1]:
            total = part if total is None else step(total, "-" if minus else "+", part)
        if s is not None and s.constant is not None:
            constant = (str(s.constant), s.constant)
            total = constant if total is None else step(total, "*" if s.times else "+", constant)
        if work:  # the last operation gives the sentence's own letter
            letter, _, rest = work.pop().partition(" = ")
            letters.append(letter)
            work.append(f"so {own} = {rest}")
        else:
            name, value = total or ("0", 0)
            work.append(f"so {own} = {name}" if name.isdigit() else f"so {own} = {name} = {value}")
        letter_of[p] = own, problem.value(p)
        sentences.append(f"Define {p[0]}'s {p[1]} as {own}; {'; '.join(work)}.")
    unnecessary = set(letter_of) - problem.necessary
    text = " ".join(sentences) + f" <answer> {problem.value(problem.query)}"
    return text, len(unnecessary), sum(map(problem.operations, unnecessary))


@pytest.mark.parametrize("name", ["tiny", "med", "reask"])
def test_solutions_in_other_words_pass_and_what_they_need_not_say_is_counted(name: str, read: Any) -> None:
    task, rng = igsm(name), random.Random(0)
    others = 0
    for i, (prompt, _, text) in enumerate(problems(task, 200)):
        problem = read(text, task.config.modulus)
        solution, parameters, operations = own_solution(problem, rng, extra=i % 4)
        if sum(map(problem.operations, problem.necessary)) + operations > task.config.letters:
            continue
        verdict = verify(task, prompt, relettered(solution, task.config.letters))
        assert verdict.correct, f"{verdict.reason}\n{text}\n{solution}"
        assert verdict.counts["unnecessary_parameters"] == parameters
        assert verdict.counts["unnecessary_operations"] == operations
        others += parameters > 0
    assert others > 50


def relettered(solution: str, letters: int) -> str:
    """The solution with the first letters of the alphabet."""
    renamed = dict(zip(dict.fromkeys(LETTER.findall(solution)), lexicon.LETTERS[:letters], strict=False))
    return LETTER.sub(lambda letter: renamed[letter[0]], solution)


def test_mistakes_that_are_taken_back_are_counted_not_refused() -> None:
    task = igsm()
    for prompt, completion, text in problems(task, 50):
        name = re.search(r"Define (.*?) as", text)[1]  # type: ignore[index]
        back = task.parse(f"Define {name} as BACK.").tolist()
        verdict = verify(task, prompt, back + back + completion)
        assert verdict.correct
        assert verdict.counts["retries"] == 2
        assert verdict.counts["unnecessary_parameters"] == 0


def test_what_follows_a_separator_is_not_read() -> None:
    task = igsm()
    prompt, completion, _ = next(problems(task, 1))
    assert verify(task, prompt, [*completion, task.separator, 5, 5]).correct
    assert not verify(task, prompt, [*completion, 5]).correct


# -- wrong ones --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "med", "hard", "reask"])
def test_every_other_token_anywhere_is_wrong(name: str) -> None:
    task, rng = igsm(name), random.Random(0)
    words = len(task.vocabulary)
    for prompt, completion, _ in problems(task, 20 if name == "tiny" else 5):
        for place, token in enumerate(completion):
            kin = [token - 1, token + 1]  # the next number, letter, name or sign
            for other in [*kin, *rng.sample(range(words), 3), rng.choice(completion)]:
                if other != token:
                    changed = [*completion[:place], other, *completion[place + 1 :]]
                    verdict = verify(task, prompt, changed)
                    assert not verdict.correct, task.text(np.array(changed))
                    assert verdict.reason
            assert not verify(task, prompt, completion[:place] + completion[place + 1 :]).correct
            assert not verify(task, prompt, completion[:place]).correct


def joined(parts: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(parts))


def sentences(completion: list[int]) -> tuple[list[list[int]], list[int]]:
    """The sentences of a completion, and the answer."""
    found: list[list[int]] = [[]]
    for token in completion:
        found[-1].append(token)
        if token == lexicon.STOP:
            found.append([])
    return found[:-1], found[-1]


@pytest.mark.parametrize("name", ["tiny", "med", "hard", "reask"])
def test_dropped_and_swapped_sentences(name: str, read: Any, read_steps: Any) -> None:
    task = igsm(name)
    swaps = {True: 0, False: 0}
    for prompt, completion, text in problems(task, 60):
        said, answer = sentences(completion)
        steps = read_steps(text)
        problem = read(text, task.config.modulus)
        for i in range(len(said)):
            dropped = joined([*said[:i], *said[i + 1 :], answer])
            assert not verify(task, prompt, dropped).correct
            if i:
                swapped = joined([*said[: i - 1], said[i], said[i - 1], *said[i + 1 :], answer])
                verdict = verify(task, prompt, swapped)
                depends = steps[i - 1].parameter in problem.needs(steps[i].parameter)
                assert verdict.correct == (not depends and i < len(said) - 1)
                swaps[depends] += 1
                if depends:
                    assert verdict.counts["first_wrong"] == i
                    assert verdict.counts["first_wrong_can_next"] == 0
                    assert "nothing yet" in verdict.reason
    assert min(swaps.values()) > 5


def test_the_wrong_answer_fails() -> None:
    task = igsm()
    for prompt, completion, _ in problems(task, 50):
        for wrong in range(7):
            number = task._lexicon.words.number + wrong
            assert verify(task, prompt, [*completion[:-1], number]).correct == (number == completion[-1])


def test_a_wrong_number_carried_through_fails_where_it_first_stands() -> None:
    task = igsm("med")
    for prompt, completion, _ in problems(task, 100):
        said, answer = sentences(completion)
        numbers = range(task._lexicon.words.number, task._lexicon.words.number + 23)
        value = said[0][-2]
        assert value in numbers
        wrong = numbers[(value - numbers[0] + 1) % 23]
        forged = [wrong if token == value else token for token in joined([*said[1:], answer])]
        verdict = verify(task, prompt, [*said[0][:-2], wrong, *said[0][-1:], *forged])
        assert not verdict.correct
        assert verdict.counts["first_wrong"] == 1
        assert verdict.counts["first_wrong_can_next"] == 1


SUM = igsm().parse(
    "<s> The number of each Calder's Gullhaven equals 3. The number of each Calder's Saltmouth equals 3. The number of "
    "each Dunmere's Gullhaven equals the sum of each Calder's Gullhaven and each Calder's Saltmouth. "
    "How many Gullhaven does each Dunmere have? <solution>"
)
TERMS = "Define Calder's Gullhaven as a; so a = 3. Define Calder's Saltmouth as b; so b = 3. "


def test_another_number_of_the_same_value_is_not_enough() -> None:
    """The right value by a wrong way: what is computed must be what the problem says."""
    prompt, head, task = SUM, TERMS, igsm()
    last = "Define Dunmere's Gullhaven as c; so c = {} = 3 {} 3 = {}. <answer> {}"
    assert verify(task, prompt, head + last.format("a + b", "+", 6, 6)).correct
    assert verify(task, prompt, head + last.format("b + a", "+", 6, 6)).correct
    for wrong in ("a + a", "b + b"):
        verdict = verify(task, prompt, head + last.format(wrong, "+", 6, 6))
        assert not verdict.correct
        assert verdict.reason == "sentence 3 (Dunmere's Gullhaven): not computed as the problem says"
    assert not verify(task, prompt, head + last.format("a - b", "-", 0, 0)).correct
    assert not verify(task, prompt, head + last.format("a * b", "*", 2, 2)).correct
    alone = "Define Dunmere's Gullhaven as c; so c = 6. <answer> 6"
    verdict = verify(task, prompt, alone)
    assert "not computed yet: Calder's Gullhaven, Calder's Saltmouth" in verdict.reason
    assert verdict.counts["first_wrong_can_next"] == 0


def test_numbers_are_computed_once_and_letters_given_once() -> None:
    verdict = verify(igsm(), SUM, TERMS + "Define Calder's Gullhaven as d; so d = 3.")
    assert verdict.reason == "sentence 3 (Calder's Gullhaven): computed before"
    assert (verdict.counts["first_wrong"], verdict.counts["first_wrong_can_next"]) == (3, 0)
    verdict = verify(igsm(), SUM, TERMS + "Define Dunmere's Gullhaven as b; so b = a + b = 3 + 3 = 6. <answer> 6")
    assert verdict.reason == "sentence 3 (Dunmere's Gullhaven): letter `b` is taken"
    assert verdict.counts["first_wrong_can_next"] == 1
    verdict = verify(igsm(), SUM, "Define Calder's Saltmouth as a; so b = 3.")
    assert "another letter" in verdict.reason


# -- what is no solution at all ----------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_random_tokens_never_pass_nor_raise(data: st.DataObject) -> None:
    task = igsm()
    prompt, completion, _ = list(problems(task, 20))[data.draw(st.integers(0, 19))]
    words = len(task.vocabulary)
    noise = st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-2, words + 2), max_size=60)
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(completion))] * 2)))
    tokens = completion[:a] + data.draw(noise) + completion[b:]
    verdict = verify(task, prompt, tokens)
    assert verdict.correct or verdict.reason
    if tokens[: len(completion)] != completion and lexicon.BACK not in tokens:
        assert not verdict.correct


@pytest.mark.slow
@settings(max_examples=200)
@given(st.binary(max_size=400) | st.text(max_size=400))
def test_random_bytes_and_texts(garbage: bytes | str) -> None:
    task = igsm()
    prompt, _, text = next(problems(task, 1))
    written = garbage.decode("latin-1") if isinstance(garbage, bytes) else garbage
    tokens = task.parse(written)
    assert tokens.dtype == np.int32
    assert len(tokens) <= len(written)
    assert not verify(task, prompt, tokens).correct
    # garbage after a right solution is a wrong one, unless it is nothing
    solution = text[text.index("<solution>") + 10 :]
    extended = task.parse(f"{solution} {written}")
    verdict = verify(task, prompt, extended)
    assert verdict.correct == (len(tokens) == 0 or tokens[0] == task.separator)


def megabytes() -> Iterator[tuple[str, Any]]:
    task = igsm()
    _, completion, text = next(problems(task, 1))
    rng = np.random.default_rng(0)
    name = re.search(r"Define (.*?) as", text)[1]  # type: ignore[index]
    back = task.parse(f"Define {name} as BACK.").tolist()
    yield "random tokens", rng.integers(0, len(task.vocabulary), 2**20)
    yield "the solution again and again", completion * (2**20 // len(completion))
    yield "retries without end", back * (2**20 // len(back))
    yield "one sentence without end", [*task.parse(f"Define {name} as a").tolist(), *[lexicon.SEMICOLON] * 2**20]
    yield "numbers out of range", np.full(2**20, 2**62)
    yield "random bytes", task.parse(rng.bytes(2**20).decode("latin-1"))
    yield "a word of a megabyte", task.parse("Define " + "a" * 2**20)
    yield "spaces", task.parse(" " * 2**21)
    yield "apostrophes", task.parse("'" * 2**20)


@pytest.mark.slow
def test_megabytes_are_refused_in_linear_time() -> None:
    task = igsm()
    prompt, _, _ = next(problems(task, 1))
    for what, tokens in megabytes():
        begin = time.process_time()
        len({i * i for i in range(2**20)})
        once = time.process_time() - begin  # what a look at each token takes on this machine
        begin = time.process_time()
        verdict = verify(task, prompt, tokens)
        took = time.process_time() - begin
        assert not verdict.correct, what
        assert len(verdict.reason) < 1000, what
        assert took < 200 * once, what  # in quadratic time it would be 100,000 times and more


def test_polynomials_stay_small() -> None:
    """Whatever a solution multiplies: no more than all products of two of the at most 62 parameters."""
    everything: checker.Polynomial = {(((i,), (i,)),): 1 for i in range(62)}
    square = checker._multiply(everything, everything, 23)
    assert len(square) == 62 * 63 // 2
    with pytest.raises(checker._Malformed, match="more than two"):
        checker._multiply(square, everything, 23)
    cube = "Define Dunmere's Gullhaven as c; d = a * b = 3 * 3 = 2; e = d * a = 2 * 3 = 6; so c = e = 6. <answer> 6"
    assert "more than two" in verify(igsm(), SUM, TERMS + cube).reason


# -- prompts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "<s>",
        "<s> <solution>",
        "<s> How many Silk does each Ketch have? <solution>",
        "<s> The number of each Ketch's Silk equals each Ketch's Silk. How many Silk does each Ketch have? <solution>",
        "<s> The number of each Ketch's Silk equals 7. How many Silk does each Ketch have? <solution>",
        "<s> The number of each Ketch's Silk equals 3. <solution>",
        "<s> The number of each Ketch's Silk equals 3. How many Silk does each Ketch have?",
        "<s> The number of each Ketch's Goods equals 3. How many Goods does each Ketch have? <solution>",
        "<s> The number of each Silk's Ketch equals 3. How many Ketch does each Silk have? <solution>",
    ],
)
def test_what_is_no_problem_is_refused_in_one_sentence(prompt: str) -> None:
    with pytest.raises(UserError, match=r"not an iGSM prompt of this configuration: .") as refused:
        verify(igsm(), igsm().parse(prompt), [])
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_garbled_prompts_are_refused_or_read(data: st.DataObject) -> None:
    task = igsm()
    prompt, completion, _ = list(problems(task, 20))[data.draw(st.integers(0, 19))]
    tokens = prompt.tolist()
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(tokens) - 1))
        tokens[place] = data.draw(st.integers(-1, len(task.vocabulary)))
    try:
        verdict = task.verify(np.array(tokens), np.array(completion))
    except UserError:
        return
    assert isinstance(verdict, Verdict)
