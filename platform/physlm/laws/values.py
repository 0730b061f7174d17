"""Parameters and variables by name: what formulas are written with, `p.c_max * x.P`.

p.c_max     one parameter, [..., 1], so that it broadcasts against variables
p.kappa     parameters that differ by the level of a category, declared as `kappa[100]`, `kappa[1000]`: [..., levels]
x.P         one variable, [n]
x.E         a category: the positions of its levels, integers [n], so that `p.kappa[..., x.E]` is [..., n]
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence, Set

import numpy as np

from physlm.laws.scales import Array
from physlm.registry import nearest


def attribute_of(name: str) -> str:
    """By which attribute a parameter or variable is read: `kappa[100]` by `kappa`, `lambda` by `lambda_` (PEP 8)."""
    family = name.partition("[")[0].replace("*", "_star")
    return f"{family}_" if keyword.iskeyword(family) else family


def places_of(names: Sequence[str]) -> dict[str, slice]:
    """Where in an array of parameters each attribute has its values; those of one family must be neighbours."""
    found: dict[str, slice] = {}
    for i, name in enumerate(names):
        attribute = attribute_of(name)
        start = found[attribute].start if attribute in found else i
        found[attribute] = slice(start, i + 1)
    return found


class Parameters:
    """A law's parameters by name, over an array of their values [..., k].

    An attribute gives [..., 1], or [..., levels] for a family. Raises AttributeError for a name that isn't declared.
    """

    __slots__ = ("_law", "_places", "_values")

    def __init__(self, values: Array, places: Mapping[str, slice], law: str) -> None:
        self._values, self._places, self._law = values, places, law

    def __getattr__(self, name: str) -> Array:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._values[..., self._places[name]]
        except KeyError:
            raise AttributeError(
                f"the law {self._law} has no parameter {name!r}; {nearest(name, list(self._places))}"
            ) from None


class Variables:
    """A law's variables by name, over columns of a table [n]; the response is among them where it is known.

    Raises AttributeError for a name that isn't declared or isn't given.
    """

    __slots__ = ("_categories", "_columns", "_law")

    def __init__(self, columns: Mapping[str, Array], categories: Set[str], law: str) -> None:
        self._columns, self._categories, self._law = columns, categories, law

    def __getattr__(self, name: str) -> Array:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Array:
        try:
            column = self._columns[name]
        except KeyError:
            raise AttributeError(
                f"the law {self._law} has no variable {name!r}; {nearest(name, list(self._columns))}"
            ) from None
        return np.asarray(column.astype(int)) if name in self._categories else column

    def __contains__(self, name: str) -> bool:
        return name in self._columns
