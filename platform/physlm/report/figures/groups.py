"""Pooled against separate: each parameter in each group, beside one value for all and where a new group would lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from physlm.report import formatting, style
from physlm.report.figures.drawing import Drawing

_NEW = "a new group"


def draw(found: Mapping[str, Any]) -> Drawing:
    """One panel for each parameter, one row for each group. found: as `Universality.to_json` has it."""
    parameters = found["parameters"]
    partial = {each["parameter"]: each for each in found["partial"]}
    names = [*parameters[0]["separate"], *([_NEW] if partial else [])]
    figure = style.figure((0.7 + 0.28 * len(names)) * -(-len(parameters) // 3) + 0.6)
    paint = style.series(1)[0][0]
    panels = style.panels(figure, len(parameters), share_y=False)
    for axes, shared in zip(panels, parameters, strict=True):
        value, low, high = shared["pooled"]
        axes.axvspan(low, high, color=style.MUTED, alpha=0.2, linewidth=0)
        axes.axvline(value, color=style.MUTED, linewidth=1)
        place = dict(zip(names, style.rows(axes, names), strict=True))
        for name, (value, low, high) in shared["separate"].items():
            axes.plot([low, high], [place[name]] * 2, color=paint, linewidth=2.2)
            axes.plot(value, place[name], "o", color=paint, markeredgecolor=style.SURFACE)
        if shared["parameter"] in partial:
            pooled = partial[shared["parameter"]]
            for name, group in pooled["groups"].items():
                axes.plot(group["pooled"][0], place[name], "d", color=style.INK, markersize=4)
            axes.plot(pooled["new"], [place[_NEW]] * 2, color=style.INK, linewidth=2.2)
            axes.plot(pooled["mean"][0], place[_NEW], "d", color=style.INK, markersize=4)
        axes.set_title(formatting.symbol(shared["parameter"]))
        style.plain_axes(axes)
        axes.set_yticks(list(place.values()), names)
    differing = [formatting.symbol(s["parameter"]) for s in parameters if s["chance"] < 0.01]
    told = f"differ in {formatting.several(differing)}" if differing else "don't differ in any parameter beyond chance"
    caption = "Bars are each group's intervals; the grey band is that of the pooled fit."
    if partial:
        caption += " Diamonds are partially pooled estimates, and the last row is where a new group's value would lie."
    return Drawing(
        f"groups_{found['law']}_{found['by']}".replace(".", "_"),
        figure,
        f"One law for all, or one for each {found['by']}",
        f"The groups {told}; BIC of one law for all is {found['evidence']:+.0f} against separate ones "
        f"({found['verdict']}).",
        caption,
    )
