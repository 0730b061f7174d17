"""What was measured, one small panel for each measure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from physlm.catalog.emission import Panel
from physlm.experiment import Value
from physlm.report import formatting, style
from physlm.report.conditions import Condition, Measured, is_number, label, levels, varying
from physlm.report.figures.drawing import Drawing
from physlm.report.page_data import Evidence

_MOST_SERIES = 8


def leading(evidence: Evidence, first: Sequence[str] = (), named: Sequence[str] = (), most: int = 9) -> dict[str, str]:
    """The measures that say most, with their units: those named `first`, and panels that compare across sizes.

    Of these, what is counted by parameter leads, then what has the name of a measure that was asked for.
    All other panels are taken where there are none of these.
    """
    units = {
        name: unit
        for name, unit in evidence.measured.select("measure", "unit").unique("measure").sort("measure").iter_rows()
        if name in first
        or ((emission := evidence.declarations.whole(name)) is not None and isinstance(emission.drawing, Panel))
    }
    comparable = [name for name, unit in units.items() if unit == "1" or " per " in unit]
    comparable.sort(key=lambda name: ("per parameter" not in units[name], name not in named))
    chosen = dict.fromkeys([*(name for name in first if name in units), *comparable]) or units
    return {name: units[name] for name in list(chosen)[:most]}


def draw(measures: dict[str, str], conditions: Sequence[Condition]) -> Drawing | None:
    """Each measure against the quantity that varies most, usually size; None if nothing that is a number varies.

    measures: unit by name.
    """
    measured = [c for c in conditions if any(name in c.measured for name in measures)]
    quantities = varying(measured) if measured else []
    x = next((q for q in quantities if is_number(levels(measured, q))), None)
    if x is None:
        return None
    colour = next((q for q in quantities if q != x and len(levels(measured, q)) <= _MOST_SERIES), None)
    hues = [None] if colour is None else levels(measured, colour)
    looks = dict(zip(hues, style.series(len(hues)), strict=True))

    figure = style.figure(2.5 * -(-len(measures) // 3) + 0.3)
    for axes, (name, unit) in zip(style.panels(figure, len(measures)), measures.items(), strict=True):
        for hue in hues:
            here = [c for c in measured if name in c.measured and (colour is None or c.level(colour) == hue)]
            here.sort(key=lambda c: _float(c.level(x)))
            paint, marker = looks[hue]
            axes.errorbar(
                [_float(c.level(x)) for c in here],
                [c.measured[name].mean for c in here],
                [2 * (c.measured[name].stderr or 0.0) for c in here],
                color=paint,
                marker=marker,
                markersize=4.5,
                linewidth=1.2,
                elinewidth=1,
            )
        known = ("chance",) if unit == "1" else ("chance", "floor", "ceiling")
        _known_levels(axes, known, [c.measured[name] for c in measured if name in c.measured])
        axes.set_title(name.replace("_", " "))
        axes.set_ylabel("share" if unit == "1" else unit)
        axes.set_xlabel(label(x))
        style.plain_axes(axes, log_x=min(_float(level) for level in levels(measured, x)) > 0)
    if colour is not None:
        entries = [(formatting.level(hue), *looks[hue]) for hue in hues]
        style.legend(figure, style.series_handles(label(colour), entries))
    return Drawing(
        "measures",
        figure,
        "What was measured",
        _finding(measures, measured),
        "Means over seeds with two standard errors; the table below has the numbers.",
    )


def _known_levels(axes: Axes, names: Sequence[str], measured: Sequence[Measured]) -> None:
    """A dotted line where such a level is the same for all, says something, and is within sight."""
    low, high = axes.get_ylim()
    for name in names:
        values = {getattr(m, name) for m in measured}
        value = values.pop()
        if not values and value and low - (high - low) / 2 < value < high + (high - low) / 2:
            axes.axhline(value, color=style.MUTED, linewidth=1, linestyle=":")
            axes.annotate(
                name,
                (0.02 if name == "floor" else 0.98, value),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                color=style.MUTED,
                fontsize=7.5,
                ha="left" if name == "floor" else "right",
            )


def _float(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _finding(measures: dict[str, str], conditions: Sequence[Condition]) -> str:
    parts = []
    for name, unit in measures.items():
        means = [c.measured[name].mean for c in conditions if name in c.measured]
        scale = "" if unit == "1" else f" {unit}"
        parts.append(
            f"{name.replace('_', ' ')} from {formatting.number(min(means))} to {formatting.number(max(means))}{scale}"
        )
    return f"Over the conditions, {formatting.several(parts)}."
