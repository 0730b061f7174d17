"""Estimates with their intervals, beside what others have published."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from physlm.fitting import Estimate, Fit
from physlm.laws import Anchor
from physlm.report import formatting, style
from physlm.report.figures.drawing import Drawing


def draw(fit: Fit) -> Drawing | None:
    """One panel for each unit in which something is published, one row for each estimate; None if there is nothing."""
    groups: dict[str, list[Estimate]] = {}
    for estimate in (*fit.estimates, *fit.derived):
        groups.setdefault(estimate.unit, []).append(estimate)
    groups = {unit: rows for unit, rows in groups.items() if any(row.anchors for row in rows)}
    if not groups:
        return None
    heights = [len(estimates) for estimates in groups.values()]
    figure = style.figure(0.95 * len(groups) + 0.34 * sum(heights))
    grid = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[height + 0.4 for height in heights])
    for axes, (unit, rows) in zip(grid.flat, groups.items(), strict=True):
        _panel(axes, unit, rows)
    style.legend(figure, _legend(fit))
    return Drawing(
        f"interval_{fit.law}",
        figure,
        "Estimates beside published values",
        _finding([row for rows in groups.values() for row in rows]),
        f"Dots with {formatting.percent(fit.level)} intervals are this experiment's; diamonds and bands are published.",
    )


def _panel(axes: Axes, unit: str, estimates: list[Estimate]) -> None:
    paint = style.series(1)[0][0]
    ends = [end for e in estimates for end in (e.interval.low, e.interval.high, *(a.low for a in e.anchors))]
    ends = [end for end in ends if np.isfinite(end)]
    style.plain_axes(axes, log_x=max(ends) > 20 * min(ends) > 0)
    for row, e in zip(style.rows(axes, [formatting.symbol(e.name) for e in estimates]), estimates, strict=True):
        axes.plot([e.interval.low, e.interval.high], [row + 0.12] * 2, color=paint, linewidth=2.2)
        axes.plot(e.value, row + 0.12, "o", color=paint, markersize=6, markeredgecolor=style.SURFACE)
        for anchor in e.anchors:
            _anchor(axes, row - 0.2, anchor)
    axes.set_xlabel("" if unit == "1" else unit)


def _anchor(axes: Axes, row: float, anchor: Anchor) -> None:
    ends = sorted({end for end in (anchor.low, anchor.high) if np.isfinite(end)})
    axes.plot(ends, [row] * len(ends), color=style.ANCHOR, marker="D", markersize=4.5, linewidth=3)
    axes.annotate(
        anchor.source.partition(" (")[0],
        (ends[-1], row),
        xytext=(7, 0),
        textcoords="offset points",
        color=style.ANCHOR,
        fontsize=7.5,
        va="center",
    )


def _legend(fit: Fit) -> list[Line2D]:
    paint, own = style.series(1)[0][0], f"estimate, {formatting.percent(fit.level)} interval"
    return [
        Line2D([], [], color=paint, marker="o", linewidth=2.2, label=own),
        Line2D([], [], color=style.ANCHOR, marker="D", markersize=4.5, linewidth=3, label="published"),
    ]


def _finding(rows: list[Estimate]) -> str:
    parts = []
    for row in rows:
        for anchor in row.anchors[:1]:
            agrees = row.interval.low <= anchor.high and anchor.low <= row.interval.high
            where = "overlaps" if agrees else "lies below" if row.interval.high < anchor.low else "lies above"
            published = formatting.exact(anchor.low)
            if np.isinf(anchor.high):
                published += " or more"
            elif anchor.high > anchor.low:
                published += f" to {formatting.exact(anchor.high)}"
            parts.append(f"the interval of {formatting.symbol(row.name)} {where} the published {published}")
    return f"{formatting.capitalized(formatting.several(parts))}."
