r"""The layer from which a probe can tell something t steps from the question (Part 2.1; law 10 of the catalogue).

    ℓ*(t) = ℓ₀ + κ·t

Deeper layers know what is further away: reasoning in the mind goes step by step through the layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.contract import Anchor, Example, Law, Parameter, register
from physlm.laws.noise import Noise, Normal
from physlm.laws.scales import Array
from physlm.laws.variables import Variable

_SOURCE = "Part 2.1 (arXiv 2407.20311)"
DISTANCE = Variable("t", "steps from the question", "steps", column="position", levels=3, low=0.0, high=1e4)
LAYER = Variable(
    "layer", "first layer whose probe is right", "layers", measure="probe.depth.nece.frontier", low=0.0, high=1e4
)
_FIRST = Parameter("l_0", "layer for what the question names", "layers", -1e3, 1e4, (1.0,), scale="linear")


class _Frontier(Law):
    response = LAYER
    variables = (DISTANCE,)
    size = "t"
    noise: ClassVar[Noise] = Normal()


class NoOrder(_Frontier):
    """Rival: all is known from one layer on."""

    name = "no order"
    title = "One layer for all distances"
    latex = r"\ell_0"
    parameters = (_FIRST,)

    def predict(self, parameters: Array, data: Mapping[str, Array]) -> Array:
        return np.asarray(parameters[..., 0:1] + 0 * data["t"])


@register
class ProbeDepth(_Frontier):
    """The law: so many layers for each step."""

    name = "probe_depth"
    title = "Layers and distance from the question"
    latex = r"\ell^{*}(t) = \ell_0 + \kappa\, t"
    source = f"{_SOURCE}, results 7 and 8"
    parameters = (
        _FIRST,
        Parameter(
            "kappa",
            "layers for each step",
            "layers per step",
            -100.0,
            100.0,
            (1.0,),
            (Anchor(0.0, np.inf, f"{_SOURCE}: deeper layers know what is further away"),),
            scale="linear",
        ),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (NoOrder,)

    def predict(self, parameters: Array, data: Mapping[str, Array]) -> Array:
        return np.asarray(parameters[..., 0:1] + parameters[..., 1:2] * data["t"])

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame({"t": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]})
        return Example(design, {"l_0": 2.0, "kappa": 1.4}, pl.col("t") == 8, spread=0.3)
