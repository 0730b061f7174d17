"""What a law was fitted to and tested on, as points: runs that differ in their seed alone are one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from physlm.laws import Fit
from physlm.laws.scales import Array


def points(fit: Fit) -> Mapping[str, Array]:
    """Columns of the conditions, [n] each: the law's variables, its response (geometric mean), `seeds`, `held_out`."""
    names = [variable.name for variable in fit.model.variables]
    response = fit.model.response.name
    table = pl.DataFrame({name: fit.data[name] for name in (*names, response, "held_out")})
    grouped = table.group_by(*names, "held_out", maintain_order=True).agg(
        pl.col(response).log().mean().exp(), pl.len().alias("seeds")
    )
    return {name: grouped.sort(*names)[name].cast(pl.Float64).to_numpy() for name in grouped.columns}


def deviation(fit: Fit) -> float:
    """Mean relative distance of the fitted conditions from the law."""
    data = points(fit)
    fitted = data["held_out"] == 0
    predicted, _, _ = fit.predict({v.name: data[v.name][fitted] for v in fit.model.variables})
    return float(np.abs(data[fit.model.response.name][fitted] / predicted - 1).mean())
