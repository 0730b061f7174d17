"""What a fit has found: plain numbers, kept as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from physlm.fitting.intervals import Linear, reach
from physlm.fitting.noise import likelihood
from physlm.fitting.optimizer import Problem
from physlm.fitting.profile import Profile, profiles
from physlm.laws.law import Anchor, Interval, Law, registry
from physlm.laws.noise import noise_from_json
from physlm.laws.scales import Array

if TYPE_CHECKING:  # drawing is for those who have matplotlib loaded already
    from matplotlib.axes import Axes

Verdict = Literal["supported", "refuted", "undecided"]
EXTRA = ("held_out", "cluster", "detail")  # columns of `Fit.data` beside the law's variables and response


@dataclass(frozen=True)
class Estimate:
    """A parameter or derived quantity with its interval, and what others have published.

    interval  by the bootstrap; profile: by profile likelihood, for parameters
    """

    name: str
    meaning: str
    unit: str
    value: float
    interval: Interval
    at_bound: bool = False
    identified: bool = True
    anchors: tuple[Anchor, ...] = ()
    profile: Interval | None = None


@dataclass(frozen=True)
class Comparison:
    """How a form does: parameters, AICc and BIC of the fit, mean error on a size left out.

    Errors are relative, and differences where the response is a share.
    """

    form: str
    latex: str
    parameters: int
    aicc: float | None
    bic: float
    left_out_error: float | None


@dataclass(frozen=True)
class HeldOut:
    """One held-out condition: its variables, what was observed and what the law had predicted.

    scale: what errors are relative to: what was observed, or 1 for a share.
    at_least: whether what was observed is only known to be larger.
    """

    variables: Mapping[str, float]
    observed: float
    predicted: float
    interval: Interval
    seeds: int
    scale: float
    at_least: bool = False

    @property
    def error_ratio(self) -> float:
        """Distance between prediction and observation, relative to `scale`."""
        distance = self.observed - self.predicted
        return (max(0.0, distance) if self.at_least else abs(distance)) / self.scale

    def score(self) -> dict[str, Any]:
        """Plain JSON: how well the law has predicted it."""
        return {
            "variables": dict(self.variables),
            "observed": self.observed,
            "predicted": self.predicted,
            "interval": [self.interval.low, self.interval.high],
            "inside": self.inside,
        }

    @property
    def inside(self) -> bool:
        """Whether the observation lies in the prediction interval."""
        return self.observed <= self.interval.high if self.at_least else self.observed in self.interval


@dataclass(frozen=True)
class Fit:
    """What a fit has found.

    levels             of each variable that is a category
    noise              kind and parameters of the scatter
    runs, conditions   numbers of those fitted
    seed_noise         spread between seeds of a condition, relative, or absolute for shares; NaN without seeds
    misfit             likewise, deviation of the conditions from the law beside the noise of their seeds
    data               what was fitted and, with `held_out` 1, what was not: a column for each variable and the
                       response, with the `cluster` and the `detail` of the noise
    draws              bootstrap draws of the parameters, for bands
    left_out           runs of conditions that are out of the law's domain, since a run has learned nothing there
    """

    law: str
    levels: Mapping[str, tuple[str, ...]]
    noise: Mapping[str, Any]
    level: float
    estimates: tuple[Estimate, ...]
    derived: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]
    held_out: tuple[HeldOut, ...]
    verdict: Verdict
    reason: str
    converged: bool
    runs: int
    conditions: int
    seed_noise: float
    misfit: float
    data: Mapping[str, tuple[float, ...]]
    draws: tuple[tuple[float, ...], ...]
    left_out: int = 0

    @cached_property
    def model(self) -> Law:
        """The law that was fitted."""
        return registry[self.law](self.levels)

    @property
    def headline(self) -> Estimate:
        """The quantity that answers the question: the last derived one, or the first parameter."""
        return self.derived[-1] if self.derived else self.estimates[0]

    @property
    def heldout_error_ratio(self) -> float | None:
        """Mean relative error on held-out conditions."""
        return float(np.mean([h.error_ratio for h in self.held_out])) if self.held_out else None

    @property
    def values(self) -> Array:
        """The parameters' estimates, [k]."""
        return np.array([e.value for e in self.estimates])

    @cached_property
    def linear(self) -> Linear:
        """The fit linearised at its estimates."""
        fitted = np.array(self.data["held_out"]) == 0
        data = {name: np.array(column)[fitted] for name, column in self.data.items()}
        problem = Problem(self.model, likelihood(noise_from_json(self.noise)), data, data["detail"])
        return Linear(problem, self.model.coordinates(self.values), data["cluster"].astype(np.int64))

    def predict(self, data: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """The law's curve with its band, without the noise of a single condition: value, low, high, each [n]."""
        law = self.model

        def location(coordinates: Array) -> Array:
            return law.locate(law.values(coordinates), data)

        center = location(self.linear.coordinates)
        deviations = location(law.coordinates(np.array(self.draws))) - center
        below, above = reach(deviations, self.level, self.linear.freedom(location))
        return law.restore(center), law.restore(center - below), law.restore(center + above)

    def profiles(self) -> list[Profile]:
        """The profile likelihood of each parameter, as curves."""
        problem = self.linear.problem
        location = problem.location(self.linear.coordinates[None])[0]
        freedom = self.linear.freedom_left
        with np.errstate(all="ignore"):
            dispersion = problem.likelihood.dispersion(location, problem.outcome, problem.detail, freedom)
            return profiles(self.linear, dispersion)

    def estimate(self, name: str) -> Estimate:
        """A parameter or derived quantity by name. Raises KeyError, naming those there are."""
        found = {e.name: e for e in (*self.estimates, *self.derived)}
        if name not in found:
            raise KeyError(f"the law {self.law} has no quantity {name!r}; it has {', '.join(found)}")
        return found[name]

    def summary(self) -> str:
        """A few lines for people."""
        lines = [f"{self.model.title}: {self.verdict} ({self.reason})"]
        shown: Sequence[Estimate] = (*self.estimates, *self.derived)
        width = max(len(e.name) for e in shown)
        for e in shown:
            note = " (at its bound)" if e.at_bound else "" if e.identified else " (not identified)"
            unit = "" if e.unit == "1" else f" {e.unit}"
            lines.append(
                f"  {e.name:<{width}} {e.value:10.4g}  [{e.interval.low:.4g}, {e.interval.high:.4g}]{unit}{note}"
            )
        if self.left_out:
            lines.append(f"  {self.left_out} runs are left out: in their conditions a run has learned nothing.")
        if not self.converged:
            lines.append("  The fit did not converge: don't rely on it.")
        return "\n".join(lines)

    def plot(self, axes: Axes, **at: float) -> None:
        """Draw observations and the law with its band against the size variable on matplotlib axes.

        at: values of other variables for the curve, by default those in the middle of the data; categories are
        positions in `levels`.
        """
        law = self.model
        x = np.array(self.data[law.size])
        held_out = np.array(self.data["held_out"]) == 1
        response = np.array(self.data[law.response.name])
        axes.plot(x[~held_out], response[~held_out], "o", label="fitted")
        if held_out.any():
            axes.plot(x[held_out], response[held_out], "o", markerfacecolor="none", label="held out")
        wide = x.min() > 0 and x.max() > 3 * x.min()
        grid = np.geomspace(x.min(), x.max(), 100) if wide else np.linspace(x.min(), x.max(), 100)
        others = {v.name: at.get(v.name, float(np.median(self.data[v.name]))) for v in law.variables}
        value, low, high = self.predict({**{k: np.full(100, v) for k, v in others.items()}, law.size: grid})
        (line,) = axes.plot(grid, value, label=law.title)
        axes.fill_between(grid, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set(xlabel=law.size, ylabel=f"{law.response.meaning} ({law.response.unit})")
        if wide:
            axes.set_xscale("log")
        axes.legend()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with null for what isn't a finite number; `from_json` reads it back."""
        found: dict[str, Any] = _finite(asdict(self))
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fit:
        """The fit that `to_json` has written."""
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        known["seed_noise"] = float("nan") if value["seed_noise"] is None else value["seed_noise"]
        known["levels"] = {name: tuple(levels) for name, levels in value["levels"].items()}
        for name in ("estimates", "derived"):
            known[name] = tuple(map(_estimate, value[name]))
        known["comparisons"] = tuple(Comparison(**c) for c in value["comparisons"])
        known["held_out"] = tuple(HeldOut(**{**h, "interval": _interval(h["interval"])}) for h in value["held_out"])
        known["data"] = {name: tuple(column) for name, column in value["data"].items()}
        known["draws"] = tuple(map(tuple, value["draws"]))
        return cls(**known)


def _interval(value: Mapping[str, Any]) -> Interval:
    return Interval(*_ends(value), value["level"])


def _ends(value: Mapping[str, Any]) -> tuple[float, float]:
    low, high = value["low"], value["high"]
    return -math.inf if low is None else low, math.inf if high is None else high


def _estimate(value: Mapping[str, Any]) -> Estimate:
    anchors = tuple(Anchor(*_ends(a), a["source"]) for a in value["anchors"])
    profile = _interval(value["profile"]) if value.get("profile") else None
    return Estimate(**{**value, "interval": _interval(value["interval"]), "anchors": anchors, "profile": profile})


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
