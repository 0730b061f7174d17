r"""Training on mistakes that are taken back lowers errors (Part 2.2).

    error(q) = error₀ · e^(−κq)

where each step of a solution is preceded by a wrong one, taken back, with chance q. The form is ours; published are
22 % without and 6 % at q = 0.5, at 23 operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import PROBLEMS, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.scales import Array, logit_of_log
from physlm.laws.shares import ShareLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 2.2 (arXiv 2408.16293), result 2: med_qp at 23 operations"
SHARE = Variable(
    "q",
    "chance of a mistake at each step of the training text",
    "1",
    column="task.retry_rate",
    levels=3,
    low=0.0,
    high=0.99,
)
_ERROR = Parameter(
    "err_0", "error without mistakes in training", "1", 1e-6, 0.999999, (0.1, 0.4), (Anchor(0.22, 0.22, _SOURCE),)
)


class _Retry(ShareLaw):
    variables = (SHARE,)
    size = "q"
    where = (r"\mathrm{accuracy} = 1 - \mathrm{error}(q)",)
    symbols: ClassVar[Mapping[str, str]] = {"err_0": r"\mathrm{error}_0"}

    def log_error(self, p: Parameters, x: Variables) -> Array:
        """Logarithm of the error, [..., n]."""
        raise NotImplementedError

    def location(self, p: Parameters, x: Variables) -> Array:
        return -logit_of_log(np.minimum(self.log_error(p, x), -1e-9))


class NoEffect(_Retry):
    """Rival: mistakes in training change nothing."""

    name = "no effect"
    title = "Errors whatever the mistakes in training"
    latex = r"\mathrm{error}_0"
    parameters = (_ERROR,)

    def log_error(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(np.log(p.err_0) + 0 * x.q)


class Hyperbola(_Retry):
    """Rival: a hyperbola, steep at first and then flat."""

    name = "hyperbola"
    title = "Errors as a hyperbola of the mistakes"
    latex = r"\frac{\mathrm{error}_0}{1 + q/q_0}"
    parameters = (_ERROR, Parameter("q_0", "share that halves the error", "1", 1e-4, 1e4, (0.1, 1.0)))

    def log_error(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(np.log(p.err_0) - np.log1p(x.q / p.q_0))


@register
class Retry(_Retry):
    """The law: errors fall exponentially with the share of mistakes."""

    name = "retry"
    title = "Mistakes in training and errors"
    latex = r"\mathrm{error}(q) = \mathrm{error}_0\, e^{-\kappa q}"
    source = f"{_SOURCE}; the form is ours"
    parameters = (
        _ERROR,
        Parameter(
            "kappa",
            "how fast errors fall",
            "1",
            -20.0,
            100.0,
            (0.5, 3.0),
            (Anchor(2.6, 2.6, f"{_SOURCE}: 22 % to 6 % at q = 0.5"),),
            scale="linear",
        ),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (Hyperbola, NoEffect)

    def log_error(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(np.log(p.err_0) - p.kappa * x.q)

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """The error at q = 0.5."""
        return {"error(0.5)": 1 - self.predict(p, self.inputs({"q": np.array([0.5])}))}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        anchor = Anchor(0.06, 0.06, _SOURCE)
        return [Quantity("error(0.5)", "error with mistakes at half of the steps", "1", (anchor,), scale="logit")]

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame([(q, 4096) for q in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)], ["q", "n"], orient="row")
        experiment = TinyExperiment(PROBLEMS, ["accuracy"], {"task.retry_rate": [0, 0.2, 0.5]})
        return Example(design, {"err_0": 0.22, "kappa": 2.6}, pl.col("q") == 0.5, experiment)
