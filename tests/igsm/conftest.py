"""An independent reading of iGSM: of the English text, by regular expressions, recursion and path enumeration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest

from physlm.igsm.bank import CATEGORIES, NOUNS

Parameter = tuple[str, str]

# The nouns of each category; a name is a noun, perhaps after a qualifier.
CATEGORY_NOUNS = {
    category: set(nouns)
    for categories, levels in zip(CATEGORIES, NOUNS, strict=True)
    for category, nouns in zip(categories, levels, strict=True)
}


@dataclass(frozen=True)
class Statement:
    """ "5 more than the difference of A and B": the constant and its sign, the operands and theirs."""

    constant: int | None
    times: bool
    operands: tuple[Parameter, ...]
    minus: bool

    def value(self, operand: Callable[[Parameter], int]) -> int:
        values = [operand(p) for p in self.operands]
        total = values[0] - values[1] if self.minus else sum(values)
        if self.constant is None:
            return total
        return self.constant * total if self.times else self.constant + total


class Reading:
    """A problem as its text says it."""

    def __init__(self, text: str, modulus: int) -> None:
        self.modulus = modulus
        self.order: list[Parameter] = []  # as stated
        self.stated: dict[Parameter, Statement] = {}
        body, _, _ = text.partition("<solution>")
        for sentence in re.findall(r"The number of each ([^.]+)\.", body):
            subject, _, predicate = sentence.partition(" equals ")
            parameter = _parameter(subject)
            assert parameter not in self.stated
            self.order.append(parameter)
            self.stated[parameter] = _statement(predicate)
        ((what, owner),) = re.findall(r"How many ([^.]+) does each ([^.]+) have\?", body)
        self.query: Parameter = (owner, what)
        self._values: dict[Parameter, int] = {}

    def children(self, thing: str) -> list[str]:
        return [target for owner, target in self.stated if owner == thing]

    def needs(self, parameter: Parameter) -> set[Parameter]:
        """What it is directly computed from."""
        if parameter in self.stated:
            return set(self.stated[parameter].operands)
        thing, category = parameter
        direct = {(thing, child) for child in self.children(thing)}
        return direct | {(child, category) for child in self.children(thing) if not self.is_of(child, category)}

    def is_of(self, thing: str, category: str) -> bool:
        return thing.split()[-1] in CATEGORY_NOUNS[category]

    def closure(self, parameter: Parameter) -> set[Parameter]:
        """All that it is computed from, itself included."""
        found: set[Parameter] = set()
        waiting = [parameter]
        while waiting:
            found.add(waiting[-1])
            waiting += self.needs(waiting.pop()) - found
        return found

    @cached_property
    def necessary(self) -> set[Parameter]:
        return self.closure(self.query)

    def value(self, parameter: Parameter) -> int:
        if parameter not in self._values:
            if parameter in self.stated:
                total = self.stated[parameter].value(self.value)
            else:
                total = 0
                for path in self.paths(*parameter):
                    product = 1
                    for step in path:
                        product *= self.value(step)
                    total += product
            self._values[parameter] = total % self.modulus
        return self._values[parameter]

    def paths(self, thing: str, category: str) -> Iterator[list[Parameter]]:
        """Every way from a thing down to a thing of the category, as the numbers along it."""
        for child in self.children(thing):
            if self.is_of(child, category):
                yield [(thing, child)]
            else:
                yield from ([(thing, child), *path] for path in self.paths(child, category))

    def operations(self, parameter: Parameter) -> int:
        """Binary operations of the parameter's sentence, at least one."""
        if parameter in self.stated:
            statement = self.stated[parameter]
            operands = len(statement.operands) + (statement.constant is not None)
        else:
            thing, category = parameter
            operands = sum(1 if self.is_of(child, category) else 2 for child in self.children(thing))
        return max(1, operands - 1)


def _parameter(text: str) -> Parameter:
    owner, _, target = text.strip().partition("'s ")
    return owner, target


def _statement(text: str) -> Statement:
    match = re.fullmatch(r"(\d+)?(?: (more than|times as much as) )?(the sum of|the difference of)?(.*)", text)
    assert match is not None, text
    constant, relation, combination, rest = match.groups()
    operands = tuple(_parameter(part) for part in re.split(r"(?:^|,? and |,)\s*each ", rest.strip()) if part.strip())
    assert (combination is None) == (len(operands) < 2), text
    assert (relation is None) == (constant is None or not operands), text
    minus = combination == "the difference of"
    return Statement(None if constant is None else int(constant), relation == "times as much as", operands, minus)


@dataclass(frozen=True)
class Step:
    """One sentence of a solution; its formulas as they stand, without "so"."""

    parameter: Parameter
    letter: str
    formulas: tuple[str, ...]


def steps(text: str) -> list[Step]:
    """The sentences of a solution; retries have the letter BACK and no formulas."""
    _, _, solution = text.rpartition("<solution>")
    found = []
    for sentence in re.findall(r"Define ([^.]+)\.", solution):
        head, *formulas = sentence.split("; ")
        name, _, letter = head.rpartition(" as ")
        found.append(Step(_parameter(name), letter, tuple(formula.removeprefix("so ") for formula in formulas)))
    return found


@pytest.fixture
def read() -> Callable[[str, int], Reading]:
    """Reads a problem's text, numbers modulo the second argument."""
    return Reading


@pytest.fixture
def read_steps() -> Callable[[str], list[Step]]:
    """Reads a solution's sentences."""
    return steps
