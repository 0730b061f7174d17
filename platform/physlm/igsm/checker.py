"""What a reader of the problem can say about a solution: every step is checked, nothing of the generator is used.

A solution is a row of sentences, then the answer, then nothing or the separator:

    Define X's Y as g [; R = a + b = 5 + 2 = 0]... ; so g [= a + b = 5 + 2 | = a] = 0 .
    Define X's Y as BACK .
    <answer> 0

It is right if every sentence is: its letters are new, its operands are letters known by then (or numbers), the numbers
stand for the operands, the arithmetic holds modulo m, and what is computed is *formally equal* to what the problem says
the parameter is: the same polynomial in the parameters that the problem names, over the integers modulo m. So the order
of the sentences, of the operands and of the operations is free; another parameter of the same value, or the right value
by a wrong way, is not enough. Nothing is defined twice. The last sentence must define what is asked, and the answer be
its value. Sentences that the answer doesn't need are counted, not refused; so are retries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

from physlm.errors import UserError
from physlm.igsm import lexicon as word
from physlm.igsm.lexicon import Lexicon

What: TypeAlias = tuple[int, ...]  # a thing: chain, level, name; or a category: chain, level
Parameter: TypeAlias = tuple[What, What]  # what it belongs to, always a thing; what is counted
Polynomial: TypeAlias = dict[tuple[Parameter, ...], int]  # coefficient, in 1..m-1, of each product of parameters

_MAX_DEGREE = 2  # an honest step multiplies two parameters at most


class _Malformed(Exception):
    """The text at hand isn't of the form it should be."""


@dataclass(frozen=True)
class Finding:
    """What the checker found; see `Igsm.verify` for the counts."""

    correct: bool
    reason: str
    counts: Mapping[str, float]


class _Reader:
    """Walks over tokens."""

    def __init__(self, lexicon: Lexicon, tokens: Sequence[int]) -> None:
        self.lexicon, self.tokens, self.at = lexicon, tokens, 0

    @property
    def next(self) -> int:
        """The token to be read next; -1 at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else -1

    def take(self, *allowed: int) -> bool:
        """Read the next token if it is one of these."""
        if self.next in allowed:
            self.at += 1
            return True
        return False

    def expect(self, token: int) -> None:
        if not self.take(token):
            raise _Malformed(f"{self.shown} where `{self.lexicon.tokens[token]}` should be")

    @property
    def shown(self) -> str:
        """The next token, for people."""
        if self.at >= len(self.tokens):
            return "the end"
        return f"`{self.lexicon.text([self.next])}`"

    def number(self) -> int | None:
        return self._below(self.lexicon.words.number, self.lexicon.modulus)

    def letter(self) -> int | None:
        return self._below(word.LETTER, self.lexicon.letters)

    def _below(self, first: int, count: int) -> int | None:
        found = self.next - first
        if not 0 <= found < count:
            return None
        self.at += 1
        return found

    def expect_number(self) -> int:
        number = self.number()
        if number is None:
            raise _Malformed(f"{self.shown} where a number should be")
        return number

    def expect_letter(self) -> int:
        letter = self.letter()
        if letter is None:
            raise _Malformed(f"{self.shown} where a letter should be")
        return letter

    def thing(self) -> What:
        for length in (1, 2):
            found = self.lexicon.names_by_tokens.get(tuple(self.tokens[self.at : self.at + length]))
            if found is not None:
                self.at += length
                return found
        raise _Malformed(f"{self.shown} where a name should be")

    def target(self) -> What:
        category = self.lexicon.categories_by_token.get(self.next)
        if category is None:
            return self.thing()
        self.at += 1
        return category

    def parameter(self) -> Parameter:
        owner = self.thing()
        self.expect(word.OF)
        return owner, self.target()


@dataclass
class Problem:
    """A problem as read from its text: what each parameter is computed from, and what it comes to."""

    lexicon: Lexicon
    query: Parameter
    formulas: Mapping[Parameter, Polynomial]
    values: Mapping[Parameter, int]
    necessary: frozenset[Parameter]
    operations: int  # of the shortest solution

    def name(self, parameter: Parameter) -> str:
        """ "X's Y"."""
        return f"{self._word(parameter[0])}'s {self._word(parameter[1])}"

    def _word(self, what: What) -> str:
        words = self.lexicon.words
        tokens = [words.category[what]] if len(what) == 2 else words.name[what]
        return self.lexicon.text([int(token) for token in tokens if token >= 0])

    def needs(self, parameter: Parameter) -> set[Parameter]:
        """What the parameter is directly computed from."""
        return {factor for term in self.formulas[parameter] for factor in term}


def read_problem(lexicon: Lexicon, tokens: Sequence[int]) -> Problem:
    """The problem of a prompt. Raises UserError where the tokens are no prompt of this vocabulary."""
    try:
        return _read_problem(lexicon, tokens)
    except _Malformed as malformed:
        raise UserError(f"not an iGSM prompt of this configuration: {malformed}") from None


def _read_problem(lexicon: Lexicon, tokens: Sequence[int]) -> Problem:
    reader = _Reader(lexicon, tokens)
    stated: dict[Parameter, tuple[Polynomial, int]] = {}
    asked: list[Parameter] = []
    reader.expect(word.SEPARATOR)
    while not reader.take(word.SOLUTION):
        if reader.take(word.NUMBER_OF):
            reader.expect(word.EACH)
            parameter = reader.parameter()
            owner, target = parameter
            if parameter in stated or len(target) == 2 or target[:2] != (owner[0], owner[1] + 1):
                raise _Malformed("a sentence about what isn't a number of things in a thing, or was said before")
            reader.expect(word.EQUALS)
            stated[parameter] = _read_expression(reader)
            reader.expect(word.STOP)
        else:
            reader.expect(word.HOW_MANY)
            target = reader.target()
            reader.expect(word.DOES)
            reader.expect(word.EACH)
            asked.append((reader.thing(), target))
            reader.expect(word.HAVE)
            reader.expect(word.QUESTION)
    if len(asked) != 1:
        raise _Malformed(f"{len(asked)} questions where one should be")
    formulas = {parameter: formula for parameter, (formula, _) in stated.items()}
    operations = {parameter: count for parameter, (_, count) in stated.items()}
    _add_abstract(formulas, operations, asked[0])
    values, order = _evaluate(formulas, lexicon.modulus)
    if asked[0] not in formulas:
        raise _Malformed("the question asks for what the problem doesn't have")
    necessary = {asked[0]}
    for parameter in reversed(order):
        if parameter in necessary:
            necessary.update(factor for term in formulas[parameter] for factor in term)
    return Problem(
        lexicon, asked[0], formulas, values, frozenset(necessary), sum(operations[parameter] for parameter in necessary)
    )


def _read_expression(reader: _Reader) -> tuple[Polynomial, int]:
    """What follows "equals": the polynomial and the number of operations."""
    modulus = reader.lexicon.modulus
    constant = reader.number()
    if constant is not None and reader.next == word.STOP:
        return _constant(constant, modulus), 1
    times = reader.take(word.TIMES) if constant is not None else False
    if constant is not None and not times:
        reader.expect(word.MORE_THAN)
    parts = []
    minus = reader.take(word.DIFFERENCE_OF)
    many = minus or reader.take(word.SUM_OF)
    while True:
        reader.expect(word.EACH)
        parts.append(reader.parameter())
        if not many or not reader.take(word.COMMA, word.AND):
            break
    formula: Polynomial = {}
    for i, part in enumerate(parts):
        formula = _add(formula, {(part,): 1}, -1 if minus and i else 1, modulus)
    if times:
        formula = _multiply(formula, _constant(constant or 0, modulus), modulus)
    elif constant is not None:
        formula = _add(formula, _constant(constant, modulus), 1, modulus)
    return formula, max(1, len(parts) - (constant is None))


def _add_abstract(formulas: dict[Parameter, Polynomial], operations: dict[Parameter, int], asked: Parameter) -> None:
    """Add the abstract parameters of every thing that is mentioned, down to the lowest level that is mentioned."""
    edges = [(owner, target) for owner, target in formulas]
    mentioned = {asked[0], *(thing for edge in edges for thing in edge), *_things(formulas)}
    categories = {target for term in _terms(formulas) for _, target in term if len(target) == 2}
    bottom = max(what[1] for what in mentioned | categories | {asked[1]})
    for thing in sorted(mentioned, key=lambda thing: -thing[1]):
        for level in range(thing[1] + 1, bottom + 1):
            held = [target for owner, target in edges if owner == thing]
            if level == thing[1] + 1:
                terms: list[tuple[Parameter, ...]] = [((thing, lower),) for lower in held]
            else:
                terms = [_product((thing, lower), (lower, (thing[0], level))) for lower in held]
            formulas[thing, (thing[0], level)] = dict.fromkeys(terms, 1)
            operations[thing, (thing[0], level)] = max(1, sum(map(len, terms)) - 1)


def _product(*factors: Parameter) -> tuple[Parameter, ...]:
    return tuple(sorted(factors))


def _terms(formulas: Mapping[Parameter, Polynomial]) -> Iterator[tuple[Parameter, ...]]:
    for formula in formulas.values():
        yield from formula


def _things(formulas: Mapping[Parameter, Polynomial]) -> Iterator[What]:
    for term in _terms(formulas):
        for owner, _ in term:
            yield owner


def _evaluate(formulas: Mapping[Parameter, Polynomial], modulus: int) -> tuple[dict[Parameter, int], list[Parameter]]:
    """All values, in a topological order."""
    waiting = {parameter: {f for term in formula for f in term} for parameter, formula in formulas.items()}
    values: dict[Parameter, int] = {}
    while waiting:
        ready = [parameter for parameter, needs in waiting.items() if needs <= values.keys()]
        if not ready:
            raise _Malformed("parameters that depend on each other or on what isn't said")
        for parameter in ready:
            del waiting[parameter]
            values[parameter] = _value(formulas[parameter], values, modulus)
    return values, list(values)


def _value(formula: Polynomial, values: Mapping[Parameter, int], modulus: int) -> int:
    total = 0
    for term, coefficient in formula.items():
        for factor in term:
            coefficient *= values[factor]
        total += coefficient
    return total % modulus


def _constant(value: int, modulus: int) -> Polynomial:
    return {(): value % modulus} if value % modulus else {}


def _add(left: Polynomial, right: Polynomial, sign: int, modulus: int) -> Polynomial:
    total = dict(left)
    for term, coefficient in right.items():
        total[term] = (total.get(term, 0) + sign * coefficient) % modulus
    return {term: coefficient for term, coefficient in total.items() if coefficient}


def _multiply(left: Polynomial, right: Polynomial, modulus: int) -> Polynomial:
    total: Polynomial = {}
    for (a, x), (b, y) in product(left.items(), right.items()):
        term = _product(*a, *b)
        if len(term) > _MAX_DEGREE:
            raise _Malformed("a product of more than two parameters, which no parameter is")
        total[term] = (total.get(term, 0) + x * y) % modulus
    return {term: coefficient for term, coefficient in total.items() if coefficient}


@dataclass
class _Checker:
    """The state of reading one solution: what each letter stands for, and the counts."""

    problem: Problem
    reader: _Reader
    values: dict[int, int] = field(default_factory=dict)
    formulas: dict[int, Polynomial] = field(default_factory=dict)
    defined: list[Parameter] = field(default_factory=list)
    current: Parameter | None = None
    counts: dict[str, float] = field(
        default_factory=lambda: {
            "sentences": 0,
            "operations": 0,
            "unnecessary_parameters": 0,
            "unnecessary_operations": 0,
            "retries": 0,
        }
    )

    def sentence(self) -> None:
        self.current = None
        self.reader.expect(word.DEFINE)
        parameter = self.reader.parameter()
        self.current = parameter if parameter in self.problem.formulas else None
        self.reader.expect(word.AS)
        if self.reader.take(word.BACK):  # whatever it was
            self.reader.expect(word.STOP)
            self.counts["retries"] += 1
            return
        if self.current is None:
            raise _Malformed(f"the problem has no {self.problem.name(parameter)}")
        if parameter in self.defined:
            raise _Malformed("computed before")
        own = self.fresh_letter()
        operations, done = 0, False
        while not done:
            self.reader.expect(word.SEMICOLON)
            operations += 1
            done = self.reader.take(word.SO)
            if done:
                if self.reader.expect_letter() != own:
                    raise _Malformed("the sentence ends with another letter than it defines")
                result = own
            else:
                result = self.fresh_letter(own)
            self.reader.expect(word.EQUAL)
            self.formulas[result], self.values[result] = self.equation()
        self.reader.expect(word.STOP)
        self.conclude(parameter, own, operations)

    def fresh_letter(self, own: int = -1) -> int:
        letter = self.reader.expect_letter()
        if letter in self.values or letter == own:
            raise _Malformed(f"letter {self.shown(letter)} is taken")
        return letter

    def shown(self, letter: int) -> str:
        lexicon = self.problem.lexicon
        return f"`{lexicon.tokens[word.LETTER + letter]}`"

    def equation(self) -> tuple[Polynomial, int]:
        """What follows "R =": "W + B = 13 + 7 = 20", "W = 20" or "20"."""
        modulus = self.problem.lexicon.modulus
        left, left_value, is_letter = self.operand()
        sign = self.reader.next
        if not self.reader.take(word.PLUS, word.MINUS, word.STAR):
            if is_letter:
                self.reader.expect(word.EQUAL)
                if self.reader.expect_number() != left_value:
                    raise _Malformed(f"another value than the letter's, {left_value}")
            return left, left_value
        right, right_value, _ = self.operand()
        self.reader.expect(word.EQUAL)
        for value, separator in ((left_value, sign), (right_value, word.EQUAL)):
            if self.reader.expect_number() != value:
                raise _Malformed(f"a number that isn't the operand's value, {value}")
            self.reader.expect(separator)
        if sign == word.STAR:
            formula, value = _multiply(left, right, modulus), left_value * right_value
        else:
            factor = -1 if sign == word.MINUS else 1
            formula, value = _add(left, right, factor, modulus), left_value + factor * right_value
        if self.reader.expect_number() != value % modulus:
            raise _Malformed(f"wrong arithmetic, {value % modulus} would be right")
        return formula, value % modulus

    def operand(self) -> tuple[Polynomial, int, bool]:
        number = self.reader.number()
        if number is not None:
            return _constant(number, self.problem.lexicon.modulus), number, False
        letter = self.reader.expect_letter()
        if letter not in self.values:
            raise _Malformed(f"letter {self.shown(letter)} stands for nothing yet")
        return self.formulas[letter], self.values[letter], True

    def conclude(self, parameter: Parameter, own: int, operations: int) -> None:
        problem = self.problem
        if self.formulas[own] != problem.formulas[parameter]:
            missing = problem.needs(parameter).difference(self.defined)
            if missing:
                raise _Malformed(f"not computed yet: {', '.join(sorted(map(problem.name, missing)))}")
            raise _Malformed("not computed as the problem says")
        self.counts["sentences"] += 1
        self.counts["operations"] += operations
        if parameter not in problem.necessary:
            self.counts["unnecessary_parameters"] += 1
            self.counts["unnecessary_operations"] += operations
        self.defined.append(parameter)
        self.formulas[own] = {(parameter,): 1}

    def answer(self) -> None:
        problem = self.problem
        self.current = None
        if not self.defined or self.defined[-1] != problem.query:
            raise _Malformed("the last sentence doesn't define what is asked")
        if self.reader.expect_number() != problem.values[problem.query]:
            raise _Malformed(f"the answer isn't {problem.values[problem.query]}")
        if self.reader.at < len(self.reader.tokens):
            self.reader.expect(word.SEPARATOR)


def check(problem: Problem, tokens: Sequence[int]) -> Finding:
    """Check a solution of any tokens and any length; never raises."""
    checker = _Checker(problem, _Reader(problem.lexicon, tokens))
    number = 0
    try:
        while not checker.reader.take(word.ANSWER):
            number += 1
            checker.sentence()
        number = 0
        checker.answer()
    except _Malformed as malformed:
        where = f"sentence {number}" if number else "answer"
        parameter = checker.current
        about = f" ({problem.name(parameter)})" if parameter is not None else ""
        wrong = _wrong(problem, checker, number)
        return Finding(False, f"{where}{about}: {malformed}", {**checker.counts, **wrong})
    return Finding(True, "", checker.counts)


def _wrong(problem: Problem, checker: _Checker, number: int) -> dict[str, float]:
    """The first wrong sentence, from 1, and whether its parameter could be computed at that point."""
    if not number:
        return {}
    wrong: dict[str, float] = {"first_wrong": number}
    if checker.current is not None:
        defined = set(checker.defined)
        wrong["first_wrong_can_next"] = float(
            checker.current not in defined and problem.needs(checker.current) <= defined
        )
    return wrong
