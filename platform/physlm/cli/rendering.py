"""Instances as people see them: coloured tokens on a terminal, rows of numbers elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.text import Text

from physlm.cli import console
from physlm.tasks.capabilities import Asks, supports
from physlm.tasks.task import Instances, Task

# Foreground colours of label classes, told apart on dark and light ground; more classes begin anew.
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red", "bright_cyan", "bright_magenta", "bright_yellow")
_TRAINED, _UNTRAINED, _ANSWER = "bold", "dim", "bold green"


def print_instance(task: Task[Any], instances: Instances, i: int, label: str | None) -> None:
    """Show instance i: coloured by the label, or by what is trained on and asked; elsewhere with all labels below."""
    if console.output.is_terminal:
        console.output.print(_coloured(task, instances, i, label))
    else:
        _print_grid(task, instances, i, label)


def print_legend(task: Task[Any], instances: Instances, label: str | None) -> None:
    """Say on a terminal what the colours mean; nothing elsewhere."""
    if not console.output.is_terminal:
        return
    legend = Text().append("legend: ", "dim")
    if label is None:
        legend.append("trained on", _TRAINED).append("  ").append("not trained on", _UNTRAINED)
        if supports(task, Asks):
            legend.append("  ").append("the answer that is asked for", _ANSWER)
        if instances.labels:
            legend.append(f"  (--label {', '.join(instances.labels)})", "dim")
    else:
        present = np.unique(instances.labels[label]).tolist()
        legend.append(f"{label} ")
        for value, style in _classes(present[:20]):
            legend.append("none" if value < 0 else str(value), style).append(" ")
        if len(present) > 20:
            legend.append("...")
    console.output.print(legend)


def _answer_start(task: Task[Any], instances: Instances, i: int) -> int:
    """Where the answer begins; the instance's length where nothing is asked."""
    return len(task.prompt(instances, i)) if supports(task, Asks) else len(instances[i])


def _classes(values: Sequence[int]) -> Iterator[tuple[int, str]]:
    for value in values:
        yield value, "dim" if value < 0 else f"bold {_COLOURS[value % len(_COLOURS)]}"


def _coloured(task: Task[Any], instances: Instances, i: int, label: str | None) -> Text:
    a, b = instances.offsets[i : i + 2]
    text = Text()
    if label is None:
        start = _answer_start(task, instances, i)
        styles = [
            _ANSWER if j >= start else _TRAINED if trained else _UNTRAINED
            for j, trained in enumerate(instances.loss[a:b])
        ]
    else:
        styles = [style for _, style in _classes(instances.labels[label][a:b].tolist())]
    for token, style in zip(instances[i], styles, strict=True):
        text.append(task.text(np.array([token], np.int32)), style).append(" ")
    return text


def _print_grid(task: Task[Any], instances: Instances, i: int, label: str | None) -> None:
    """Rows as in the tasks' documentation: words, and under each its place in the mask and its label."""
    a, b = instances.offsets[i : i + 2]
    words = [task.text(np.array([token], np.int32)) for token in instances[i]]
    rows: dict[str, list[Any]] = {"text": words, "loss": instances.loss[a:b].astype(int).tolist()}
    names = [label] if label is not None else list(instances.labels)
    rows |= {name: instances.labels[name][a:b].tolist() for name in names}
    width = max(map(len, rows))
    columns = [max(len(str(row[j])) for row in rows.values()) for j in range(len(words))]
    for name, row in rows.items():
        cells = " ".join(f"{cell!s:>{size}}" for cell, size in zip(row, columns, strict=True))
        console.output.print(f"{name:<{width}}  {cells}")
    if supports(task, Asks):
        console.output.print(f"{'answer':<{width}}  {task.text(task.completion(instances, i))}")
    console.output.print()
