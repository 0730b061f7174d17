r"""Accuracy as a function of the loss on a task: the second step of a two-step prediction (Bhagia et al. 2024).

    accuracy = b + a / (1 + e^(k·(x − x₀)))

for a task loss x; the first step is a law of the loss, such as `chinchilla`. Bhagia et al. 2024 predict four tasks of
models trained with 100 times the compute to 2 points (arXiv 2412.04403).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import polars as pl
from scipy.special import expit

from physlm.laws.examples import Example, TinyExperiment
from physlm.laws.law import Law, Parameter, register
from physlm.laws.scales import Array, to_scale
from physlm.laws.shares import ShareLaw
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

TASK_LOSS = Variable("x", "loss on the task", "nats per token", measure="loss", levels=4, low=0.0, high=50.0)
_FLOOR = Parameter("b", "accuracy at the highest losses", "1", 1e-4, 0.99, (0.1, 0.25, 0.5))
_MIDDLE = Parameter("x_0", "loss in the middle", "nats per token", 0.01, 50.0, (0.5, 1.0, 2.0))
_SLOPE = Parameter("k", "steepness", "1 per nat", 0.05, 100.0, (2.0, 6.0))


class _Skill(ShareLaw):
    variables = (TASK_LOSS,)
    size = "x"

    def location(self, p: Parameters, x: Variables) -> Array:
        return to_scale("logit", np.clip(self.share(p, x.x), 1e-9, 1 - 1e-9))

    def share(self, p: Parameters, loss: Array) -> Array:
        """Accuracy at a loss, [..., n]."""
        raise NotImplementedError


class Perfect(_Skill):
    """Rival: all is right at the lowest losses."""

    name = "sigmoid up to 1"
    title = "Accuracy that reaches 1"
    latex = r"b + \frac{1 - b}{1 + e^{k (x - x_0)}}"
    parameters = (_FLOOR, _MIDDLE, _SLOPE)

    def share(self, p: Parameters, loss: Array) -> Array:
        return np.asarray(p.b + (1 - p.b) * expit(p.k * (p.x_0 - loss)))


class PowerOfLoss(_Skill):
    """Rival: accuracy falls exponentially with the loss."""

    name = "exponential of loss"
    title = "Accuracy exponential in the loss"
    latex = r"a e^{-k x}"
    parameters = (Parameter("a", "accuracy without loss", "1", 1e-3, 1.0, (0.9,)), _SLOPE)

    def share(self, p: Parameters, loss: Array) -> Array:
        return np.asarray(p.a * np.exp(-p.k * loss))


@register
class Skill(_Skill):
    """The law: a sigmoid between two levels."""

    name = "skill"
    title = "Task loss and accuracy"
    latex = r"\mathrm{accuracy} = b + \frac{a}{1 + e^{k (x - x_0)}}"
    source = "Bhagia et al. 2024 (arXiv 2412.04403), equation of the second step"
    parameters = (
        _FLOOR,
        _MIDDLE,
        _SLOPE,
        Parameter("a", "accuracy gained from the highest to the lowest losses", "1", 1e-3, 1.0, (0.4, 0.7)),
    )
    rivals: ClassVar[Sequence[type[Law]]] = (Perfect, PowerOfLoss)

    def share(self, p: Parameters, loss: Array) -> Array:
        return np.asarray(p.b + p.a * expit(p.k * (p.x_0 - loss)))

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame({"x": np.linspace(0.3, 2.2, 12), "n": np.full(12, 5000)})
        experiment = TinyExperiment(
            {"type": "mano", "operations": 1, "modulus": 5},
            ["accuracy", "loss"],
            {"training.tokens": [100, 150, 200, 250, 300, 350, 400, 450, 500]},
            beside={"loss": (0.4, 2.2)},
        )
        return Example(design, {"b": 0.25, "x_0": 1.1, "k": 6.0, "a": 0.6}, pl.col("x") < 0.4, experiment)
