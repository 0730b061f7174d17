"""What people see: messages on standard error, results on standard output, progress with rate and time left."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from physlm.steps.events import Event, Listener

# Of what a terminal takes as a command; line breaks and tabs are text.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Text whose control characters are shown as such, so that none reaches a terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Console(Console):
    """A console for the text of people: brackets are no markup, colons no emoji, control characters are shown.

    What is to be styled is given as `rich.text.Text`. Off a terminal lines are as long as they are, so that a program
    that reads them finds whole words.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as text."""
        return super().render_str(visible(text), **options)

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        """Columns and rows."""
        return super().size if self.is_terminal else ConsoleDimensions(_ENDLESS, 25)


_ENDLESS = 1_000_000  # columns

errors = _Console(stderr=True)
output = _Console()


def fail(sentence: str) -> None:
    """Say what went wrong."""
    errors.print(Text.assemble(("error: ", "bold red"), visible(sentence)))


def warn(sentence: str) -> None:
    """Say what is not as it should be, though the work goes on."""
    errors.print(Text.assemble(("warning: ", "bold yellow"), visible(sentence)))


def print_json(value: Any) -> None:
    """A result for programs, on standard output."""
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


@contextmanager
def progress(quiet: bool = False) -> Iterator[Listener]:
    """Show the steps' events: bars on a terminal, a line every so often elsewhere, nothing when quiet."""
    if quiet:
        yield lambda event: None
    elif errors.is_terminal and os.environ.get("TERM") != "dumb":
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[text]}", style="dim", markup=False),
            console=errors,
        ) as bars:
            yield _bars(bars)
    else:
        yield _lines()


def _bars(bars: Progress) -> Listener:
    tasks: dict[str, Any] = {}

    def on_event(event: Event) -> None:
        if event.step not in tasks:
            tasks[event.step] = bars.add_task(event.step, text="")
        bars.update(tasks[event.step], completed=event.done, total=max(event.total, 1e-12), text=visible(event.text))

    return on_event


def _lines() -> Listener:
    """One line when a step begins, at each tenth of it, and at its end."""
    shown: dict[str, int] = {}

    def on_event(event: Event) -> None:
        tenth = int(10 * event.done / event.total) if event.total else 0
        if tenth > shown.get(event.step, -1):
            shown[event.step] = tenth
            errors.print(f"{event.step}: {10 * tenth} %" + (f"  {event.text}" if event.text else ""))

    return on_event
