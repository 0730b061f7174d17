"""What laws of shares have in common: items that are right, counted, and a formula for the logit of their chance."""

from __future__ import annotations

from typing import ClassVar

from scipy.special import expit

from physlm.laws.law import Law
from physlm.laws.noise import Binomial, Noise
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

ACCURACY = Variable("accuracy", "share of answers that are right", "1", measure="accuracy", low=0.0, high=1.0)


class ShareLaw(Law):
    """A law that gives the logit of a share: `location` is its formula."""

    response: ClassVar[Variable] = ACCURACY
    noise: ClassVar[Noise] = Binomial()

    def location(self, p: Parameters, x: Variables) -> Array:
        raise NotImplementedError

    def predict(self, p: Parameters, x: Variables) -> Array:
        share: Array = expit(self.location(p, x))
        return share
