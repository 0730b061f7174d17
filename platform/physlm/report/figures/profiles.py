"""Profile likelihood of each parameter: how fast the fit gets worse away from its estimate."""

from __future__ import annotations

import numpy as np
from scipy import stats

from physlm.fitting import Fit
from physlm.report import formatting, style
from physlm.report.figures.drawing import Drawing

_HIGHEST = 5.0


def draw(fit: Fit) -> Drawing:
    """One panel for each parameter: distance from the best fit in standard deviations; straight lines are a V."""
    curves = fit.profiles()
    figure = style.figure(2.6 * -(-len(curves) // 3))
    paint = style.series(1)[0][0]
    goal = float(stats.t.ppf(0.5 + fit.level / 2, fit.linear.freedom_left))
    for axes, curve, e in zip(style.panels(figure, len(curves), share_y=True), curves, fit.estimates, strict=True):
        distance = np.abs(curve.root)
        near = distance <= _HIGHEST
        axes.plot(curve.values[near], distance[near], color=paint, marker="o", markersize=2.5, linewidth=1.5)
        axes.axhline(goal, color=style.MUTED, linewidth=1, linestyle=(0, (5, 3)))
        axes.axvspan(e.interval.low, e.interval.high, color=paint, alpha=0.12, linewidth=0)
        axes.set_title(formatting.symbol(e.name))
        axes.set_xlabel("" if e.unit == "1" else e.unit)
        axes.set_ylim(0, _HIGHEST)
        style.plain_axes(axes)
    figure.axes[0].set_ylabel("distance from the best fit (σ)")
    told = []
    for e in fit.estimates:
        reach = (
            formatting.between(e.value, e.profile.low, e.profile.high)[1] if e.profile and e.identified else "not told"
        )
        told.append(f"{formatting.symbol(e.name)} {reach}")
    finding = f"By profile likelihood, {formatting.percent(fit.level)} intervals are: {formatting.several(told)}."
    caption = (
        f"Dashed: where the {formatting.percent(fit.level)} interval by profile likelihood ends; shaded: the interval "
        "by the bootstrap. A curve that stays below the dashed line is a parameter that the data don't identify."
    )
    return Drawing(f"profiles_{fit.law}", figure, "Profiles", finding, caption)
