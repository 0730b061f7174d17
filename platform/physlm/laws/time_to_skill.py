r"""Tokens until a model can follow k hops, and how far an architecture comes (Part 4.1).

    T_k = T₁ · ρ^(k − 1)

tokens of training, with a ratio ρ for each architecture; runs that have not learned it in their budget are known to
need longer (censored). Within a budget T a model reaches k = 1 + ln(T/T₁)/ln ρ hops, so that the ratio of ln ρ is how
many times deeper an architecture comes. Published: 2 to 4 times with Canon layers.

Of a catalogue's runs T is where the learning curve falls to ln 2 nats for each token trained on, an even chance of the
right one; so it means something for tasks that train on answers alone, such as `depo`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.errors import LawDataError
from physlm.laws.architecture import ARCHITECTURE
from physlm.laws.examples import Example, TinyExperiment
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.noise import Censored, Noise
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

_SOURCE = "Part 4.1 (SSRN 5240330): reasoning depth with Canon layers"
HOPS = Variable("k", "hops", "hops", column="task.hops", levels=3, low=1.0, high=1e4)
KIND = replace(ARCHITECTURE, levels=1)
_EVEN = log(2)  # nats
TIME = Variable("T", "training until half of the answers are right", "tokens", measure="tokens_to_skill", low=1.0)
_FIRST = Parameter("T_1", "tokens for one hop", "tokens", 1.0, 1e18, (1e5, 1e7, 1e9))


class _Skill(Law):
    response = TIME
    made_from = Variable(
        "loss", "mean loss since the last point of the learning curve", "nats", measure="training_loss"
    )
    variables = (HOPS, KIND)
    size = "k"
    noise: ClassVar[Noise] = Censored()
    ratio: ClassVar[tuple[str, str, float, float, tuple[float, ...]]]

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        name, meaning, low, high, guesses = self.ratio
        kinds = self.levels.get("architecture", ())
        self.parameters = [
            _FIRST,
            *(Parameter(f"{name}[{a}]", f"{meaning} of {a}", "1", low, high, guesses) for a in kinds),
        ]

    def starts(self, x: Variables) -> Array:
        guesses = self.ratio[-1]
        return np.array([self.vector({"T_1": t, self.ratio[0]: g}) for t in _FIRST.guesses for g in guesses])

    @classmethod
    def derived_rows(cls, table: pl.DataFrame) -> pl.DataFrame:
        if TIME.measure in table["measure"]:
            return table
        curve = table.filter(pl.col("measure") == "training_loss").sort("run_id", "tokens")
        curve = curve.filter(pl.col("value").is_not_null().all().over("run_id"))  # without runs that diverged
        before = pl.col("value", "tokens").shift().over("run_id").name.suffix(" before")
        share = (pl.col("value before") - _EVEN) / (pl.col("value before") - pl.col("value"))
        growth = (pl.col("tokens") / pl.col("tokens before")).log()
        between = (pl.col("tokens before").log() + share * growth).exp().fill_null(pl.col("tokens"))
        curve = curve.with_columns(before).with_columns(passed=pl.col("value") <= _EVEN, between=between)
        # Of each run the first point where it has passed, or else the last.
        passed = curve.filter("passed").unique("run_id", keep="first", maintain_order=True)
        never = curve.filter(~pl.col("passed").any().over("run_id")).unique("run_id", keep="last", maintain_order=True)
        found = pl.concat(
            [
                passed.with_columns(pl.col("between").alias("value"), pl.lit(0.0).alias("censored")),
                never.with_columns(pl.col("tokens").cast(pl.Float64).alias("value"), pl.lit(1.0).alias("censored")),
            ]
        ).with_columns(pl.lit(TIME.measure).alias("measure"))
        return pl.concat([table, found.select(*table.columns, "censored")], how="diagonal_relaxed")

    def check(self, x: Variables) -> None:
        if len(np.unique(x.T)) < 3:
            raise LawDataError("fewer than 3 different times were observed; train longer, or look more often")


def _curves(table: pl.DataFrame, truth: Mapping[str, float]) -> pl.DataFrame:
    """A table whose learning curves fall to an even chance at the time that the law says."""
    ratio = pl.sql_expr(str(KIND.made)).replace_strict(
        {name[4:-1]: value for name, value in truth.items() if name.startswith("rho[")},
        default=None,
        return_dtype=pl.Float64,
    )
    time = truth["T_1"] * ratio ** (pl.col(str(HOPS.column)) - 1) * (1 + 1e-3 * pl.col("seed"))
    loss = _EVEN * (time / pl.col("tokens")) ** 0.2
    is_curve = pl.col("measure") == "training_loss"
    return table.with_columns(value=pl.when(is_curve).then(loss).otherwise(pl.col("value")))


class PowerOfHops(_Skill):
    """Rival: time grows as a power of the hops."""

    name = "power of hops"
    title = "Time to skill as a power of hops"
    latex = r"T_1 k^{p}"
    ratio = ("p", "exponent", 0.01, 50.0, (1.0, 3.0))

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.T_1 * x.k ** p.p[..., x.architecture])


@register
class TimeToSkill(_Skill):
    """The law: each hop takes ρ times as long as the one before."""

    name = "time_to_skill"
    title = "Time to skill and its frontier"
    latex = r"T_k = T_1\, \rho^{\,k - 1}"
    source = f"{_SOURCE}; the form is ours"
    ratio = ("rho", "ratio of times", 1.001, 1e4, (1.5, 4.0))
    rivals: ClassVar[Sequence[type[Law]]] = (PowerOfHops,)

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.T_1 * p.rho[..., x.architecture] ** (x.k - 1))

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """How many times further an architecture comes than the reference."""
        reach = np.log(p.rho[..., :1]) / np.log(p.rho)
        return {f"depth[{a}]": reach[..., [i]] for i, a in enumerate(self.levels["architecture"]) if i}

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        published = {"gpt2+canon": (Anchor(2.0, 4.0, _SOURCE),)}
        return [
            Quantity(f"depth[{a}]", f"times as many hops that {a} reaches", "1", published.get(a, ()))
            for a in self.levels["architecture"][1:]
        ]

    @classmethod
    def example(cls) -> Example:
        rows = [(k, a, 3e9) for k in (1, 2, 3, 4, 5, 6, 8) for a in ("gpt2", "gpt2+canon")]
        truth = {"T_1": 2e7, "rho[gpt2]": 2.6, "rho[gpt2+canon]": 1.6}
        experiment = TinyExperiment(
            {"type": "depo", "vertices": 4, "name_symbols": 16, "name_tokens": [1, 1]},
            ["loss"],
            {"task.hops": [1, 2, 3, 4], "model.canon": ["", "AB"]},
            training={"tokens": 4000, "batch_size": 1},
            truth={"T_1": 340.0, "rho[gpt2]": 1.8, "rho[gpt2+canon]": 1.4},
            plant=_curves,
        )
        return Example(
            pl.DataFrame(rows, ["k", "architecture", "budget"], orient="row"),
            truth,
            pl.col("k") == 5,
            experiment,
            spread=0.2,
        )
