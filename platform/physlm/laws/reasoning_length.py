r"""How accuracy decays beyond the lengths that were trained (Part 2.1).

    accuracy(op) = (1 − ε)^op,    logit ε = logit ε₀ + b·(op − op_train)

for a solution of op operations, each wrong with chance ε. Published for op_train = 15: 99.1 % there, then 91.8, 87.9,
84.0 and 76.8 % at 20 to 23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl
from scipy.special import log_expit, logit

from physlm.laws.examples import PROBLEMS, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.scales import Array, logit_of_log
from physlm.laws.shares import ACCURACY, ShareLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 2.2 (arXiv 2408.16293), figure 3: med_pq"
LENGTH = Variable("op", "operations of the solution", "operations", column="position", levels=3, low=1.0, high=1e5)
BY_LENGTH = replace(ACCURACY, measure=r"accuracy(\.op_\d+)?")  # as trained, and where all solutions are longer
TRAINED = Variable("op_train", "most operations trained on", "operations", column="task.max_op", low=1.0, high=1e5)
_ERROR = Parameter(
    "eps_0",
    "chance that an operation is wrong at the longest trained",
    "1",
    1e-9,
    0.9,
    (1e-4, 1e-2),
    (Anchor(6.0e-4, 6.0e-4, f"{_SOURCE}: 99.1 % at 15 operations"),),
)


class _Length(ShareLaw):
    response = BY_LENGTH
    variables = (LENGTH, TRAINED)
    size = "op"
    symbols: ClassVar[Mapping[str, str]] = {"eps_0": r"\varepsilon_0"}

    def error_logit(self, p: Parameters, x: Variables) -> Array:
        """Logit of the chance that one operation is wrong, [..., n]."""
        raise NotImplementedError

    def location(self, p: Parameters, x: Variables) -> Array:
        right = np.minimum(log_expit(-self.error_logit(p, x)), -1e-15)  # ln(1 − ε)
        return logit_of_log(x.op * right)


class ConstantError(_Length):
    """Rival: operations err alike at any length."""

    name = "constant error"
    title = "Decay at a constant rate"
    latex = r"(1 - \varepsilon_0)^{\mathrm{op}}"
    parameters = (_ERROR,)

    def error_logit(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(logit(p.eps_0) + 0 * x.op)


@register
class ReasoningLength(_Length):
    """The law: errors that grow with the distance from what was trained."""

    name = "reasoning_length"
    title = "Decay of reasoning with length"
    latex = (
        r"\mathrm{accuracy} = (1 - \varepsilon)^{\mathrm{op}}, \quad \operatorname{logit} \varepsilon = "
        r"\operatorname{logit} \varepsilon_0 + b\,(\mathrm{op} - \mathrm{op}_{\mathrm{train}})"
    )
    source = f"{_SOURCE}; the form is ours"
    parameters = (
        _ERROR,
        Parameter(
            "b",
            "growth of the error's logit with each further operation",
            "1 per operation",
            -5.0,
            5.0,
            (0.0, 0.4),
            (Anchor(0.33, 0.33, f"{_SOURCE}: from 20 to 23 operations"),),
            scale="linear",
        ),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (ConstantError,)

    def error_logit(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(logit(p.eps_0) + p.b * (x.op - x.op_train))

    @classmethod
    def example(cls) -> Example:
        rows = [(op, 15, 4096) for op in (15, 17, 19, 20, 21, 22, 23)]
        design = pl.DataFrame(rows, ["op", "op_train", "n"], orient="row")
        experiment = TinyExperiment(PROBLEMS, ["accuracy"], {"model.width": [8, 12]}, truth={"eps_0": 0.02, "b": 0.4})
        return Example(design, {"eps_0": 6e-4, "b": 0.37}, pl.col("op") == 23, experiment)
