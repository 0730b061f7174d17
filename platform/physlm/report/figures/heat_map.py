"""Heat maps of what a probe reads: target by layer, or by position; before and after training, and by condition."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from physlm.report import conditions, probe_section, style
from physlm.report.figures.drawing import Drawing
from physlm.report.probe_section import Probed

_MAP = mpl.colormaps["cividis"]
_DARK, _LIGHT = "#0a0a0a", "#fafafa"  # cells have their colour on any page, and so have their numbers
_MOST_NUMBERS = 9  # columns in a panel whose cells have room for their number
_PANELS = {"": "after training", "untrained": "before training", "shuffled": "shuffled labels"}


def draw(found: Probed) -> Drawing | None:
    """None where there is one place only."""
    if found.axis is None:
        return None
    figure = style.figure(0.9 + 0.27 * len(found.targets))
    for axes, (control, title) in zip(style.panels(figure, len(_PANELS), share_y=True), _PANELS.items(), strict=True):
        _panel(axes, found, control)
        axes.set_title(title)
        axes.set_xlabel(found.axis)
    return Drawing(
        f"probe_{found.probe}",
        figure,
        f"The {probe_section.name(found.probe)} probe, by target and {found.axis}",
        probe_section.finding(found),
        "Percent of unseen readings that are right. Colour: from the majority class (dark) to always right (bright). "
        + ("Layer 0 is the embedding. " if found.axis == "layer" else "")
        + "Before training: the same probe on the same model with its initial parameters. Shuffled labels: trained and "
        "tested on labels exchanged among instances at the same place.",
    )


def draw_conditions(found: Sequence[Probed]) -> Drawing | None:
    """One probe's readings of several conditions, a panel each; None where there is one condition or place only."""
    if len(found) < 2 or found[0].axis is None:
        return None
    names = [conditions.title(one.condition) for one in found]
    rows = 1 if len(found) <= 3 else 2
    figure = style.figure(0.3 + rows * (0.7 + 0.27 * len(found[0].targets)))
    for i, (axes, one) in enumerate(zip(style.panels(figure, len(found), share_y=True), found, strict=True)):
        _panel(axes, one, "")
        axes.set_title(names[i])
        axes.set_xlabel(str(one.axis))
    return Drawing(
        f"probe_{found[0].probe}_conditions",
        figure,
        f"The {probe_section.name(found[0].probe)} probe, by condition",
        probe_section.comparison(found, names),
        "Percent of unseen readings that are right, after training. Colour: from the majority class (dark) to always "
        "right (bright).",
    )


def _panel(axes: Axes, found: Probed, control: str) -> None:
    columns, rows = len(found.places), len(found.targets)
    colours = Normalize(0, 1, clip=True)
    share = np.full((rows, columns), np.nan)
    for i, target in enumerate(found.targets):
        for j, place in enumerate(found.places):
            reading = found.get(target, place, control)
            if reading is None:
                continue
            chance = reading.chance or 0.0
            share[i, j] = (reading.value - chance) / max(1 - chance, 1e-9)
            if columns <= _MOST_NUMBERS:
                bright = sum(_MAP(colours(share[i, j]))[:3]) > 1.5
                axes.text(
                    j,
                    i,
                    f"{100 * reading.value:.0f}",
                    color=_DARK if bright else _LIGHT,
                    fontsize=7.5,
                    ha="center",
                    va="center",
                )
    axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(share),
        cmap=_MAP,
        norm=colours,
        edgecolors=style.SURFACE,
        linewidth=0.8,
    )
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    step = -(-columns // 10)
    axes.set_xticks(range(0, columns, step), [str(place) for place in found.places[::step]])
    axes.set_yticks(range(rows), [probe_section.name(target) for target in found.targets])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
