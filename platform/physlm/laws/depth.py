r"""Depth beats width for reasoning (Part 2.1, results 7 and 8).

    logit accuracy = a + b·layers + c·ln width

with b above 0 at matched parameters. Published: 4 layers of width 1920 do worse than 20 of width 576.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import PROBLEMS, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.scales import Array
from physlm.laws.shares import ShareLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 2.1 (arXiv 2407.20311)"
LAYERS = Variable("layers", "layers", "layers", column="model.layers", levels=3, low=1.0, high=1e4)
WIDTH = Variable("width", "width", "dimensions", column="model.width", levels=2, low=1.0, high=1e6)
_BASE = Parameter("a", "intercept", "logits", -200.0, 200.0, (0.0,), scale="linear")
_WIDTH = Parameter("c", "logits for each e-fold of width", "logits", -50.0, 50.0, (0.5,), scale="linear")


class _Depth(ShareLaw):
    variables = (LAYERS, WIDTH)
    size = "layers"


class SizeAlone(_Depth):
    """Rival: only the number of parameters matters."""

    name = "size alone"
    title = "Reasoning and number of parameters"
    latex = r"\operatorname{logit} = a + b \ln(12\, \mathrm{layers}\, \mathrm{width}^2)"
    parameters = (
        _BASE,
        Parameter("b", "logits for each e-fold of size", "logits", -50.0, 50.0, (0.5,), scale="linear"),
    )

    def location(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.a + p.b * np.log(12 * x.layers * x.width**2))


class LogDepth(_Depth):
    """Rival: layers count by their logarithm."""

    name = "logarithm of depth"
    title = "Reasoning and the logarithm of depth"
    latex = r"\operatorname{logit} = a + b \ln \mathrm{layers} + c \ln \mathrm{width}"
    parameters = (
        _BASE,
        Parameter("b", "logits for each e-fold of layers", "logits", -50.0, 50.0, (0.5,), scale="linear"),
        _WIDTH,
    )

    def location(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.a + p.b * np.log(x.layers) + p.c * np.log(x.width))


@register
class Depth(_Depth):
    """The law: each layer adds as much."""

    name = "depth"
    title = "Depth and width in reasoning"
    latex = r"\operatorname{logit} \mathrm{accuracy} = a + b\, \mathrm{layers} + c \ln \mathrm{width}"
    source = f"{_SOURCE}, results 7 and 8; the form is ours"
    parameters = (
        _BASE,
        Parameter(
            "b",
            "logits for each layer",
            "logits per layer",
            -10.0,
            10.0,
            (0.2,),
            (Anchor(0.0, np.inf, f"{_SOURCE}: depth matters at matched size"),),
            scale="linear",
        ),
        _WIDTH,
    )
    rivals: ClassVar[Sequence[type[Law]]] = (LogDepth, SizeAlone)

    def location(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.a + p.b * x.layers + p.c * np.log(x.width))

    @classmethod
    def example(cls) -> Example:
        rows = [(layers, width, 2000) for layers in (2, 4, 6, 8, 12, 16) for width in (64, 128, 256)]
        design = pl.DataFrame(rows, ["layers", "width", "n"], orient="row")
        experiment = TinyExperiment(PROBLEMS, ["accuracy"], {"model.layers": [1, 2, 3], "model.width": [8, 12]})
        return Example(design, {"a": -4.0, "b": 0.2, "c": 0.6}, pl.col("layers") == 16, experiment)
