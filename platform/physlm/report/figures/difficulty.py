"""Accuracy against the operations that the right answer takes, one line for each condition."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from physlm.report import formatting, style
from physlm.report.difficulty import Series
from physlm.report.figures.drawing import Drawing


def draw(series: Sequence[Series]) -> Drawing | None:
    """None where there is nothing to tell apart."""
    if not series:
        return None
    figure = style.figure(3.0)
    (axes,) = style.panels(figure, 1)
    looks = style.series(len(series))
    for one, (paint, marker) in zip(series, looks, strict=True):
        trained = sorted(one.operations.items())
        beyond = sorted(one.beyond.items())
        if trained and beyond:
            ends = trained[-1], beyond[0]
            axes.plot([at for at, _ in ends], [share.value for _, share in ends], ":", color=paint, linewidth=1.2)
        for shares, filled in ((trained, True), (beyond, False)):
            axes.errorbar(
                [operations for operations, _ in shares],
                [share.value for _, share in shares],
                [2 * share.stderr for _, share in shares],
                color=paint,
                marker=marker,
                markersize=5,
                markerfacecolor=paint if filled else style.SURFACE,
                linestyle="-" if filled else ":",
                linewidth=1.2,
                elinewidth=1,
            )
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("operations of the right answer")
    axes.set_ylabel("share of right answers")
    style.plain_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(series) > 1:
        entries = [(s.name, *look) for s, look in zip(series, looks, strict=True)]
        style.legend(figure, style.series_handles("", entries)[1:])
    return Drawing(
        "difficulty",
        figure,
        "Accuracy by operations",
        _finding(series),
        "Whole answers that are right, means over seeds with two standard errors. Hollow: evaluations beyond the "
        "questions that are trained on.",
    )


def _finding(series: Sequence[Series]) -> str:
    parts = []
    for one in series:
        shares = {**one.operations, **one.beyond}
        if not shares:
            continue
        first, last = min(shares), max(shares)
        parts.append(
            f"from {formatting.percent(shares[first].value)} at {first} to "
            f"{formatting.percent(shares[last].value)} at {last}" + (f" ({one.name})" if len(series) > 1 else "")
        )
    return f"Right answers by the operations they take: {formatting.several(parts)}."
