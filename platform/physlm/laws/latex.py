r"""A law's LaTeX, evaluated: the formula that people read must be the one that is fitted.

What is understood, in `Law.latex` and `Law.where`:

    A + B, A - B, A B, A \cdot B, A / B, A^{p}, \frac{A}{B}, e^{x}, \ln x, \operatorname{logit} x, brackets of any size
    L(N, D) = ...          an equation; several are separated by commas outside of brackets
    \ln \Delta = ...       an equation that is solved for what stands under the logarithm or the logit
    \operatorname{softmin}(x, y) = ...      a function of its own, with its definition
    m(\mathrm{reference}, E) = 1            a special case: at the first level of a category
    \kappa(E), a_{\mathrm{junk}}, n_0       a parameter at the row's level of a category

Symbols are named as parameters and variables are, `c_{\max}` for `c_max` and `R^{*}` for `R*`; `Law.symbols` tells
where they are written otherwise. A formula without left side is the response, or what nothing else defines.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physlm.errors import LawDataError
from physlm.laws.law import Law
from physlm.laws.scales import Array
from physlm.registry import nearest

_SPACE = re.compile(r"\\(?:quad|qquad|left|right|displaystyle|[bB]igg?[lr]?)(?![A-Za-z])|\\[,;:! ]|\s+|~")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|\\(?:mathrm|operatorname|text)\{(\w+)\}|\\[A-Za-z]+|[A-Za-z]|.")
_INVERSE: Mapping[str, Callable[[float], float]] = {"ln": math.exp, "logit": lambda y: 1 / (1 + math.exp(-y))}
_FUNCTIONS: Mapping[str, Callable[[float], float]] = {"ln": math.log, "logit": lambda y: math.log(y / (1 - y))}
_REFERENCE = "reference"

Node = tuple[Any, ...]  # ("number", x), ("symbol", name), ("call", name, arguments), or an operator with its nodes


@dataclass(frozen=True)
class _Equation:
    """name(arguments) = body, or function(name) = body; without name for a formula that has no left side."""

    name: str
    arguments: tuple[str, ...]
    function: str
    body: Node


def canonical(symbol: str) -> str:
    r"""A symbol's plain name: `c_{\max}` is c_max, `\mathrm{op}_{\mathrm{train}}` op_train, `R^{*}` R*."""
    plain = re.sub(r"\\(?:mathrm|operatorname|text)\b", "", symbol)
    return re.sub(r"[\\{}^\s]", "", plain)


def evaluate(law: Law, values: Array, data: Mapping[str, Array]) -> Array:
    """The response as the LaTeX says it. values of the parameters [k], each variable [n] -> [n].

    Raises LawDataError, with one sentence, for LaTeX that can't be understood or has unknown symbols.
    """
    try:
        formula = _Formula(law)
        count = len(data[law.size])
        return np.array([formula.at(values, {name: float(x[i]) for name, x in data.items()}) for i in range(count)])
    except _Unreadable as error:
        raise LawDataError(f"the LaTeX of the law {law.name} {error}: {law.latex}") from None


class _Unreadable(Exception):
    """What is wrong with it, as the end of a sentence."""


class _Formula:
    def __init__(self, law: Law) -> None:
        self.law = law
        written = {name: canonical(symbol) for name, symbol in law.symbols.items()}
        self.variables = {written.get(v.name, v.name): v for v in law.variables}
        self.parameters: dict[str, list[int]] = {}
        for i, p in enumerate(law.parameters):
            family = p.name.partition("[")[0]
            self.parameters.setdefault(written.get(family, family), []).append(i)
        self.response = written.get(law.response.name, law.response.name)
        known = [*self.variables]
        scalars = {*self.variables, *(name for name, places in self.parameters.items() if self._is_scalar(places))}
        self.equations = [
            _Parser(part, known, scalars).equation()
            for text in (law.latex, *law.where)
            for part in _parts(text)
            if part
        ]
        self.bare = next((e for e in self.equations if not e.name and not e.function), None)

    def at(self, values: Array, row: Mapping[str, float]) -> float:
        """The response in one row."""
        self.values, self.row, self.depth = values, row, 0
        defined = [e for e in self.equations if e.name == self.response or (e.function and not e.name)]
        if defined:
            return self._of(defined[0])
        return self._of(self.bare or self.equations[0])

    def _is_scalar(self, places: Sequence[int]) -> bool:
        return "[" not in self.law.parameters[places[0]].name

    def _of(self, equation: _Equation) -> float:
        found = self._value(equation.body, {})
        return _INVERSE[equation.function](found) if equation.function else found

    def _value(self, node: Node, bound: Mapping[str, float]) -> float:
        kind = node[0]
        if kind == "number":
            return float(node[1])
        if kind == "symbol":
            return self._symbol(node[1], (), bound)
        if kind == "call":
            return self._symbol(node[1], node[2], bound)
        if kind in _FUNCTIONS:
            return _FUNCTIONS[kind](self._value(node[1], bound))
        one, other = (self._value(part, bound) for part in node[1:])
        if kind == "+":
            return one + other
        if kind == "-":
            return one - other
        if kind == "*":
            return one * other
        if kind == "/":
            return one / other
        return float(np.power(one, other))

    def _symbol(self, name: str, arguments: Sequence[Node], bound: Mapping[str, float]) -> float:
        if name in bound:
            return bound[name]
        own = [e for e in self.equations if e.name == name]
        special = [e for e in own if _REFERENCE in e.arguments and self._is_special(e, arguments)]
        general = [e for e in own if _REFERENCE not in e.arguments]
        if special:
            return self._of(special[0])
        if name in self.variables and not arguments:
            return self.row[self.variables[name].name]
        if name in self.parameters:
            return self._parameter(name)
        base, _, subscript = name.rpartition("_")
        if subscript in self.variables and base in self.parameters:
            return self._parameter(base)
        if general:
            free = [a for a in general[0].arguments if a not in self.variables]
            if arguments and len(free) == len(general[0].arguments) == len(arguments):
                given = [self._value(argument, bound) for argument in arguments]
                return self._value(general[0].body, dict(zip(free, given, strict=True)))
            return self._of(general[0])
        if name == "e":
            return math.e
        defined = {e.name for e in self.equations}
        if self.bare is not None and self.response in defined and name not in defined:
            return self._value(self.bare.body, {})
        known = [*self.parameters, *self.variables, *sorted(defined - {""})]
        raise _Unreadable(f"has the symbol {name!r}, which is no parameter, no variable and not defined; "
                          f"{nearest(name, known)}")  # fmt: skip

    def _is_special(self, equation: _Equation, arguments: Sequence[Node]) -> bool:
        """Whether the row is at the first level of each category that the case names so."""
        names = [node[1] for node in arguments] or [v for v in self.variables if self.variables[v].category]
        given = zip(equation.arguments, names, strict=False)
        return all(self.row[self.variables[at].name] == 0 for case, at in given if case == _REFERENCE)

    def _parameter(self, name: str) -> float:
        """One that differs by levels is that of the row's own."""
        places = self.parameters[name]
        declared = [self.law.parameters[i].name for i in places]
        if self._is_scalar(places):
            return float(self.values[places[0]])
        levels = [self.law.levels[v.name][int(self.row[v.name])] for v in self.variables.values() if v.category]
        for place, whole in zip(places, declared, strict=True):
            if all(level in levels for level in whole.partition("[")[2].rstrip("]").split(",")):
                return float(self.values[place])
        raise _Unreadable(f"doesn't say what {name!r} is at {', '.join(levels)}")


def _parts(text: str) -> list[str]:
    """The equations: what commas outside of brackets separate."""
    depth, parts = 0, [""]
    for c in text:
        depth += (c in "({[") - (c in ")}]")
        if c == "," and not depth and not parts[-1].endswith("\\"):
            parts.append("")
        else:
            parts[-1] += c
    return parts


class _Parser:
    """Recursive descent over the tokens of one equation."""

    def __init__(self, text: str, variables: Collection[str], scalars: Collection[str]) -> None:
        self.variables, self.scalars = variables, scalars
        spaced = _SPACE.sub(" ", text)
        self.tokens = [m[0] for m in _TOKEN.finditer(spaced) if m[0].strip()]
        self.place = 0

    def equation(self) -> _Equation:
        if "=" not in self.tokens:
            return _Equation("", (), "", self._whole())
        side = self.tokens.index("=")
        left, self.tokens = self.tokens[:side], self.tokens[side + 1 :]
        body = self._whole()
        function = ""
        if left and canonical(left[0]) in _INVERSE:
            function, left = canonical(left[0]), left[1:]
        inside: list[str] = []
        if left and left[-1] == ")":
            start = left.index("(")
            left, inside = left[:start], left[start + 1 : -1]
        arguments = tuple(canonical(part) for part in "".join(inside).split(",")) if inside else ()
        return _Equation(canonical("".join(left)), arguments, function, body)

    def _whole(self) -> Node:
        found = self._sum()
        if self.place < len(self.tokens):
            raise _Unreadable(f"has {self._next!r} where nothing of its kind can be")
        return found

    @property
    def _next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def _take(self, wanted: str = "") -> str:
        found = self._next
        if not found or (wanted and found != wanted):
            raise _Unreadable(f"has {found or 'its end'!r} where {wanted or 'something more'!r} should be")
        self.place += 1
        return found

    def _sum(self) -> Node:
        found: Node = ("number", 0.0)
        if self._next not in ("+", "-"):
            found = self._product()
        while self._next in ("+", "-"):
            found = (self._take(), found, self._product())
        return found

    def _product(self) -> Node:
        found = self._power()
        while self._next and self._next not in (")", "]", "}", ",", "+", "-"):
            operator = self._take() if self._next in ("/", r"\cdot", r"\times") else "*"
            found = ("/" if operator == "/" else "*", found, self._power())
        return found

    def _power(self) -> Node:
        base = self._atom()
        while self._next == "^":
            self._take()
            base = ("^", base, self._argument())
        return base

    def _argument(self) -> Node:
        """What braces hold, or one token."""
        if self._next != "{":
            return self._atom()
        self._take("{")
        found = self._sum()
        self._take("}")
        return found

    def _atom(self) -> Node:
        token = self._take()
        if token in ("(", "[", "{"):
            found = self._sum()
            self._take({"(": ")", "[": "]", "{": "}"}[token])
            return found
        if token[0].isdigit():
            return ("number", float(token))
        if token == r"\frac":
            return ("/", self._argument(), self._argument())
        if canonical(token) in _FUNCTIONS:
            name = canonical(token)
            if self._next == "^":  # ln^2(x)
                self._take()
                exponent = self._argument()
                return ("^", (name, self._power()), exponent)
            return (name, self._power())
        if not (token[0].isalpha() or token[0] == "\\"):
            raise _Unreadable(f"has {token!r}, which isn't understood")
        name = self._decorated(token)
        is_function = token.startswith(r"\operatorname")
        if self._next == "(" and (is_function or (name not in self.scalars and self._is_call())):
            self._take("(")
            arguments = [self._sum()]
            while self._next == ",":
                self._take()
                arguments.append(self._sum())
            self._take(")")
            return ("call", name, tuple(arguments))
        return ("symbol", name)

    def _decorated(self, token: str) -> str:
        """A symbol with its primes, star and subscript."""
        name = canonical(token)
        while self._next in ("_", "'") or self.tokens[self.place : self.place + 4] == ["^", "{", "*", "}"]:
            mark = self._take()
            if mark == "'":
                name += "'"
            elif mark == "^":
                self.place += 3
                name += "*"
            elif self._next == "{":
                end = self.tokens.index("}", self.place)
                name += "_" + canonical("".join(self.tokens[self.place : end]))
                self.place = end + 1
            else:
                name += "_" + canonical(self._take())
        return name

    def _is_call(self) -> bool:
        """Whether the bracket after a symbol holds variables alone, as in c(E), rather than a factor."""
        end = self.tokens.index(")", self.place) if ")" in self.tokens[self.place :] else self.place
        inside = [canonical(t) for t in self.tokens[self.place + 1 : end]]
        return bool(inside) and all(t in self.variables for t in inside[::2]) and set(inside[1::2]) <= {","}
