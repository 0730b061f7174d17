"""What people see: messages on standard error, results on standard output, progress with rate and time left."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from physlm.steps.events import Event, Listener

errors = Console(stderr=True, highlight=False, soft_wrap=True)
output = Console(highlight=False, soft_wrap=True)


def fail(sentence: str) -> None:
    """Say what went wrong."""
    errors.print("[bold red]error:[/] ", end="")
    errors.print(sentence, markup=False)


def plain(text: str) -> str:
    """Text whose brackets are no markup."""
    return escape(text)


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
            TextColumn("[dim]{task.fields[text]}[/]"),
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
        bars.update(tasks[event.step], completed=event.done, total=max(event.total, 1e-12), text=event.text)

    return on_event


def _lines() -> Listener:
    """One line when a step begins, at each tenth of it, and at its end."""
    shown: dict[str, int] = {}

    def on_event(event: Event) -> None:
        tenth = int(10 * event.done / event.total) if event.total else 0
        if tenth > shown.get(event.step, -1):
            shown[event.step] = tenth
            errors.print(f"{event.step}: {10 * tenth} %" + (f"  {event.text}" if event.text else ""), markup=False)

    return on_event
