"""What every law must beat: a response that doesn't depend on anything."""

from __future__ import annotations

import numpy as np

from physlm.laws.law import Law, Parameter
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables

NAME = "constant"


def constant(law: Law) -> Law:
    """The form of a constant response, for the same data as the law."""

    class Constant(Law):
        name = NAME
        title = f"Constant {law.response.meaning}"
        latex = "c"
        response = law.response
        variables = law.variables
        size = law.size
        noise = law.noise
        parameters = (
            Parameter("c", law.response.meaning, law.response.unit, 1e-300, 1e300, (1.0,))
            if law.noise.scale == "log"
            else Parameter("c", law.response.meaning, law.response.unit, 1e-9, 1 - 1e-9, (0.5,), scale="linear")
            if law.noise.scale == "logit"
            else Parameter("c", law.response.meaning, law.response.unit, -1e300, 1e300, (0.0,), scale="linear"),
        )

        def predict(self, p: Parameters, x: Variables) -> Array:
            return np.asarray(p.c + 0 * x[self.size])

        def starts(self, x: Variables) -> Array:
            response = x[self.response.name]
            center = float(np.median(response)) if self.noise.scale == "log" else float(response.mean())
            return np.array([[center]])

    return Constant(law.levels)
