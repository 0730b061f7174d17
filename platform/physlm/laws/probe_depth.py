r"""The layer from which a probe can tell something t steps from the question (Part 2.1).

    ℓ*(t) = ℓ₀ + κ·t

Deeper layers know what is further away: reasoning in the mind goes step by step through the layers. Of a catalogue's
runs ℓ* is where the accuracy of the probe `depth` at this distance rises through 3/4, halfway from chance to always,
between layers by a straight line; a distance at which no layer comes so far is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import PROBLEMS, SHORT_PROBE, Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.noise import Noise, Normal
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 2.1 (arXiv 2407.20311)"
DISTANCE = Variable("t", "steps from the question", "steps", column="position", levels=3, low=0.0, high=1e4)
LAYER = Variable("layer", "first layer whose probe is right", "layers", measure="probe_frontier", low=0.0, high=1e4)
READ = Variable("read", "accuracy of a probe at a layer", "1", measure=r"probe\.depth\.nece_(?P<t>\d+)")
_RIGHT = 0.75  # halfway from chance to always
_FIRST = Parameter("l_0", "layer for what the question names", "layers", -1e3, 1e4, (1.0,), scale="linear")


class _Frontier(Law):
    response = LAYER
    made_from = READ
    variables = (DISTANCE,)
    size = "t"
    symbols: ClassVar[Mapping[str, str]] = {"l_0": r"\ell_0"}
    noise: ClassVar[Noise] = Normal()

    @classmethod
    def derived_rows(cls, table: pl.DataFrame) -> pl.DataFrame:
        matching = READ.matching(table["measure"].drop_nulls().unique().sort())
        if LAYER.measure in table["measure"] or not matching or "layer" not in table.columns:
            return table
        steps = {name: int(str(parts["t"])) for name, parts in matching.items()}
        rows = table.filter(pl.col("measure").is_in(list(matching)), pl.col("layer").is_not_null())
        rows = rows.sort("run_id", "measure", "layer")
        before = pl.col("value").shift().over("run_id", "measure")
        share = ((_RIGHT - before) / (pl.col("value") - before)).fill_null(1.0)
        first = rows.with_columns(between=pl.col("layer") - 1 + share).filter(pl.col("value") >= _RIGHT)
        found = first.unique(["run_id", "measure"], keep="first", maintain_order=True).with_columns(
            pl.col("measure").replace_strict(steps, return_dtype=pl.Int64).alias("position"),
            pl.lit(None, pl.Int64).alias("layer"),
            pl.col("between").alias("value"),
            pl.lit(LAYER.measure).alias("measure"),
        )
        return pl.concat([table, found.select(table.columns)], how="vertical_relaxed")


def _accuracies(table: pl.DataFrame, truth: Mapping[str, float]) -> pl.DataFrame:
    """A table whose probes' accuracies rise through 3/4 at the layer that the law says."""
    distance = pl.col("measure").str.extract(str(READ.measure), 1).cast(pl.Int64)
    frontier = truth["l_0"] + truth["kappa"] * distance + 1e-3 * pl.col("seed")
    read = _RIGHT + 0.2 * (pl.col("layer") - frontier)
    return table.with_columns(value=pl.when(distance.is_null()).then(pl.col("value")).otherwise(read))


class NoOrder(_Frontier):
    """Rival: all is known from one layer on."""

    name = "no order"
    title = "One layer for all distances"
    latex = r"\ell_0"
    parameters = (_FIRST,)

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.l_0 + 0 * x.t)


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

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.l_0 + p.kappa * x.t)

    @classmethod
    def example(cls) -> Example:
        design = pl.DataFrame({"t": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]})
        experiment = TinyExperiment(
            PROBLEMS,
            ["loss"],
            {"model.width": [8]},
            probe=[{"type": "depth", **SHORT_PROBE}],
            model={"layers": 4},
            truth={"l_0": 0.6, "kappa": 0.8},
            plant=_accuracies,
        )
        return Example(design, {"l_0": 2.0, "kappa": 1.4}, pl.col("t") == 8, experiment, spread=0.3)
