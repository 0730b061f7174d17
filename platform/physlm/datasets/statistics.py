"""What a sample of a language says, beside what the language states of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm.tasks.capabilities import Asks, HasEntropy, supports
from physlm.tasks.task import Axis, Instances, Stream, Task

_ERRORS = 5  # standard errors within which a figure agrees


@dataclass(frozen=True)
class Figure:
    """One figure: the mean over n instances with its standard error, and what is stated of it, if anything is.

    bound   the stated value is the most that it may be
    """

    name: str
    unit: str
    mean: float
    stderr: float
    n: int
    stated: float | None = None
    bound: bool = False

    @property
    def agrees(self) -> bool | None:
        """Whether it is as stated, within five standard errors; None where nothing is stated."""
        if self.stated is None:
            return None
        room = _ERRORS * self.stderr + 1e-9 * abs(self.stated)
        return self.mean <= self.stated + room if self.bound else abs(self.mean - self.stated) <= room


@dataclass(frozen=True)
class AxisFigure:
    """An axis of difficulty at one value of its knob, all else as by default."""

    knob: str
    kind: str
    value: Any
    length: Figure
    operations: Figure | None  # of a right answer, where they are counted


@dataclass(frozen=True)
class Statistics:
    """Figures of a language, and of its axes: for each the easier value, then the harder."""

    figures: Sequence[Figure]
    axes: Sequence[AxisFigure]

    @property
    def agrees(self) -> bool:
        """Whether no figure disagrees with what is stated."""
        return all(figure.agrees is not False for figure in self.figures)


def _mean(name: str, unit: str, values: NDArray[Any], stated: float | None = None, bound: bool = False) -> Figure:
    error = float(values.std(ddof=1) / sqrt(len(values))) if len(values) > 1 else 0.0
    return Figure(name, unit, float(values.mean()), error, len(values), stated, bound)


def _ratio(name: str, unit: str, above: NDArray[Any], below: NDArray[Any]) -> Figure:
    """Sum of the one over sum of the other; its error to first order."""
    ratio = float(above.sum() / below.sum())
    error = float((above - ratio * below).std(ddof=1) / sqrt(len(above)) / below.mean()) if len(above) > 1 else 0.0
    return Figure(name, unit, ratio, error, len(above))


def _sums(instances: Instances, values: NDArray[Any]) -> NDArray[np.int64]:
    return np.add.reduceat(values.astype(np.int64), instances.offsets[:-1])


def measure(task: Task[Any], count: int, stream: Stream) -> Statistics:
    """Statistics of the stream's first `count` instances."""
    instances = task.sample(stream, np.arange(count, dtype=np.int64))
    lengths = instances.lengths
    seen = len(np.unique(instances.tokens))
    figures = [
        _mean("length", "tokens", lengths),
        Figure("longest", "tokens", float(lengths.max()), 0.0, count, float(task.max_length), bound=True),
        _ratio("share trained on", "of the tokens", _sums(instances, instances.loss), lengths),
        Figure("distinct tokens", "tokens", float(seen), 0.0, count, float(task.used_tokens), bound=True),
    ]
    surprisal = task.surprisal(instances) if supports(task, HasEntropy) else None
    if supports(task, HasEntropy) and surprisal is not None:
        figures.append(_mean("entropy", "nats per instance", surprisal, task.floor()))
        figures.append(_ratio("entropy per token", "nats", surprisal, lengths.astype(np.float64)))
    if supports(task, Asks):
        figures += _answers(task, instances, count, stream)
    return Statistics(figures, [figure for axis in task.axes for figure in _axis(task, axis, count)])


def _answers(task: Asks[Any], instances: Instances, count: int, stream: Stream) -> list[Figure]:
    answers = [task.completion(instances, i) for i in range(count)]
    right = np.array([task.verify(instances.truth[i], answer).correct for i, answer in enumerate(answers)])
    figures = [
        _mean("answer length", "tokens", np.array([len(answer) for answer in answers])),
        _mean("answers that verify", "of the answers", right, 1.0),
    ]
    if task.chance is not None:
        # the answer that is most frequent elsewhere, given to every question
        elsewhere = task.sample(Stream(stream.split, stream.seed + 1), np.arange(count, dtype=np.int64))
        given = Counter(tuple(task.completion(elsewhere, i).tolist()) for i in range(count)).most_common(1)[0][0]
        blind = np.array([task.verify(truth, np.array(given, np.int32)).correct for truth in instances.truth])
        # smoothed, so that no hit among few is not an error of 0
        error = sqrt((task.chance + 1 / count) / count)
        figures.append(Figure("blind accuracy", "of the answers", float(blind.mean()), error, count, task.chance, True))
    return figures


def _operations(task: Asks[Any], instances: Instances) -> NDArray[np.float64]:
    """Steps that right answers take, where they are counted."""
    verdicts = [task.verify(truth, task.completion(instances, i)) for i, truth in enumerate(instances.truth)]
    return np.array([v.counts["operations"] for v in verdicts if "operations" in v.counts])


def _axis(task: Task[Any], axis: Axis, count: int) -> list[AxisFigure]:
    figures = []
    for value in axis.harder or ():
        cls = type(task)
        other = cls(cls.config_type.model_validate({axis.knob: value}))
        instances = other.sample(Stream("test", 0), np.arange(count, dtype=np.int64))
        steps = _operations(other, instances) if supports(other, Asks) else np.empty(0)
        figures.append(
            AxisFigure(
                axis.knob,
                axis.kind,
                value,
                _mean("length", "tokens", instances.lengths),
                _mean("operations", "per answer", steps) if len(steps) else None,
            )
        )
    return figures
