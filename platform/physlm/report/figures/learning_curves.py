"""Learning curves: training loss against exposures or tokens, a line for each run."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import polars as pl
from matplotlib.axes import Axes

from physlm.catalog.emission import ENTROPY
from physlm.experiment import Value
from physlm.report import formatting, style
from physlm.report.conditions import SIZE, Condition, is_number, label, levels, spread, varying
from physlm.report.figures.drawing import Drawing
from physlm.report.page_data import Evidence

MOST_CONDITIONS = 48
_MOST_PANELS = 6


def draw(evidence: Evidence, conditions: Sequence[Condition]) -> Drawing | None:
    """One panel for each level of a knob, one colour for each size; None while there are no curves."""
    by_run = evidence.curves.sort("tokens").group_by("run_id", maintain_order=True)
    curves = {str(run_id): curve for (run_id,), curve in by_run}
    present = [c for c in conditions if any(run.run_id in curves for run in c.runs)]
    if not present:
        return None
    shown = spread(present, MOST_CONDITIONS)
    colour, panel = _roles(shown)
    places = [None] if panel is None else levels(shown, panel)
    hues = [None] if colour is None else levels(shown, colour)
    looks = dict(zip(hues, style.series(len(hues)), strict=True))
    clock = "tokens" if evidence.curves["exposures"].null_count() else "exposures"

    figure = style.figure(3.1 if len(places) <= 3 else 5.2)
    for axes, place in zip(style.panels(figure, len(places), share_y=True), places, strict=True):
        here = [c for c in shown if panel is None or c.level(panel) == place]
        for condition in here:
            paint, marker = looks[None if colour is None else condition.level(colour)]
            for run in condition.runs:
                if run.run_id in curves:
                    _line(axes, curves[run.run_id], clock, paint, marker)
        _floors(axes, evidence, here)
        style.plain_axes(axes, log_x=True)
        axes.set_xlabel(f"{clock} (log scale)")
        axes.set_title("" if panel is None else _condition(panel, place))
    figure.axes[0].set_ylabel("training loss (nats per token)")
    if colour is not None:
        entries = [(formatting.level(hue), *looks[hue]) for hue in hues]
        style.legend(figure, style.series_handles(label(colour), entries))
    return Drawing(
        "learning_curves",
        figure,
        "Learning curves",
        _finding(evidence, present, curves, clock),
        _caption(evidence, shown, present, colour, clock),
    )


def _roles(conditions: Sequence[Condition]) -> tuple[str | None, str | None]:
    """Which quantity is told by colour, and which by panel."""
    quantities = varying(conditions)
    colour = quantities[0] if quantities else None
    panel = next((q for q in quantities[1:] if len(levels(conditions, q)) <= _MOST_PANELS), None)
    return colour, panel


def _line(axes: Axes, curve: pl.DataFrame, clock: str, paint: str, marker: str) -> None:
    x, y = curve[clock].to_numpy(), curve["value"].to_numpy()
    axes.plot(x, y, color=paint, linewidth=1.3)
    axes.plot(x[-1:], y[-1:], color=paint, marker=marker, markeredgecolor=style.SURFACE, markeredgewidth=0.6)


def _floors(axes: Axes, evidence: Evidence, conditions: Sequence[Condition]) -> None:
    """Dashed lines at the entropy floors, where few enough are known."""
    floors = {formatting.number(floor): floor for c in conditions if (floor := _floor(evidence, c)) is not None}
    if not 0 < len(floors) <= 3:
        return
    for text, floor in floors.items():
        axes.axhline(floor, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"entropy floor {text}",
            (0.02, floor),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2.5),
            textcoords="offset points",
            color=style.MUTED,
            fontsize=8,
        )


def _floor(evidence: Evidence, condition: Condition) -> float | None:
    """The entropy of the language per token, if a measure tells it."""
    for name, measured in condition.measured.items():
        emission = evidence.declarations.whole(name)
        if emission is not None and emission.floor == ENTROPY and measured.floor is not None:
            return measured.floor
    return None


def _condition(quantity: str, value: Value) -> str:
    text = formatting.level(value)
    return f"{text} {label(quantity)}" if is_number([value]) else f"{label(quantity)}: {text}"


def _finding(evidence: Evidence, conditions: Sequence[Condition], curves: dict[str, pl.DataFrame], clock: str) -> str:
    ends = [
        (float(curves[run.run_id]["value"][-1]), condition, curves[run.run_id])
        for condition in conditions
        for run in condition.runs
        if run.run_id in curves
    ]
    low, best, curve = min(ends, key=lambda end: end[0])
    high, worst, _ = max(ends, key=lambda end: end[0])
    start = float(curve["value"][0])
    text = (
        f"The lowest curve falls from {formatting.number(start)} to {formatting.number(low)} nats per token "
        f"over {formatting.number(float(curve[clock][-1]))} {clock} ({best.parameters:,} parameters)"
    )
    floor = _floor(evidence, best)
    if floor is not None and isfinite(floor):
        gap = low - floor
        text += f", {formatting.number(abs(gap), 2)} {'above' if gap >= 0 else 'below'} the entropy floor"
    if worst is not best:
        text += f"; the highest ends at {formatting.number(high)} ({worst.parameters:,} parameters)"
    return text + "."


def _caption(
    evidence: Evidence, shown: Sequence[Condition], present: Sequence[Condition], colour: str | None, clock: str
) -> str:
    parts = [f"Mean loss per predicted token between two points of the curve, against {clock}; one line for each seed."]
    if colour == SIZE:
        parts.append("Colour and end marker tell the number of counted parameters.")
    if any(_floor(evidence, c) is not None for c in shown):
        parts.append("Dashed: the entropy of the language, which no model can undercut on fresh text.")
    if len(shown) < len(present):
        parts.append(f"{len(shown)} of {len(present):,} conditions are drawn, evenly spread over the grid.")
    return " ".join(parts)
