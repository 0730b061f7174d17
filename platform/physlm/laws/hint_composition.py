r"""Accuracy with a hint written first is composed of the hint's (Part 3.2, chain of thought).

    accuracy = p + (1 − p)·c,    p = h^(κ·m)

for m facts to recall, each recalled right with chance h, and accuracy c by chance otherwise. The claim has no free
parameter: κ = 1. Published: 95.5 % predicted and 94.2 % measured for one fact, 64.2 and 61.5 % for two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import QUESTIONS, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.manipulation import CHANCE
from physlm.laws.scales import Array, to_scale
from physlm.laws.shares import ShareLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 3.2 (arXiv 2309.14402)"
_HINTED = r"(?P<question>(?!questions)\w+)_hint"
ANSWERED = Variable(
    "accuracy",
    "share of right answers behind a hint, right or wrong",
    "1",
    measure=rf"answer\.answer_right\.{_HINTED}",
    low=0.0,
    high=1.0,
)
HINT = Variable(
    "h",
    "share of the hints' facts that are right",
    "1",
    measure=rf"answer\.fact_right\.{_HINTED}",
    levels=2,
    low=0.0,
    high=1.0,
)
FACTS = Variable("m", "facts to recall", "facts", measure=rf"answer\.hint_facts\.{_HINTED}", low=1.0, high=100.0)
GUESSED = replace(CHANCE, measure=rf"accuracy\.{_HINTED}")
_KAPPA = Parameter(
    "kappa",
    "exponent of each recalled fact",
    "1",
    0.01,
    100.0,
    (0.7, 1.4),
    (Anchor(1.0, 1.0, f"{_SOURCE}: recall is all"),),
)


class _Hints(ShareLaw):
    response = ANSWERED
    variables = (HINT, FACTS, GUESSED)
    size = "h"
    symbols: ClassVar[Mapping[str, str]] = {"chance": "c"}

    def recalled(self, p: Parameters, x: Variables) -> Array:
        """Chance that all facts are recalled right, [..., n]."""
        raise NotImplementedError

    def location(self, p: Parameters, x: Variables) -> Array:
        share = x.chance + (1 - x.chance) * self.recalled(p, x)
        return to_scale("logit", np.clip(share, 1e-12, 1 - 1e-12))


class OneHint(_Hints):
    """Rival: one recalled fact is enough, however many there are."""

    name = "one hint"
    title = "Composition without regard to the number of facts"
    latex = r"h^{\kappa} + (1 - h^{\kappa})\, c"
    parameters = (_KAPPA,)

    def recalled(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(x.h**p.kappa)


@register
class HintComposition(_Hints):
    """The law: all facts must be recalled, or the answer is a guess."""

    name = "hint_composition"
    title = "Composition of hints"
    latex = r"\mathrm{accuracy} = h^{\kappa m} + (1 - h^{\kappa m})\, c"
    source = f"{_SOURCE}, chain-of-thought experiments"
    parameters = (_KAPPA,)
    rivals: ClassVar[Sequence[type[Law]]] = (OneHint,)

    def recalled(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(x.h ** (p.kappa * x.m))

    @classmethod
    def example(cls) -> Example:
        rows = [(h, m, c, 2000) for h in (0.4, 0.6, 0.7, 0.8, 0.91, 0.97) for m, c in ((1, 0.5), (2, 0.1))]
        experiment = TinyExperiment(
            {
                "type": "manipulation",
                **QUESTIONS,
                "people": 60,
                "questions": ["month_mod_2", "rank_month"],
                "hints": 0.5,
            },
            ["accuracy"],
            {"task.people": [20, 30, 40, 80]},
            beside={r"answer\.fact_right\..+": (0.2, 0.9)},
        )
        return Example(
            pl.DataFrame(rows, ["h", "m", "chance", "n"], orient="row"), {"kappa": 1.0}, pl.col("h") > 0.95, experiment
        )
