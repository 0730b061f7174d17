"""A law with what it was fitted to, and with what it was tested on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from physlm.fitting import Fit
from physlm.laws import Variable
from physlm.laws.scales import Array
from physlm.report import formatting, style
from physlm.report.figures.drawing import Drawing
from physlm.report.figures.points import deviation, is_relative, is_wide, points

_MOST_LEVELS = 8
_MARGIN = 1.12  # the curve goes so much beyond the outermost conditions
_POINTS = 120


def draw(fit: Fit) -> Drawing:
    """The response against the law's size variable: a curve with its band for each level of another variable.

    Curves are solid over the sizes that were fitted and dashed beyond them. Bars are two standard errors of a
    condition's mean, from the pooled noise between seeds.
    """
    law = fit.model
    data = points(fit)
    by_name = {variable.name: variable for variable in law.variables}
    x = by_name[law.size]
    bounds = [v for v in law.variables if v.unit == law.response.unit != "1"]  # such as all there is to learn
    series, panel = _roles(fit, data)
    hues = [None] if series is None else sorted(set(data[series.name]))
    places = [None] if panel is None else sorted(set(data[panel.name]))
    looks = dict(zip(hues, style.series(len(hues)), strict=True))

    figure = style.figure(4.2 if len(places) == 1 else 3.2 * -(-len(places) // 3))
    axes_of = dict(zip(places, style.panels(figure, len(places), share_y=True), strict=True))
    ends = []
    for place, hue in product(places, hues):
        axes = axes_of[place]
        here = np.ones(len(data[x.name]), np.bool_)
        for variable, level in ((panel, place), (series, hue)):
            if variable is not None:
                here &= data[variable.name] == level
        if not here.any():
            continue
        paint, marker = looks[hue]
        shown = {name: values[here] for name, values in data.items()}
        end = _curve(axes, fit, x, shown, data, paint)
        _points(axes, fit, x, shown, paint, marker)
        if series is not None and len(places) == 1:
            ends.append(style.LineEnd(*end, paint, marker, _level(fit, series, float(hue or 0))))
    for place, axes in axes_of.items():
        for variable in bounds:
            _bound(axes, variable, data, panel, place)
        if panel is not None:
            axes.set_title(_level(fit, panel, float(place or 0)))
        axes.set_xlabel(_axis(x))
        style.plain_axes(axes, log_x=is_wide(data[x.name]), log_y=is_relative(fit))
        if x.category:
            axes.set_xticks(range(len(fit.levels[x.name])), fit.levels[x.name])
    figure.axes[0].set_ylabel(_axis(law.response))
    style.legend(figure, _legend(fit))
    if series is not None and len(places) > 1:
        style.legend(
            figure,
            style.series_handles(series.unit, [(_name(fit, series, h), *looks[h]) for h in hues if h is not None]),
        )
    style.end_labels(figure.axes[0], ends)
    return Drawing(f"law_{fit.law}", figure, law.title, _finding(fit), _caption(fit))


def _roles(fit: Fit, data: Mapping[str, Array]) -> tuple[Variable | None, Variable | None]:
    """Which variable is told by colour, and which by panel: those that vary, not in the thousands."""
    free = [
        v for v in fit.model.variables if v.name != fit.model.size and 1 < len(np.unique(data[v.name])) <= _MOST_LEVELS
    ]
    return (free[0] if free else None), (free[1] if len(free) > 1 else None)


def _curve(
    axes: Axes, fit: Fit, x: Variable, here: Mapping[str, Array], data: Mapping[str, Array], paint: str
) -> tuple[float, float]:
    """Draw the law at the other variables' values here; returns the curve's right end."""
    fitted = data["held_out"] == 0
    low, high = data[x.name].min(), data[x.name].max()
    if x.category:
        grid = np.repeat(np.unique(data[x.name]), 2)
    elif is_wide(data[x.name]):
        low, high = low / _MARGIN, high * _MARGIN
        grid = np.geomspace(low, high, _POINTS)
    else:
        beyond = (_MARGIN - 1) * (high - low) / 2
        low, high = low - beyond, high + beyond
        grid = np.linspace(low, high, _POINTS)
    grid = np.clip(grid, x.low, x.high)
    others = {v.name: np.full(len(grid), _middle(here[v.name], v)) for v in fit.model.variables}
    value, bottom, top = fit.predict({**others, x.name: grid})
    axes.fill_between(grid, bottom, top, color=paint, alpha=0.16, linewidth=0)
    first, last = data[x.name][fitted].min(), data[x.name][fitted].max()
    for part, line in (
        ((grid >= first) & (grid <= last), "-"),
        (grid <= first, (0, (3, 2))),
        (grid >= last, (0, (3, 2))),
    ):
        axes.plot(grid[part], value[part], color=paint, linestyle=line, linewidth=1.6)
    if not x.category:
        axes.set_xlim(low, high)
    return float(grid[-1]), float(value[-1])


def _middle(values: Array, variable: Variable) -> float:
    """One value that stands for several."""
    if variable.category:
        return float(values[0])
    return float(np.exp(np.log(values).mean()) if values.min() > 0 else values.mean())


def _points(axes: Axes, fit: Fit, x: Variable, here: Mapping[str, Array], paint: str, marker: str) -> None:
    y = here[fit.model.response.name]
    spread = 2 * (0.0 if np.isnan(fit.seed_noise) else fit.seed_noise) / np.sqrt(here["seeds"])
    below, above = (y - y * np.exp(-spread), y * np.exp(spread) - y) if is_relative(fit) else (spread, spread)
    for held_out in (False, True):
        at = here["held_out"] == held_out
        axes.errorbar(
            here[x.name][at],
            y[at],
            (below[at], above[at]),
            color=paint,
            marker=marker,
            linestyle="none",
            elinewidth=1.1,
            markersize=7.5 if held_out else 6,
            markerfacecolor=style.SURFACE if held_out else paint,
            markeredgecolor=paint if held_out else style.SURFACE,
            markeredgewidth=1.8 if held_out else 0.7,
            zorder=3,
        )


def _bound(axes: Axes, variable: Variable, data: Mapping[str, Array], panel: Variable | None, place: object) -> None:
    """A dashed line at a variable that is counted as the response is, where it is one for all points of the panel."""
    values = data[variable.name]
    if panel is not None:
        values = values[data[panel.name] == place]
    if np.ptp(values) > 1e-3 * values.max():
        return
    axes.axhline(values[0], color=style.MUTED, linewidth=1, linestyle=(0, (5, 3)))
    axes.annotate(
        f"{variable.meaning}: {formatting.number(float(values[0]))} {variable.unit}",
        (0.01, values[0]),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        color=style.MUTED,
        fontsize=8,
    )


def _legend(fit: Fit) -> list[Line2D]:
    both = {"color": style.MUTED, "linestyle": "none"}
    handles = [Line2D([], [], marker="o", label="fitted", markeredgecolor=style.SURFACE, **both)]  # type: ignore[arg-type]
    if any(fit.data["held_out"]):
        handles.append(
            Line2D([], [], marker="o", label="held out", markerfacecolor=style.SURFACE, markeredgewidth=1.8, **both)  # type: ignore[arg-type]
        )
    handles.append(Line2D([], [], color=style.MUTED, label="law"))
    handles.append(Line2D([], [], color=style.MUTED, linestyle=(0, (3, 2)), label="law, beyond what was fitted"))
    return handles


def _axis(variable: Variable) -> str:
    unit = "" if variable.unit == "1" or variable.unit in variable.meaning else f" ({variable.unit})"
    return f"{variable.meaning}{unit}"


def _name(fit: Fit, variable: Variable, value: float) -> str:
    """A level without its unit."""
    return fit.levels[variable.name][int(value)] if variable.category else formatting.exact(value)


def _level(fit: Fit, variable: Variable, value: float) -> str:
    """A level with its unit, such as 300 exposures."""
    number = _name(fit, variable, value)
    if variable.category:
        return f"{number} {variable.unit}" if variable.unit != "name" else number
    return f"{variable.name} = {number}" if variable.unit == "1" else f"{number} {variable.unit}"


def _finding(fit: Fit) -> str:
    law = fit.model
    size = next(v.meaning for v in law.variables if v.name == law.size)
    text = (
        f"{formatting.capitalized(law.response.meaning)} against {size}. "
        f"The curves miss the {formatting.count(fit.conditions, 'fitted condition')} by "
        f"{formatting.percent(deviation(fit))}"
    )
    if fit.heldout_error_ratio is not None:
        text += (
            f" and the {formatting.count(len(fit.held_out), 'held-out condition')} by "
            f"{formatting.percent(fit.heldout_error_ratio)}"
        )
    return f"{text} on average; seeds differ by {formatting.percent(fit.seed_noise)}."


def _caption(fit: Fit) -> str:
    both = is_relative(fit) and is_wide(np.array(fit.data[fit.model.size]))
    return (
        f"Points are means over seeds with two standard errors; bands are {formatting.percent(fit.level)} intervals of "
        "the law. Hollow points were held out." + (" Both axes are logarithmic." if both else "")
    )
