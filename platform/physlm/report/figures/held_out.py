"""The held-out test: what the law had predicted against what was observed."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from physlm.fitting import Fit, HeldOut
from physlm.report import formatting, style
from physlm.report.figures.drawing import Drawing
from physlm.report.figures.points import is_relative, points

_MOST_ROWS = 14


def draw(fit: Fit) -> Drawing | None:
    """Left: predicted against observed. Right: each observation relative to its prediction.

    None if nothing was held out.
    """
    if not fit.held_out:
        return None
    shown = list(fit.held_out)
    if len(shown) > _MOST_ROWS:
        shown = [shown[i] for i in np.linspace(0, len(shown) - 1, _MOST_ROWS).round().astype(int)]
    figure = style.figure(3.3 if len(shown) <= 8 else 4.2)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _against(left, fit)
    _relative(right, fit, shown)
    caption = (
        f"Grey bars are the {formatting.percent(fit.level)} intervals that the law had given for what would be "
        "observed, "
        "noise included; a cross lies outside its interval. Left: the diagonal is a perfect prediction; small dots "
        "were fitted."
    )
    if len(shown) < len(fit.held_out):
        caption += f" Right: {len(shown)} of {len(fit.held_out)} held-out conditions, evenly spread."
    return Drawing(f"held_out_{fit.law}", figure, "Predicted and observed", _finding(fit), caption)


def _against(axes: Axes, fit: Fit) -> None:
    law = fit.model
    data = points(fit)
    fitted = data["held_out"] == 0
    predicted, _, _ = fit.predict({v.name: data[v.name][fitted] for v in law.variables})
    observed = data[law.response.name][fitted]
    axes.plot(predicted, observed, "o", color=style.MUTED, markersize=3.2, alpha=0.65, markeredgewidth=0)
    for h in fit.held_out:
        axes.plot([h.interval.low, h.interval.high], [h.observed] * 2, color=style.MUTED, linewidth=3.5, alpha=0.45)
        _mark(axes, h, h.predicted, h.observed)
    tested = [x for h in fit.held_out for x in (h.observed, h.interval.low, h.interval.high)]
    low, high = min(*predicted, *observed, *tested), max(*predicted, *observed, *tested)
    relative = is_relative(fit) and low > 0
    low, high = (low / 1.1, high * 1.1) if relative else (low - 0.03 * (high - low), high + 0.03 * (high - low))
    axes.plot([low, high], [low, high], color=style.MUTED, linewidth=1, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_xlabel(f"predicted ({law.response.unit})")
    axes.set_ylabel(f"observed ({law.response.unit})")
    style.plain_axes(axes, log_x=relative, log_y=relative)


def _relative(axes: Axes, fit: Fit, shown: list[HeldOut]) -> None:
    style.plain_axes(axes)
    share, relative = fit.model.noise.share, is_relative(fit)

    def apart(h: HeldOut, value: float) -> float:
        return 100 * (value / h.predicted - 1) if relative else (100 if share else 1) * (value - h.predicted)

    for row, h in zip(style.rows(axes, [label(fit, h) for h in shown]), shown, strict=True):
        ends = [apart(h, end) for end in (h.interval.low, h.interval.high)]
        axes.plot(ends, [row, row], color=style.MUTED, linewidth=6, alpha=0.35, solid_capstyle="butt")
        _mark(axes, h, apart(h, h.observed), row)
    axes.axvline(0, color=style.MUTED, linewidth=1)
    unit = "%" if relative else "points" if share else fit.model.response.unit
    axes.set_xlabel(f"observed {'relative to' if relative else 'less'} predicted ({unit})")


def label(fit: Fit, held_out: HeldOut) -> str:
    """A held-out condition by what varies between conditions."""
    parts = []
    for v in fit.model.variables:
        value = held_out.variables[v.name]
        if v.category:
            parts.append(fit.levels[v.name][int(value)])
        elif len(set(fit.data[v.name])) > 1:
            parts.append(f"{v.name} = {formatting.exact(value)}")
    return ", ".join(parts)


def _mark(axes: Axes, held_out: HeldOut, x: float, y: float) -> None:
    """A disc where the observation lies inside the prediction interval, a cross where it doesn't."""
    paint = style.series(1)[0][0]
    marker, size = ("o", 6) if held_out.inside else ("X", 8)
    axes.plot(x, y, marker=marker, markersize=size, color=paint, markeredgecolor=style.SURFACE, zorder=3)


def _finding(fit: Fit) -> str:
    inside = sum(h.inside for h in fit.held_out)
    worst = max(fit.held_out, key=lambda h: h.error_ratio)
    return (
        f"{inside} of {formatting.count(len(fit.held_out), 'held-out condition')} lie in their prediction intervals; "
        f"the mean error is {formatting.percent(fit.heldout_error_ratio)}, the largest "
        f"{formatting.percent(worst.error_ratio)} ({label(fit, worst)})."
    )
