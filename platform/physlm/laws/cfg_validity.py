r"""The share of valid sentences follows from how far the model is from the grammar (Part 1).

    validity = e^(−λ · length · KL)

for sentences of a mean length in tokens, where KL is the divergence per token. A model that errs independently at each
token has λ of the order of 1; the form is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import GRAMMAR, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.scales import Array, logit_of_log
from physlm.laws.shares import ShareLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

VALID = Variable("validity", "share of sentences that are valid", "1", measure="validity", low=0.0, high=1.0)
LENGTH = Variable("length", "mean length of a sentence", "tokens", measure="sentence_length", low=1.0, high=1e7)
DIVERGENCE = Variable(
    "KL", "divergence from the grammar", "nats per token", measure="kl", levels=3, low=1e-12, high=20.0
)
_RATE = Parameter(
    "lambda",
    "invalid sentences per nat of divergence",
    "1 per nat",
    1e-4,
    1e4,
    (0.3, 3.0),
    (Anchor(0.1, 10.0, "of the order of 1 if errors are independent (ours)"),),
)


class _Validity(ShareLaw):
    response = VALID
    variables = (LENGTH, DIVERGENCE)
    size = "KL"

    def log_validity(self, p: Parameters, x: Variables) -> Array:
        """Logarithm of the share, [..., n]."""
        raise NotImplementedError

    def location(self, p: Parameters, x: Variables) -> Array:
        return logit_of_log(np.minimum(self.log_validity(p, x), -1e-12))


class WithoutLength(_Validity):
    """Rival: the length of sentences doesn't matter."""

    name = "without length"
    title = "Validity whatever the length"
    latex = r"e^{-\lambda\, \mathrm{KL}}"
    parameters = (Parameter("lambda", "rate", "1", 1e-4, 1e8, (10.0, 300.0)),)

    def log_validity(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(-p.lambda_ * x.KL)


class PowerOfDivergence(_Validity):
    """Rival: invalid sentences as a power of the divergence of a sentence."""

    name = "power of divergence"
    title = "Validity with a power of the divergence"
    latex = r"e^{-\lambda (\mathrm{length}\, \mathrm{KL})^{p}}"
    parameters = (_RATE, Parameter("p", "exponent", "1", 0.05, 20.0, (0.7, 1.4)))

    def log_validity(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(-p.lambda_ * (x.length * x.KL) ** p.p)


@register
class CfgValidity(_Validity):
    """The law: errors at tokens are independent."""

    name = "cfg_validity"
    title = "Validity and divergence"
    latex = r"\mathrm{validity} = e^{-\lambda \cdot \mathrm{length} \cdot \mathrm{KL}}"
    source = "Part 1 (arXiv 2305.13673) measures both; the form is ours"
    parameters = (_RATE,)
    rivals: ClassVar[Sequence[type[Law]]] = (PowerOfDivergence, WithoutLength)

    def log_validity(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(-p.lambda_ * x.length * x.KL)

    @classmethod
    def example(cls) -> Example:
        rows = [(length, kl, 2000) for length in (50.0, 250.0) for kl in (1e-2, 5e-3, 2e-3, 1e-3, 5e-4)]
        experiment = TinyExperiment(
            GRAMMAR,
            ["kl", "validity"],
            {"training.tokens": [150, 300, 450, 600, 750, 900, 1050]},
            beside={"kl": (0.02, 0.3), "sentence_length": (6.0, 8.0)},
        )
        return Example(
            pl.DataFrame(rows, ["length", "KL", "n"], orient="row"), {"lambda": 0.8}, pl.col("KL") == 5e-4, experiment
        )
