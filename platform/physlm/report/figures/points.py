"""What a law was fitted to and tested on, as points: runs that differ in their seed alone are one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from physlm.fitting import Fit
from physlm.laws.scales import Array


def points(fit: Fit) -> Mapping[str, Array]:
    """Columns of the conditions, [n] each: the law's variables, its response, `seeds`, `held_out`.

    The response is a mean over seeds, geometric where noise is relative.
    """
    names = [variable.name for variable in fit.model.variables]
    response = fit.model.response.name
    table = pl.DataFrame({name: fit.data[name] for name in (*names, response, "held_out")})
    grouped = table.group_by(*names, "held_out", maintain_order=True).agg(
        pl.col(response).log().mean().exp() if is_relative(fit) else pl.col(response).mean(), pl.len().alias("seeds")
    )
    return {name: grouped.sort(*names)[name].cast(pl.Float64).to_numpy() for name in grouped.columns}


def is_relative(fit: Fit) -> bool:
    """Whether noise and errors are ratios; otherwise they are differences."""
    return fit.model.noise.scale == "log"


def is_wide(values: Array) -> bool:
    """Whether positive values go over so large a range that their axis is logarithmic."""
    return bool(values.min() > 0 and values.max() > 3 * values.min())


def deviation(fit: Fit) -> float:
    """Mean distance of the fitted conditions from the law: relative, or a difference as `is_relative` says."""
    data = points(fit)
    fitted = data["held_out"] == 0
    predicted, _, _ = fit.predict({v.name: data[v.name][fitted] for v in fit.model.variables})
    observed = data[fit.model.response.name][fitted]
    return float(np.abs(observed / predicted - 1 if is_relative(fit) else observed - predicted).mean())
