r"""How junk in the training data harms knowledge of the useful part (Part 3.3, results 10 to 12).

    c = c₀(E) / Δ,    ln Δ = a · (E/100)^(−κ)

for each kind of junk, with none as the reference; E exposures of the useful facts. Published for junk of 7/8 of the
tokens: 20 times worse at 100 exposures, then 3, 1.5 and 1.3 at 300, 600 and 1,000; with a tag in front of useful
pieces 2 and 1 at 100 and 300. The rival ln Δ = a − κ ln E falls below no harm (Δ < 1) on these figures, ours doesn't.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from physlm.laws.examples import BIOGRAPHIES, Example, TinyExperiment
from physlm.laws.exposures import PER_PARAMETER
from physlm.laws.law import Anchor, Law, Parameter, Quantity, register
from physlm.laws.scales import Array
from physlm.laws.values import Parameters, Variables
from physlm.laws.variables import Variable

KIND = Variable(
    "junk",
    "kind of junk beside the useful facts",
    "name",
    column="task.junk",
    made="""CASE WHEN "task.junk_fraction" = 0 THEN 'none' WHEN "task.tag" THEN 'tagged' ELSE 'junk' END""",
    levels=2,
    category=True,
)
SHOWN = Variable("E", "times each useful fact was shown", "exposures", column="training.exposures", levels=3, low=1e-3)
_SOURCE = "Part 3.3 (arXiv 2404.05405)"
_PUBLISHED = {
    ("junk", 100.0): Anchor(20.0, 20.0, f"{_SOURCE}, result 10: 20 times worse"),
    ("junk", 300.0): Anchor(3.0, 3.0, f"{_SOURCE}, result 10: 3 times worse"),
    ("junk", 600.0): Anchor(1.5, 1.5, f"{_SOURCE}, result 10: 1.5 times worse"),
    ("junk", 1000.0): Anchor(1.3, 1.3, f"{_SOURCE}, result 10: 1.3 times worse"),
    ("tagged", 100.0): Anchor(2.0, 2.0, f"{_SOURCE}, result 12: 2 times worse with a tag"),
    ("tagged", 300.0): Anchor(1.0, 1.0, f"{_SOURCE}, result 12: no harm with a tag"),
}


class _Junk(Law):
    response = PER_PARAMETER
    variables = (SHOWN, KIND)
    size = "E"
    where: ClassVar[Sequence[str]] = (r"\Delta(\mathrm{reference}, E) = 1",)

    def __init__(self, levels: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(levels)
        others = self.levels.get("junk", ())[1:]
        self.parameters = [
            Parameter(
                "c_max", "capacity after endless exposures, without junk", "bits per parameter", 1e-2, 100.0, (2.0,)
            ),
            Parameter("E_0", "exposures for half of c_max", "exposures", 1e-2, 1e5, (50.0, 200.0)),
            *(
                Parameter(f"a[{kind}]", f"ln of the harm of {kind} at 100 exposures", "1", *self._harm)
                for kind in others
            ),
            *(
                Parameter(f"kappa[{kind}]", f"how fast exposures undo the harm of {kind}", "1", 1e-3, 10.0, (0.7, 1.5))
                for kind in others
            ),
        ]

    _harm: ClassVar[tuple[float, float, tuple[float, ...]]] = (1e-4, 20.0, (0.5, 2.5))

    def harm(self, p: Parameters, x: Variables) -> Array:
        """ln Δ, [..., n]; the first kind is no junk."""
        which = np.maximum(x.junk - 1, 0)
        return np.where(x.junk > 0, self.curve(p.a[..., which], p.kappa[..., which], x.E / 100), 0.0)

    def curve(self, a: Array, kappa: Array, exposures: Array) -> Array:
        """ln Δ of one kind; exposures in hundreds."""
        raise NotImplementedError

    def predict(self, p: Parameters, x: Variables) -> Array:
        clean = p.c_max * x.E / (x.E + p.E_0)
        return np.asarray(clean * np.exp(-self.harm(p, x)))


class LogLinear(_Junk):
    """Rival: the harm is a power of exposures, and becomes a help beyond some."""

    name = "power of exposures (junk)"
    title = "Harm of junk as a power of exposures"
    latex = r"\ln \Delta = a - \kappa \ln(E/100)"
    where = (
        r"c = \frac{c_{\max} E}{E + E_0} / \Delta(\mathrm{junk}, E)",
        *_Junk.where,
    )

    def curve(self, a: Array, kappa: Array, exposures: Array) -> Array:
        return np.asarray(a - kappa * np.log(exposures))


@register
class Junk(_Junk):
    """The law: exposures undo the harm."""

    name = "junk"
    title = "Junk and domain tags"
    latex = (
        r"c = \frac{c_{\max} E}{E + E_0} \Big/ \Delta(\mathrm{junk}, E), \quad "
        r"\ln \Delta = a_{\mathrm{junk}} \left(E/100\right)^{-\kappa_{\mathrm{junk}}}"
    )
    source = f"{_SOURCE}, results 10 to 12; the form is ours"
    rivals: ClassVar[Sequence[type[Law]]] = (LogLinear,)

    def curve(self, a: Array, kappa: Array, exposures: Array) -> Array:
        return np.asarray(a * exposures**-kappa)

    def _at(self, x: Variables) -> list[tuple[int, str, float]]:
        return [(i, kind, e) for i, kind in enumerate(self.levels["junk"]) if i for e in np.unique(x.E)]

    def derived(self, p: Parameters, x: Variables) -> Mapping[str, Array]:
        """Δ of each kind at each number of exposures that was observed."""
        return {
            f"Delta[{kind},{e:.0f}]": np.exp(
                self.harm(p, self.inputs({"E": np.array([e]), "junk": np.array([float(i)])}))
            )
            for i, kind, e in self._at(x)
        }

    def derived_quantities(self, x: Variables) -> Sequence[Quantity]:
        return [
            Quantity(
                f"Delta[{kind},{e:.0f}]",
                f"times less that is learned beside {kind} at {e:,.0f} exposures",
                "1",
                (_PUBLISHED[kind, e],) if (kind, e) in _PUBLISHED else (),
            )
            for _, kind, e in self._at(x)
        ]

    @classmethod
    def example(cls) -> Example:
        rows = [(e, kind) for e in (100.0, 200.0, 300.0, 450.0, 600.0, 1000.0) for kind in ("none", "junk", "tagged")]
        truth = {"c_max": 2.2, "E_0": 110.0, "a[junk]": 3.0, "a[tagged]": 0.7, "kappa[junk]": 0.9, "kappa[tagged]": 1.2}
        experiment = TinyExperiment(
            {**BIOGRAPHIES, "people": 200, "junk_people": 500},
            ["knowledge_bits"],
            {"task.junk_fraction": [0, 0.5], "task.tag": [False, True], "training.exposures": [1, 2, 3]},
            truth={
                "c_max": 2.2,
                "E_0": 1.5,
                "a[junk]": 0.2,
                "a[tagged]": 0.1,
                "kappa[junk]": 0.4,
                "kappa[tagged]": 0.5,
            },
        )
        return Example(pl.DataFrame(rows, ["E", "junk"], orient="row"), truth, pl.col("E") == 1000, experiment)
