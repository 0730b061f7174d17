r"""How many training facts a model needs to learn to manipulate knowledge (Part 3.2).

    accuracy = c + (1 − c) / (1 + (n₀/n)^γ)

for n facts trained with their answers, where c is the accuracy by chance; n₀ depends on the kind of question. The form
is ours. Published for the parity of a month without hint: 60.4 %, 75.9 % and 95.3 % at 2,500, 10,000 and 50,000.

Inverse search is published to stay at chance however many facts there are: `physlm.fitting.equivalence` tests that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl
from scipy.special import log_expit

from physlm.laws.examples import QUESTIONS, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.scales import Array, logit_of_log
from physlm.laws.shares import ACCURACY, ShareLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 3.2 (arXiv 2309.14402)"
TRAINED = Variable(
    "facts",
    "facts trained with their answers",
    "facts",
    column="task.train_people",
    made='"task.people" * "task.qa_people"',
    levels=3,
    low=1.0,
)
CHANCE = Variable("chance", "accuracy by chance", "1", column="chance", low=0.0, high=0.999)
QUESTION = Variable("question", "kind of question", "name", column="{question}", category=True)
BY_QUESTION = replace(ACCURACY, measure=r"accuracy\.(?P<question>(?!questions)\w+)")
_PUBLISHED = {
    "month_mod_2": Anchor(1e4, 1e4, f"{_SOURCE}: about 10,000 for the parity of a month"),
    "rank_luck": Anchor(2.5e6, np.inf, f"{_SOURCE}: more than 2,500,000 to rank 100 majors"),
}


class _Manipulation(ShareLaw):
    response = BY_QUESTION
    variables = (TRAINED, CHANCE, QUESTION)
    size = "facts"
    symbols: ClassVar[Mapping[str, str]] = {"facts": "n", "chance": "c"}

    def _needed(self) -> list[Parameter]:
        return [
            Parameter(
                f"n_0[{q}]",
                f"facts for half of the skill at {q}",
                "facts",
                1.0,
                1e12,
                (1e3, 1e4, 1e6),
                (_PUBLISHED[q],) if q in _PUBLISHED else (),
            )
            for q in self.levels.get("question", ())
        ]

    def starts(self, x: Variables) -> Array:
        # All questions alike: the product over each question's guesses would be too many.
        steepness = next(q.guesses for q in self.parameters if q.name == "gamma")
        return np.array([self.vector({"n_0": n, "gamma": g}) for n in (1e2, 1e3, 1e4, 1e6) for g in steepness])

    def guessed(self, p: Parameters, x: Variables) -> Array:
        """Logarithm of the share of questions that are answered by guessing, [..., n]."""
        raise NotImplementedError

    def location(self, p: Parameters, x: Variables) -> Array:
        guessed = np.clip(self.guessed(p, x), -700.0, -1e-12)
        return -logit_of_log(guessed + np.log1p(-x.chance))


class Exponential(_Manipulation):
    """Rival: an exponential approach."""

    name = "exponential approach"
    title = "Skill that approaches all exponentially"
    latex = r"c + (1 - c) (1 - e^{-(n/n_0)^{\gamma}})"

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        self.parameters = [*self._needed(), Parameter("gamma", "steepness", "1", 0.05, 20.0, (0.7, 1.5))]

    def guessed(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(-((x.facts / p.n_0[..., x.question]) ** p.gamma))


@register
class Manipulation(_Manipulation):
    """The law: a logistic curve in the logarithm of the facts, above chance."""

    name = "manipulation"
    title = "Sample complexity of manipulation"
    latex = r"\mathrm{accuracy} = c + \frac{1 - c}{1 + (n_0/n)^{\gamma}}"
    source = f"{_SOURCE}; the form is ours"
    rivals: ClassVar[Sequence[type[Law]]] = (Exponential,)

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        self.parameters = [*self._needed(), Parameter("gamma", "steepness", "1", 0.05, 20.0, (0.7, 1.5))]

    def guessed(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(log_expit(p.gamma * (np.log(p.n_0[..., x.question]) - np.log(x.facts))))

    @classmethod
    def example(cls) -> Example:
        rows = [
            (facts, chance, question, 2000)
            for facts in (1250, 2500, 5000, 10_000, 20_000, 50_000, 100_000)
            for question, chance in (("month_mod_2", 0.5), ("month_mod_12", 1 / 12))
        ]
        design = pl.DataFrame(rows, ["facts", "chance", "question", "n"], orient="row")
        truth = {"n_0[month_mod_12]": 2.5e4, "n_0[month_mod_2]": 9.5e3, "gamma": 1.15}
        experiment = TinyExperiment(
            {"type": "manipulation", **QUESTIONS, "people": 60, "questions": ["month_mod_2", "rank_month"]},
            ["accuracy"],
            {"task.people": [20, 40, 80, 160]},
            truth={"n_0[month_mod_2]": 25.0, "n_0[rank_month]": 60.0, "gamma": 1.2},
        )
        return Example(design, truth, pl.col("facts") == 100_000, experiment)
