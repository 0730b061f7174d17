"""What every law must beat: a response that doesn't depend on anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from physlm.laws.law import Law, Parameter
from physlm.laws.scales import Array

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

        def predict(self, parameters: Array, data: Mapping[str, Array]) -> Array:
            return np.asarray(parameters[..., 0:1] + 0 * data[self.size])

        def starts(self, data: Mapping[str, Array]) -> Array:
            response = data[self.response.name]
            center = float(np.median(response)) if self.noise.scale == "log" else float(response.mean())
            return np.array([[center]])

    return Constant(law.levels)
