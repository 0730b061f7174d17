"""A measure against what the positions of its observations count, one line for each condition."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from physlm.catalog.emission import Lines
from physlm.report import formatting, style
from physlm.report.difficulty import Difficulty, Series
from physlm.report.figures.drawing import Drawing


def draw(found: Difficulty) -> Drawing | None:
    """None where there is nothing to tell apart."""
    emission, series = found.emission, found.series
    if emission is None:
        return None
    assert isinstance(emission.drawing, Lines)
    name = emission.name.replace("_", " ").replace(".", " ")
    figure = style.figure(3.0)
    (axes,) = style.panels(figure, 1)
    looks = style.series(len(series))
    for one, (paint, marker) in zip(series, looks, strict=True):
        trained = sorted(one.trained.items())
        beyond = sorted(one.beyond.items())
        if trained and beyond:
            ends = trained[-1], beyond[0]
            axes.plot([at for at, _ in ends], [mean.value for _, mean in ends], ":", color=paint, linewidth=1.2)
        for means, filled in ((trained, True), (beyond, False)):
            axes.errorbar(
                [at for at, _ in means],
                [mean.value for _, mean in means],
                [2 * mean.stderr for _, mean in means],
                color=paint,
                marker=marker,
                markersize=5,
                markerfacecolor=paint if filled else style.SURFACE,
                linestyle="-" if filled else ":",
                linewidth=1.2,
                elinewidth=1,
            )
    if emission.unit == "1" and emission.ceiling is not None:
        axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(emission.drawing.axis)
    axes.set_ylabel(name if emission.unit == "1" else f"{name} ({emission.unit})")
    style.plain_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(series) > 1:
        entries = [(s.name, *look) for s, look in zip(series, looks, strict=True)]
        style.legend(figure, style.series_handles("", entries)[1:])
    return Drawing(
        f"{emission.name.replace('.', '_')}_by_{emission.target}",
        figure,
        found.title,
        f"{formatting.capitalized(name)} by {emission.drawing.axis}: {_finding(series, emission.unit)}.",
        f"{formatting.capitalized(emission.meaning)}, means over seeds with two standard errors. Hollow: evaluations "
        "beyond the questions that are trained on.",
    )


def _finding(series: Sequence[Series], unit: str) -> str:
    say = formatting.percent if unit == "1" else formatting.number
    parts = []
    for one in series:
        means = {**one.trained, **one.beyond}
        if not means:
            continue
        first, last = min(means), max(means)
        parts.append(
            f"from {say(means[first].value)} at {first} to "
            f"{say(means[last].value)} at {last}" + (f" ({one.name})" if len(series) > 1 else "")
        )
    return formatting.several(parts)
