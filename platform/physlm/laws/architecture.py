r"""How much an architecture multiplies capacity (Part 3.3, results 5 and 6; Part 4.1).

    ln c = ln c₀(E) + ln m(architecture, E)

with the first architecture as the reference, whose multiplier is 1, at each number of exposures E. An architecture is
named after its knobs: `gpt2` has an MLP and attention, `gated` a gated MLP, `no_mlp` none, `experts` a mixture; `gla`
and its like name what stands for attention; Canon layers add `+canon`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import BIOGRAPHIES, Example, TinyExperiment
from physlm.laws.exposures import PER_PARAMETER
from physlm.laws.law import Anchor, Law, Parameter, register
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

ARCHITECTURE = Variable(
    "architecture",
    "architecture",
    "name",
    column="model.architecture",
    made="""CONCAT(
        CASE WHEN "model.mixer" <> 'attention' THEN "model.mixer" WHEN "model.mlp" = 'gelu' THEN 'gpt2'
             WHEN "model.mlp" = 'none' THEN 'no_mlp' ELSE "model.mlp" END,
        CASE WHEN "model.canon" = '' THEN '' ELSE '+canon' END)""",
    levels=2,
    category=True,
)
SHOWN = Variable("E", "times each fact was shown", "exposures", column="training.exposures", category=True)

_PART_3_3, _PART_4_1 = "Part 3.3 (arXiv 2404.05405), result 6", "Part 4.1 (SSRN 5240330)"
PUBLISHED = {
    ("gated", "100"): Anchor(1 / 1.3, 1 / 1.3, f"{_PART_3_3}: 1.3 times worse with a gated MLP"),
    ("gated", "1000"): Anchor(1.0, 1.0, "Part 3.3 (arXiv 2404.05405), result 5: no difference"),
    ("no_mlp", "100"): Anchor(0.0, 1 / 1.5, f"{_PART_3_3}: more than 1.5 times worse without MLP"),
    ("gpt2+canon", "100"): Anchor(1.10, 1.15, f"{_PART_4_1}: Canon layers add 10 to 15 %"),
    **{
        (mixer, "100"): Anchor(1.4, 1.4, f"{_PART_4_1}: linear models store about 40 % more")
        for mixer in ("gla", "mamba2", "gdn")
    },
}


class _Architecture(Law):
    response = PER_PARAMETER
    variables = (ARCHITECTURE, SHOWN)
    size = "E"

    def _base(self) -> list[Parameter]:
        return [
            Parameter(f"c_0[{e}]", f"reference capacity at {e} exposures", "bits per parameter", 1e-3, 100.0, (1.5,))
            for e in self.levels.get("E", ())
        ]

    @property
    def _others(self) -> Sequence[str]:
        return self.levels.get("architecture", ())[1:]


class NoDifference(_Architecture):
    """Rival: all architectures store alike."""

    name = "no difference"
    title = "Capacity whatever the architecture"
    latex = r"c_0(E)"

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        self.parameters = self._base()

    def predict(self, p: Parameters, x: Variables) -> Array:
        return np.asarray(p.c_0[..., x.E])


class OneMultiplier(_Architecture):
    """Rival: one multiplier for all exposures."""

    name = "one multiplier"
    title = "Architecture multiplier whatever the exposures"
    latex = r"c_0(E)\, m(\mathrm{architecture})"
    where = (r"m(\mathrm{reference}) = 1",)

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        self.parameters = [
            *self._base(),
            *(Parameter(f"m[{a}]", f"multiplier of {a}", "1", 1e-3, 1e3, (1.0,)) for a in self._others),
        ]

    def predict(self, p: Parameters, x: Variables) -> Array:
        multipliers = np.concatenate([np.ones_like(p.m[..., :1]), p.m], axis=-1)
        return np.asarray(p.c_0[..., x.E] * multipliers[..., x.architecture])


@register
class Architecture(_Architecture):
    """The law: a multiplier for each architecture at each number of exposures."""

    name = "architecture"
    title = "Architecture and capacity"
    latex = r"c = c_0(E)\, m(\mathrm{architecture}, E), \quad m(\mathrm{reference}, E) = 1"
    source = "Part 3.3 (arXiv 2404.05405), results 5 and 6; Part 4.1 (SSRN 5240330)"
    rivals: ClassVar[Sequence[type[Law]]] = (OneMultiplier, NoDifference)

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        self.parameters = [
            *self._base(),
            *(
                Parameter(
                    f"m[{a},{e}]",
                    f"multiplier of {a} at {e} exposures",
                    "1",
                    1e-3,
                    1e3,
                    (1.0,),
                    (PUBLISHED[a, e],) if (a, e) in PUBLISHED else (),
                )
                for a in self._others
                for e in self.levels.get("E", ())
            ),
        ]

    def predict(self, p: Parameters, x: Variables) -> Array:
        exposures = len(self.levels["E"])
        multipliers = np.concatenate([np.ones_like(p.c_0), p.m], axis=-1)  # of all exposures for each architecture
        return np.asarray(p.c_0[..., x.E] * multipliers[..., x.architecture * exposures + x.E])

    @classmethod
    def example(cls) -> Example:
        rows = [(a, e) for a in ("gpt2", "gated", "gpt2+canon") for e in (100, 1000) for _ in range(3)]
        truth = {"c_0[100]": 1.1, "c_0[1000]": 2.0, "m[gated,100]": 1 / 1.3, "m[gated,1000]": 1.0}
        truth |= {"m[gpt2+canon,100]": 1.12, "m[gpt2+canon,1000]": 1.05}
        # No category can be extrapolated to: some runs of the known ones are held out.
        numbered = pl.DataFrame(rows, ["architecture", "E"], orient="row").with_row_index("group")
        experiment = TinyExperiment(
            BIOGRAPHIES,
            ["knowledge_bits"],
            {"model.mlp": ["gelu", "none", "gated"], "model.canon": ["", "AB"], "training.exposures": [1, 2]},
            truth={
                "c_0[1]": 1.0,
                "c_0[2]": 2.0,
                **{f"m[{a},1]": 0.8 for a in ("gated", "gated+canon", "no_mlp", "no_mlp+canon")},
                **{f"m[{a},2]": 0.9 for a in ("gated", "gated+canon", "no_mlp", "no_mlp+canon")},
                **{f"m[gpt2+canon,{e}]": 1.1 for e in (1, 2)},
            },
        )
        return Example(numbered, truth, pl.col("group") % 3 == 2, experiment)
