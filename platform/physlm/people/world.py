"""Persons in any number, each made from its number alone: nothing is stored, so 10⁸ of them cost no memory.

Person i has the full name that a shuffle of all N₀ possible names puts at place i, so names are unique by
construction; its other facts are drawn uniformly and independently (Part 3.1, section 2.1), but for the company's
city, which is a function of the company: 13.7 % of the companies sit in one city, the others anywhere else.
"""

from __future__ import annotations

from functools import cached_property
from math import log, log2, prod

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm import randomness
from physlm.people import pools
from physlm.people.pools import Entry
from physlm.randomness import philox, place

# Columns of a person's facts, in the order they are stored in.
FACTS = (
    "first_name",
    "middle_name",
    "last_name",
    "gender",
    "birth_month",
    "birth_day",
    "birth_year",
    "birth_city",
    "university",
    "major",
    "company",
    "company_city",
)
NAME_FACTS = FACTS[:3]
NAMES = FACTS[:3]
DRAWN = FACTS[3:11]  # uniform and independent
MAJORITY = 0.137  # share of the companies that sit in one city, as in Part 3.1's list
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(cache=True)
def _persons(name_key, value_key, first, middle, last, sizes, city_of_company, numbers, out):  # type: ignore[no-untyped-def]
    k0, k1 = value_key & _LOW, value_key >> _SHIFT
    names = first * middle * last
    for i in range(len(numbers)):
        code = place(name_key, 0, names, numbers[i])
        out[i, 2] = code % last
        code //= last
        out[i, 1] = code % middle
        out[i, 0] = code // middle
        index = np.uint64(numbers[i])
        for block in range(2):
            words = philox(index & _LOW, index >> _SHIFT, np.uint64(block), np.uint64(0), k0, k1)
            for j in range(4):
                # 32-bit words times sizes, high half: bias below size/2³²
                out[i, 3 + 4 * block + j] = np.int32(words[j] * sizes[4 * block + j] >> _SHIFT)
        out[i, 11] = city_of_company[out[i, 10]]


class World:
    """The facts about persons, by number; a world has a seed, and pools of these sizes that its facts come from."""

    def __init__(
        self,
        seed: int = 0,
        *,
        names: tuple[int, int, int] = (400, 400, 1000),
        years: int = 200,
        cities: int = 200,
        universities: int = 300,
        majors: int = 100,
        companies: int = 263,
    ) -> None:
        self.names, self._seed = names, seed
        self.entries: dict[str, tuple[Entry, ...]] = {
            "first_name": pools.FIRST_NAMES[: names[0]],
            "middle_name": pools.MIDDLE_NAMES[: names[1]],
            "last_name": pools.LAST_NAMES[: names[2]],
            "gender": (("She",), ("He",)),
            "birth_month": pools.MONTHS,
            "birth_day": pools.DAYS,
            "birth_year": pools.YEARS[:years],
            "birth_city": pools.CITIES[:cities],
            "university": pools.UNIVERSITIES[:universities],
            "major": pools.MAJORS[:majors],
            "company": pools.COMPANIES[:companies],
            "company_city": pools.CITIES[:cities],
        }
        self._name_key = np.uint64(randomness.key("people", "names", seed))
        self._value_key = np.uint64(randomness.key("people", "values", seed))
        self._sizes = np.array([self.size(fact) for fact in DRAWN], np.uint64)

    def size(self, fact: str) -> int:
        """How many values a fact can have."""
        return len(self.entries[fact])

    @property
    def names_possible(self) -> int:
        """N₀, how many full names exist."""
        return prod(self.names)

    @cached_property
    def city_of_company(self) -> NDArray[np.int32]:
        """The city of each company, int32 [companies]."""
        companies, cities = self.size("company"), self.size("company_city")
        key = randomness.key("people", "company cities", self._seed)
        draws = randomness.words(key, np.arange(companies + 1, dtype=np.int64), 1)[:, 0]
        home = int(randomness.scaled(draws[-1:], cities)[0])
        elsewhere = (home + 1 + randomness.scaled(draws[:-1], cities - 1)) % cities
        rank = randomness.permutation(randomness.key("people", "companies", self._seed), 0, companies)
        at_home = rank < round(MAJORITY * companies)
        return np.where(at_home, home, elsewhere).astype(np.int32)

    def persons(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Facts of these persons, int32 [n, 12]: a column for each of FACTS."""
        out = np.empty((len(numbers), len(FACTS)), np.int32)
        _persons(self._name_key, self._value_key, *self.names, self._sizes, self.city_of_company, numbers, out)
        return out

    def probabilities(self, fact: str) -> NDArray[np.float64]:
        """Of each value of a fact, float64 [size]."""
        if fact == "company_city":
            return np.bincount(self.city_of_company, minlength=self.size(fact)) / len(self.city_of_company)
        return np.full(self.size(fact), 1 / self.size(fact))

    def entropy(self, fact: str) -> float:
        """Of a fact, in nats."""
        p = self.probabilities(fact)
        return -sum(float(x) * log(x) for x in p if x)

    def bits_each(self, facts: tuple[str, ...] = DRAWN) -> float:
        """log₂ S₀: information in the facts about one person, in bits (Part 3.3, section 2.2). 47.6 with full pools."""
        return sum(log2(self.size(fact)) for fact in facts)
