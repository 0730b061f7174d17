"""The knobs that languages about persons share."""

from __future__ import annotations

from math import prod
from typing import Literal

from pydantic import Field, model_validator

from physlm.people import ATTRIBUTES, pools
from physlm.people.templates import QUESTIONS_EACH
from physlm.tasks.task import Split, TaskConfig


class BiographiesConfig(TaskConfig):
    """Knobs of a world of persons and of the texts about them."""

    people: int = Field(1000, ge=4, le=10**8, description="N, persons to know")
    names: tuple[int, int, int] = Field(
        (400, 400, 1000), description="first, middle and last names in the pools; N₀ is their product"
    )
    years: int = Field(200, ge=1, le=200, description="years of birth in the pool")
    cities: int = Field(200, ge=2, le=200, description="cities in the pool, of birth and of companies")
    universities: int = Field(300, ge=1, le=300, description="universities in the pool")
    majors: int = Field(100, ge=1, le=100, description="majors in the pool")
    companies: int = Field(263, ge=1, le=263, description="companies in the pool")
    spelling: Literal["words", "subwords"] = Field(
        "words", description="whether names, cities and years are one token, or a stem and an ending"
    )
    sentences: int = Field(50, ge=1, le=50, description="sentences in the pool of each attribute")
    wordings: int | None = Field(
        None, ge=1, le=1000, description="M, fixed wordings of a person; if not given, worded anew at every exposure"
    )
    permute: bool = Field(True, description="a person's sentences in orders of its own; else in the same for everyone")
    orders: int | None = Field(
        None, ge=1, le=1000, description="fixed orders of a person's sentences; if not given, anew at every exposure"
    )
    texts_together: int = Field(
        1, ge=1, le=1000, description="texts of a person that come one after the other; at 1 they are exposures apart"
    )
    couple: bool = Field(False, description="only pairs of sentences change places: 3! orders")
    fullname: bool = Field(False, description="every sentence names the person; else only the first, then a pronoun")
    reverse: int = Field(
        0, ge=0, lt=len(ATTRIBUTES), description="sentences, with a pronoun, before the one that names the person"
    )
    pronoun: Literal["gendered", "they"] = Field("gendered", description="he or she, a fact to know, or they")
    celebrities: int = Field(
        0, ge=0, le=10**8, description="further persons, told of in many permuted ways, never asked about"
    )
    celebrity_wordings: int | None = Field(
        5, ge=1, le=1000, description="fixed wordings of a celebrity; null: anew at every exposure"
    )
    junk_people: int = Field(0, ge=0, le=10**8, description="N′, persons not worth knowing")
    junk_fraction: float = Field(0.0, ge=0, lt=1, description="share of the biographies that are about them")
    tag: bool = Field(False, description="a special token in front of biographies worth knowing")
    qa_fraction: float = Field(0.0, ge=0, le=1, description="share of the training tokens that are questions")
    qa_people: float = Field(0.5, gt=0, lt=1, description="share of the people that are asked about in training")
    question_wordings: int = Field(1, ge=1, le=QUESTIONS_EACH, description="ways to ask a question")

    @model_validator(mode="after")
    def _is_possible(self) -> BiographiesConfig:
        pool = (len(pools.FIRST_NAMES), len(pools.MIDDLE_NAMES), len(pools.LAST_NAMES))
        if not all(1 <= size <= most for size, most in zip(self.names, pool, strict=True)):
            raise ValueError(f"names: must be at least 1 and at most {list(pool)}, got {list(self.names)}")
        if self.persons > prod(self.names):
            raise ValueError(
                f"people: {self.persons} persons in all need distinct names, but names {list(self.names)} give only "
                f"{prod(self.names)}"
            )
        if self.orders is not None and not self.permute:
            raise ValueError("orders: sentences have one order only where permute is false; leave orders out")
        if self.reverse and self.fullname:
            raise ValueError("reverse: where fullname is true every sentence names the person; leave one of them out")
        if self.junk_fraction and not self.junk_people:
            raise ValueError("junk_people: junk_fraction needs persons that are not worth knowing, such as 1000")
        return self

    @property
    def persons(self) -> int:
        """All persons that texts are about."""
        return self.people + self.celebrities + self.junk_people

    @property
    def trained_people(self) -> int:
        """People asked about in training; the others are asked about in tests."""
        return min(max(1, round(self.qa_people * self.people)), self.people - 1)

    def split_size(self, split: Split) -> int:
        """People asked about in a split."""
        return self.people - self.trained_people if split == "test" else self.trained_people
