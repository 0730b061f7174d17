"""One look for every figure: sizes, colours that all eyes can tell apart, markers, axes with plain numbers.

Series are told apart by colour, by marker and by a label that carries both. Colours come from the ordered map `plasma`,
whose lightness rises steadily, so they survive colour blindness and black-and-white print.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor, inf, log10
from typing import Any, Literal, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, Locator
from matplotlib.transforms import ScaledTranslation

from physlm.report import formatting

WIDTH = 7.4  # inches: the page's column
SERIES = 8
_TICK_SIZE = 8.5  # points
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")

# role -> colour on a light page, on a dark one. No two roles share a light colour: the page replaces them one by one.
_INKS = {
    "ink": ("#1b1f24", "#e8eaed"),
    "muted": ("#59636e", "#a3adb8"),
    "grid": ("#e3e7eb", "#2c333b"),
    "surface": ("#ffffff", "#14171b"),
    "anchor": ("#6e5a00", "#d9bc4a"),
}
_LIGHT = np.linspace(0.0, 0.64, SERIES)
_DARK = np.linspace(0.46, 0.97, SERIES)
_MAP = mpl.colormaps["plasma"]

COLOURS: Mapping[str, tuple[str, str]] = {
    **_INKS,
    **{f"series-{i}": (to_hex(_MAP(a)), to_hex(_MAP(b))) for i, (a, b) in enumerate(zip(_LIGHT, _DARK, strict=True))},
}
"""Every colour that occurs in a figure: by role, for a light and for a dark page."""

INK, MUTED, GRID, SURFACE, ANCHOR = (_INKS[role][0] for role in ("ink", "muted", "grid", "surface", "anchor"))

_RC: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "figure.facecolor": SURFACE,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "savefig.dpi": 200,
    "savefig.facecolor": SURFACE,
    "svg.fonttype": "none",
    "svg.hashsalt": "physlm",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": _TICK_SIZE,
    "ytick.color": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": _TICK_SIZE,
}


@contextmanager
def applied() -> Iterator[None]:
    """Draw in this style, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure; width and height in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def panels(figure: Figure, count: int, columns: int = 3, *, share_y: bool = False) -> list[Axes]:
    """`count` axes in a grid; four stand two by two."""
    columns = 2 if count == 4 else min(columns, count)
    grid = figure.subplots(ceil(count / columns), columns, squeeze=False, sharey=share_y)
    axes: list[Axes] = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    return axes[:count]


def save(figure: Figure, kind: Literal["svg", "png"]) -> bytes:
    """The figure as a file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata: dict[str, str | None] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def series(count: int) -> list[tuple[str, str]]:
    """Colour and marker for each of `count` ordered series; beyond 8 neighbours share a colour."""
    places = np.linspace(0, SERIES - 1, count).round().astype(int) if count > 1 else [1]
    return [(COLOURS[f"series-{place}"][0], MARKERS[i % len(MARKERS)]) for i, place in enumerate(places)]


class PlainLogLocator(Locator):
    """Ticks of a logarithmic axis at round numbers, as many as have room for their labels."""

    _STEPS: tuple[tuple[float, ...], ...] = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))
    _ENOUGH = 4

    def __call__(self) -> Sequence[float]:
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        return self._with_room(self.tick_values(low, high), low, high)

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Candidates between two positive numbers."""
        if not 0 < vmin < vmax < float("inf"):
            return []
        powers = range(floor(log10(vmin)), ceil(log10(vmax)) + 1)
        for steps in self._STEPS:
            ticks = [step * 10.0**power for power in powers for step in steps]
            inside = [tick for tick in ticks if vmin <= tick <= vmax]
            if len(inside) >= self._ENOUGH:
                return inside
        even = mpl.ticker.MaxNLocator(self._ENOUGH, steps=[1, 2, 2.5, 5, 10]).tick_values(vmin, vmax)
        return inside if len(inside) > 1 else [float(tick) for tick in even if vmin <= tick <= vmax]

    def _with_room(self, ticks: Sequence[float], low: float, high: float) -> list[float]:
        """Drop each tick whose label would touch the one before it."""
        axis = cast(Axis, self.axis)
        across, box, size = isinstance(axis, XAxis), axis.axes.bbox, _TICK_SIZE
        length = (box.width if across else box.height) * 72 / _figure(axis.axes).dpi
        kept: list[float] = []
        end = -inf
        for tick in ticks:
            at = length * log10(tick / low) / log10(high / low)
            half = 0.32 * size * len(formatting.tick(tick)) if across else 0.6 * size
            if at - half > end:
                kept.append(tick)
                end = at + half
        return kept


def plain_axes(axes: Axes, *, log_x: bool = False, log_y: bool = False) -> None:
    """Linear or logarithmic scales with tick labels that anybody reads: 20,000 and not 2×10⁴."""
    for axis, scale, is_log in ((axes.xaxis, axes.set_xscale, log_x), (axes.yaxis, axes.set_yscale, log_y)):
        if is_log:
            scale("log")
            axis.set_major_locator(PlainLogLocator())
            axis.set_minor_locator(mpl.ticker.NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: formatting.tick(value)))


def rows(axes: Axes, labels: Sequence[str]) -> list[int]:
    """Make the y axis a list of labelled rows, the first one on top; returns where each row is."""
    places = list(range(len(labels)))[::-1]
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.65, len(labels) - 0.35)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    return places


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """One row above the panels."""
    figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=len(handles),
        handlelength=1.6,
        handletextpad=0.6,
        columnspacing=1.4,
        borderpad=0.1,
    )


def series_handles(title: str, entries: Sequence[tuple[str, str, str]]) -> list[Line2D]:
    """What a legend says of series, (text, colour, marker) each; of more than eight those that span them evenly."""
    if len(entries) > SERIES:
        entries = [entries[i] for i in np.linspace(0, len(entries) - 1, SERIES).round().astype(int)]
    heading = Line2D([], [], color="none", label=f"{title}:")
    return [heading, *(Line2D([], [], color=colour, marker=marker, label=text) for text, colour, marker in entries)]


@dataclass(frozen=True)
class LineEnd:
    """The right end of a line, in data coordinates, with its look and what to call it."""

    x: float
    y: float
    colour: str
    marker: str
    text: str


def end_labels(axes: Axes, ends: Sequence[LineEnd]) -> None:
    """Label lines to the right of their ends, each with its marker, pushed apart where labels would touch.

    Call it last: it uses the final limits of the axes.
    """
    if not ends:
        return
    figure = _figure(axes)
    figure.draw_without_rendering()  # fixes limits and layout
    points = 72 / figure.dpi
    heights = [float(axes.transData.transform((end.x, end.y))[1]) * points for end in ends]
    order = sorted(range(len(ends)), key=heights.__getitem__)
    shifts, below = [0.0] * len(ends), -inf
    for i in order:
        below = max(heights[i], below + 1.3 * _TICK_SIZE)
        shifts[i] = below - heights[i]
    centre = sum(shifts) / len(shifts)  # keeps the labels as a whole beside the lines' ends
    for end, shift in zip(ends, shifts, strict=True):
        up = (shift - centre) / 72
        beside = axes.transData + ScaledTranslation(9 / 72, up, figure.dpi_scale_trans)
        look = {"color": end.colour, "marker": end.marker, "markeredgecolor": SURFACE, "clip_on": False}
        axes.add_artist(Line2D([end.x], [end.y], transform=beside, **look))  # type: ignore[arg-type]
        axes.annotate(
            end.text, (end.x, end.y), xytext=(16, 72 * up), textcoords="offset points", fontsize=_TICK_SIZE, va="center"
        )


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure
