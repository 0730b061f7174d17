"""Questions about persons that take more than recall (Part 3.2): their words, what recalls their facts, their answers.

retrieval       an attribute                                  birth_date ... company_city
partial         a part of the birth date                      birth_month, birth_day, birth_year
dual            two attributes, in either order               birth_city_and_major, ...
classification  the month or the luck of the major modulo m   month_mod_2, _6, _12, luck_mod_5, _20, _100
ranking         whether one of two persons' is larger         rank_month, rank_day, rank_luck
subtraction     by how much                                   subtract_month, subtract_day, subtract_luck
inverse         the first or full name from attributes        inverse_date_first, ..., inverse_all_full
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from physlm.people.sentences import FULL_NAME, VALUES
from physlm.people.templates import ATTRIBUTES, Attribute
from physlm.people.world import NAME_FACTS

Family = Literal["retrieval", "partial", "dual", "classification", "ranking", "subtraction", "inverse"]
NOUNS: dict[Attribute, str] = {
    "birth_date": "birth date",
    "birth_city": "birth city",
    "university": "university",
    "major": "major",
    "company": "company",
    "company_city": "work city",
}
OTHERS = ("birth_month", "birth_day", "major")  # facts of two persons that are compared
OTHER_NAME = " ".join(f"{{other_{fact}}}" for fact in NAME_FACTS)
_ASK = ("What is {} ?", "Tell me {} .", "Give me {} .", "State {} .")
_DECIDE = ("Is it true that {} ?", "Do you agree that {} ?", "Say whether {} .", "Decide whether {} .")
# What a name is looked up by. [Part 3.2 has ten such tasks; their exact sets of attributes are ours]
_CLUES: dict[str, tuple[Attribute, ...]] = {
    "date": ("birth_date",),
    "birth": ("birth_date", "birth_city"),
    "study": ("birth_date", "university", "major"),
    "life": ("birth_city", "university", "major", "company"),
    "all": ATTRIBUTES,
}
_PAIRED: tuple[Attribute, ...] = ("birth_city", "major", "company")  # independent of each other


@dataclass(frozen=True)
class Kind:
    """A question: how it is put, what recalls its facts (the hint), and what answers it.

    fact     what is computed with, or the first of the facts that answer it
    modulus  of a classification
    clues    attributes that a name is looked up by
    """

    family: Family
    words: tuple[str, ...]
    hint: str | None
    answer: str
    fact: str = ""
    modulus: int = 0
    clues: tuple[Attribute, ...] = ()

    @property
    def operations(self) -> int:
        """Facts to recall, and results to work out of them."""
        return {"retrieval": 1, "partial": 1, "dual": 2, "classification": 2, "inverse": 1}.get(self.family, 3)


def _phrased(phrase: str, forms: Sequence[str] = _ASK) -> tuple[str, ...]:
    return tuple(form.format(phrase) for form in forms)


def _kinds() -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for attribute in ATTRIBUTES:
        phrase = f"the {NOUNS[attribute]} of {FULL_NAME}"
        kinds[attribute] = Kind("retrieval", _phrased(phrase), None, VALUES[attribute], attribute)
    for fact in ("birth_month", "birth_day", "birth_year"):
        phrase = f"the {fact.replace('_', ' ')} of {FULL_NAME}"
        kinds[fact] = Kind("partial", _phrased(phrase), VALUES["birth_date"], f"{{{fact}}}", fact)
    for first in _PAIRED:
        for second in _PAIRED:
            if first != second:
                phrase = f"the {NOUNS[first]} and the {NOUNS[second]} of {FULL_NAME}"
                answer = f"{VALUES[first]} ; {VALUES[second]}"
                kinds[f"{first}_and_{second}"] = Kind("dual", _phrased(phrase), None, answer, first)
    for fact, what, moduli in (
        ("birth_month", "birth month", (2, 6, 12)),
        ("major", "luck of the major", (5, 20, 100)),
    ):
        name = "month" if fact == "birth_month" else "luck"
        for modulus in moduli:
            words = _phrased(f"the {what} of {FULL_NAME} modulo {modulus}")
            if modulus == 2:
                words = _phrased(f"the {what} of {FULL_NAME} is even", _DECIDE)
            kinds[f"{name}_mod_{modulus}"] = Kind("classification", words, f"{{{fact}}}", "{answer}", fact, modulus)
    for fact, name, than in (
        ("birth_month", "month", "the birth month of {} is later than that of {}"),
        ("birth_day", "day", "the birth day of {} is later than that of {}"),
        ("major", "luck", "the major of {} is luckier than that of {}"),
    ):
        hint = f"{{{fact}}} ; {{other_{fact}}}"
        words = _phrased(than.format(FULL_NAME, OTHER_NAME), _DECIDE)
        kinds[f"rank_{name}"] = Kind("ranking", words, hint, "{answer}", fact)
        what = {"month": "birth month", "day": "birth day", "luck": "luck of the major"}[name]
        words = _phrased(f"the {what} of {FULL_NAME} minus that of {OTHER_NAME}")
        kinds[f"subtract_{name}"] = Kind("subtraction", words, hint, "{answer}", fact)
    for name, clues in _CLUES.items():
        known = " , ".join(f"{NOUNS[clue]} {VALUES[clue]}" for clue in clues)
        for which, answer in (("first", "{first_name}"), ("full", FULL_NAME)):
            words = _phrased(f"the {which} name of the person with {known}")
            kinds[f"inverse_{name}_{which}"] = Kind("inverse", words, None, answer, "first_name", clues=clues)
    return kinds


KINDS: Mapping[str, Kind] = _kinds()
