"""Pooled against separate: each parameter in each group, beside one value for all."""

from __future__ import annotations

from physlm.laws.universality import Universality
from physlm.report import style, wording
from physlm.report.figures.drawing import Drawing


def draw(found: Universality) -> Drawing:
    """One panel for each parameter, one row for each group."""
    names = list(found.separate)
    figure = style.figure((0.7 + 0.28 * len(names)) * -(-len(found.parameters) // 3) + 0.6)
    paint = style.series(1)[0][0]
    panels = style.panels(figure, len(found.parameters), share_y=False)
    for axes, shared in zip(panels, found.parameters, strict=True):
        pooled = found.pooled.estimate(shared.parameter)
        axes.axvspan(pooled.interval.low, pooled.interval.high, color=style.MUTED, alpha=0.2, linewidth=0)
        axes.axvline(pooled.value, color=style.MUTED, linewidth=1)
        for row, name in zip(style.rows(axes, names), names, strict=True):
            e = found.separate[name].estimate(shared.parameter)
            axes.plot([e.interval.low, e.interval.high], [row, row], color=paint, linewidth=2.2)
            axes.plot(e.value, row, "o", color=paint, markeredgecolor=style.SURFACE)
        axes.set_title(wording.symbol(shared.parameter))
        style.plain_axes(axes)
        axes.set_yticks(list(range(len(names)))[::-1], names)
    differing = [wording.symbol(s.parameter) for s in found.parameters if s.chance < 0.01]
    told = f"differ in {wording.several(differing)}" if differing else "don't differ in any parameter beyond chance"
    return Drawing(
        f"groups_{found.pooled.law}_{found.by}".replace(".", "_"),
        figure,
        f"One law for all, or one for each {found.by}",
        f"The groups {told}; BIC of one law for all is {found.evidence:+.0f} against separate ones ({found.verdict}).",
        "Bars are each group's intervals; the grey band is that of the pooled fit.",
    )
