r"""Which share of stored knowledge can be extracted, given how the texts were augmented (Part 3.1).

    logit accuracy = a + b·ln M + c·[permuted] + d·[full name]

for M differently worded texts about each person, with their sentences permuted or not, and with full names instead of
pronouns or not; a generalised linear model with binomial noise. Published: 9.7 % for one text, 41 % for five, 70 % for
one permuted five times, 96.6 % for five permuted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import QUESTIONS, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.scales import Array
from physlm.laws.shares import ShareLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 3.1 (arXiv 2309.14316)"
EXTRACTED = Variable(
    "accuracy", "share of questions answered right", "1", measure="accuracy.questions", low=0.0, high=1.0
)
TEXTS = Variable("M", "texts about each person", "texts", column="task.wordings", levels=2, low=1.0, high=1e6)
PERMUTED = Variable(
    "permuted", "whether sentences are permuted (0 or 1)", "1", column="task.permute", levels=2, low=0.0, high=1.0
)
FULL_NAME = Variable(  # a study that leaves it alone knows the other effects
    "fullname", "whether names are repeated (0 or 1)", "1", column="task.fullname", low=0.0, high=1.0
)


def _effect(name: str, meaning: str, guess: float, *anchors: Anchor) -> Parameter:
    return Parameter(name, meaning, "logits", -30.0, 30.0, (guess,), anchors, scale="linear")


_BASE = _effect(
    "a",
    "logit accuracy with one text",
    -2.0,
    Anchor(float(np.log(0.097 / 0.903)), float(np.log(0.097 / 0.903)), f"{_SOURCE}: 9.7 %"),
)
_TEXTS = _effect("b", "logits for each e-fold of texts", 1.0, Anchor(1.16, 1.16, f"{_SOURCE}: 41 % with five texts"))
_PERMUTED = _effect("c", "logits for permuting", 1.0, Anchor(3.08, 3.08, f"{_SOURCE}: 70 % with one text permuted"))
_FULL_NAME = _effect("d", "logits for full names", 0.5)


class _Augmentation(ShareLaw):
    response = EXTRACTED
    variables = (TEXTS, PERMUTED, FULL_NAME)
    size = "M"


class TextsAlone(_Augmentation):
    """Rival: only the number of texts matters."""

    name = "texts alone"
    title = "Extraction and number of texts"
    latex = r"\operatorname{logit} = a + b \ln M"
    parameters = (_BASE, _TEXTS)

    def location(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.a + p.b * np.log(x.M))


class Interaction(_Augmentation):
    """Rival: permuting is worth less where there are many texts."""

    name = "interaction"
    title = "Extraction with an interaction"
    latex = (
        r"\operatorname{logit} = a + b \ln M + c\,\mathrm{permuted} + d\,\mathrm{fullname} + f\,\mathrm{permuted} \ln M"
    )
    parameters = (_BASE, _TEXTS, _PERMUTED, _FULL_NAME, _effect("f", "interaction", 0.0))

    def location(self, p: Parameters, x: Variables) -> Array:
        texts = np.log(x.M)
        return np.asarray(p.a + p.b * texts + p.c * x.permuted + p.d * x.fullname + p.f * x.permuted * texts)


@register
class Augmentation(_Augmentation):
    """The law: effects that add up in logits."""

    name = "augmentation"
    title = "Augmentation and extraction"
    latex = r"\operatorname{logit} \mathrm{accuracy} = a + b \ln M + c\,\mathrm{permuted} + d\,\mathrm{fullname}"
    source = f"{_SOURCE}, figure of QA accuracies; the form is ours"
    parameters = (_BASE, _TEXTS, _PERMUTED, _FULL_NAME)
    rivals: ClassVar[Sequence[type[Law]]] = (Interaction, TextsAlone)

    def location(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.a + p.b * np.log(x.M) + p.c * x.permuted + p.d * x.fullname)

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """Extraction with five permuted texts."""
        five_permuted = self.inputs({"M": np.array([5.0]), "permuted": np.ones(1), "fullname": np.zeros(1)})
        return {"accuracy(5,permuted)": self.predict(p, five_permuted)}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        return [
            Quantity(
                "accuracy(5,permuted)",
                "share extracted with five permuted texts",
                "1",
                (Anchor(0.966, 0.966, f"{_SOURCE}: 96.6 %"),),
                scale="logit",
            )
        ]

    @classmethod
    def example(cls) -> Example:
        rows = [(m, p, f, 1000) for m in (1, 2, 3, 5) for p in (0, 1) for f in (0, 1)]
        design = pl.DataFrame(rows, ["M", "permuted", "fullname", "n"], orient="row")
        experiment = TinyExperiment(
            {"type": "bios", **QUESTIONS},
            ["accuracy"],
            {"task.wordings": [1, 2, 5], "task.permute": [False, True], "task.fullname": [False, True]},
        )
        return Example(design, {"a": -2.23, "b": 1.16, "c": 3.08, "d": 0.6}, pl.col("M") == 5, experiment)
