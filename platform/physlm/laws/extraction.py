r"""Knowledge that a probe reads from the name is the knowledge that can be extracted (Part 3.1).

    accuracy of questions = a + b · accuracy of the Q-probe

with noise in both: orthogonal regression (Deming 1943), since neither is known better than the other. The claim is the
identity, a = 0 and b = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import QUESTIONS, SHORT_PROBE, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.noise import Noise, Normal
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 3.1 (arXiv 2309.14316): extraction follows the Q-probe"
EXTRACTED = Variable(
    "accuracy",
    "share of questions about an attribute answered right",
    "1",
    measure=r"accuracy\.(?P<attribute>(?!questions)\w+)",
    low=0.0,
    high=1.0,
)
PROBED = Variable(
    "probe", "accuracy of the Q-probe", "1", measure=r"probe\.q\.(?P<attribute>\w+)", levels=3, low=0.0, high=1.0
)
_IDENTITY = Anchor(1.0, 1.0, _SOURCE)


class _Line(Law):
    response = EXTRACTED
    variables = (PROBED,)
    size = "probe"
    noise: ClassVar[Noise] = Normal()

    def line(self, p: Parameters) -> tuple[Array, Array]:
        """Intercept and slope, [..., 1] each."""
        raise NotImplementedError

    def predict(self, p: Parameters, x: Variables) -> Array:
        a, b = self.line(p)
        return np.asarray(a + b * x.probe)

    def location(self, p: Parameters, x: Variables) -> Array:
        # Where the response is known, its distance from the line is taken at a right angle.
        predicted = self.predict(p, x)
        if self.response.name not in x:
            return predicted
        _, b = self.line(p)
        return np.asarray(x.accuracy + (predicted - x.accuracy) / np.sqrt(1 + b**2))


class Proportional(_Line):
    """Rival: proportional, without intercept."""

    name = "proportional"
    title = "Extraction proportional to the probe"
    latex = r"b\, \mathrm{probe}"
    parameters = (Parameter("b", "slope", "1", -10.0, 10.0, (1.0,), (_IDENTITY,), scale="linear"),)

    def line(self, p: Parameters) -> tuple[Array, Array]:
        return np.zeros_like(p.b), p.b


@register
class Extraction(_Line):
    """The law: a line, expected to be the identity."""

    name = "extraction"
    title = "Probed and extracted knowledge"
    latex = r"\mathrm{accuracy} = a + b\, \mathrm{probe}"
    source = _SOURCE
    parameters = (
        Parameter("a", "intercept", "1", -5.0, 5.0, (0.0,), (Anchor(0.0, 0.0, _SOURCE),), scale="linear"),
        Parameter("b", "slope", "1", -10.0, 10.0, (1.0,), (_IDENTITY,), scale="linear"),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (Proportional,)

    def line(self, p: Parameters) -> tuple[Array, Array]:
        return p.a, p.b

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame({"probe": np.linspace(0.05, 0.9, 10)})
        experiment = TinyExperiment(
            {"type": "bios", **QUESTIONS, "questions": ["birth_city", "university", "major", "company"]},
            ["accuracy"],
            {"task.wordings": [1, 2]},
            probe=[{"type": "q", **SHORT_PROBE}],
            beside={r"probe\.q\.\w+": (0.1, 0.9)},
        )
        return Example(design, {"a": 0.0, "b": 1.0}, pl.col("probe") > 0.85, experiment, spread=0.01)
