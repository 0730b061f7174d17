"""What every kind of figure gives to the page."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure with its words.

    name      stem of its files, and prefix of its ids on the page
    title     what it shows
    finding   what there is to see, in a sentence or two: the text for those who can't see it
    caption   how to read it
    """

    name: str
    figure: Figure
    title: str
    finding: str
    caption: str
