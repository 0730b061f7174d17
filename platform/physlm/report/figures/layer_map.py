"""Heat maps of a measure by layer and place, after and before training."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from physlm.report import style
from physlm.report.figures.drawing import Drawing
from physlm.report.layer_maps import LayerValues, Values

_MAP = mpl.colormaps["cividis"]
_DARK, _LIGHT = "#0a0a0a", "#fafafa"  # cells have their colour on any page, and so have their numbers
_MOST_NUMBERS = 12  # columns in a panel whose cells have room for their number


def draw(found: LayerValues) -> Drawing:
    """One panel after training and one before, on one scale."""
    figure = style.figure(1.0 + 0.27 * len(found.layers))
    panels = {"after training": found.trained, "before training": found.untrained}
    panels = {title: values for title, values in panels.items() if values}
    every = [value for values in panels.values() for value in values.values()]
    low, high = min(0.0, *every), max(*every, 1e-9)
    colours = Normalize(low, high, clip=True)
    for axes, (title, values) in zip(style.panels(figure, len(panels), share_y=True), panels.items(), strict=True):
        _panel(axes, found, values, colours)
        axes.set_title(title)
        axes.set_xlabel(found.drawing.axis)
        axes.set_ylabel("layer")
    whose = "of both panels " if len(panels) > 1 else ""
    return Drawing(
        found.name.replace(".", "_"),
        figure,
        found.drawing.title,
        found.finding,
        f"{found.drawing.caption} In percent; colours {whose}from "
        f"{round(100 * low)} (dark) to {round(100 * high)} (bright).",
    )


def _panel(axes: Axes, found: LayerValues, values: Values, colours: Normalize) -> None:
    layers, places = found.layers, found.places
    grid = np.array([[values.get((layer, place), np.nan) for place in places] for layer in layers])
    axes.pcolormesh(
        np.arange(len(places) + 1) - 0.5,
        np.arange(len(layers) + 1) - 0.5,
        np.ma.masked_invalid(grid),
        cmap=_MAP,
        norm=colours,
        edgecolors=style.SURFACE,
        linewidth=0.8,
    )
    if len(places) <= _MOST_NUMBERS:
        for (i, j), value in np.ndenumerate(grid):
            if not np.isnan(value):
                ink = _DARK if sum(_MAP(colours(value))[:3]) > 1.5 else _LIGHT
                axes.text(j, i, str(round(100 * value)), color=ink, fontsize=7.5, ha="center", va="center")
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_ylim(-0.5, len(layers) - 0.5)
    step = -(-len(places) // 10)
    axes.set_xticks(range(0, len(places), step), [found.label(place) for place in places[::step]])
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
