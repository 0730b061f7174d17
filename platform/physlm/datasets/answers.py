"""Judge completions in a file: lines as `physlm tasks sample --json` writes them, each with what a model made of it.

    {"task": {...}, "stream": {"split": "test", "seed": 0}, "index": 7, "prompt": [...], "completion": "3 1 4"}

`task`, `stream` and `index` name the question, whose truth is sampled anew; a `prompt`, as tokens or text, must then be
its prompt. The completion is a list of tokens or a text; without one the line's own `answer` is judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from physlm import runs
from physlm.errors import ExperimentError, UserError
from physlm.tasks.capabilities import Asks, Verdict, require
from physlm.tasks.task import Split, Stream, Task, TaskConfig

_TOGETHER = 256  # questions sampled at once
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Judged:
    """The verdict on the completion in a line of the file; lines count from 1."""

    line: int
    index: int
    verdict: Verdict


@dataclass(frozen=True)
class _Question:
    line: int
    config: TaskConfig
    stream: Stream
    index: int
    prompt: Any
    completion: Any


def judge(lines: Iterable[str], task: Task[Any], completions: Iterable[str] | None = None) -> Iterator[Judged]:
    """Judge each line's completion, or the line of `completions` at the same place, a text.

    task: the language of lines that don't name theirs; all must be of its type. Blank lines of `lines` are skipped.
    Raises UserError, naming the line, for one that is no question of the language.
    """
    asking = require(task, Asks)
    waiting: list[_Question] = []
    for question in _questions(lines, asking, completions):
        if waiting and (
            len(waiting) == _TOGETHER or (question.config, question.stream) != (waiting[0].config, waiting[0].stream)
        ):
            yield from _judge(waiting)
            waiting = []
        waiting.append(question)
    if waiting:
        yield from _judge(waiting)


def _questions(lines: Iterable[str], task: Task[Any], completions: Iterable[str] | None) -> Iterator[_Question]:
    configs: dict[str, TaskConfig] = {}
    numbered: tuple[int, str] | None
    filled = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    if completions is None:
        for number, line in filled:
            yield _question(number, line, task, configs, None)
        return
    for place, (numbered, completion) in enumerate(zip_longest(filled, completions), 1):
        if numbered is None:
            raise UserError(f"there are more completions than questions: the completion in line {place} has none")
        if completion is None:
            raise UserError(f"line {numbered[0]}: there is no completion for it; give one line for each question")
        yield _question(numbered[0], numbered[1], task, configs, completion)


def _question(
    number: int, line: str, task: Task[Any], configs: dict[str, TaskConfig], completion: str | None
) -> _Question:
    where = f"line {number}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise UserError(f"{where}: must be a JSON object, as `physlm tasks sample {task.name} --json` writes it")
    index = row.get("index")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 2**62:
        raise UserError(
            f"{where}: index must be the question's place in its stream, an integer from 0, got {index!r:.40}"
        )
    stream = row.get("stream", {"split": "test", "seed": 0})
    if not (
        isinstance(stream, dict)
        and stream.keys() == {"split", "seed"}
        and stream["split"] in get_args(Split)
        and type(stream["seed"]) is int
    ):
        raise UserError(f'{where}: stream must be like {{"split": "test", "seed": 0}}, got {json.dumps(stream):.60}')
    if completion is None:
        completion = row.get("completion", row.get("answer"))
        if completion is None:
            raise UserError(f"{where}: has neither completion nor answer: there is nothing to judge")
    return _Question(number, _config(where, row, task, configs), Stream(**stream), index, row.get("prompt"), completion)


def _config(where: str, row: Mapping[str, Any], task: Task[Any], configs: dict[str, TaskConfig]) -> TaskConfig:
    own: TaskConfig = task.config
    if "task" not in row:
        return own
    knobs = row["task"]
    text = json.dumps(knobs, sort_keys=True)
    if text not in configs:
        if not isinstance(knobs, dict) or knobs.get("type") != task.name:
            raise UserError(f'{where}: task must be the knobs of {task.name}, with "type": "{task.name}"')
        try:
            configs[text] = runs.task_config(knobs)
        except ExperimentError as error:
            raise UserError(f"{where}: {error}") from None
    return configs[text]


def _judge(questions: list[_Question]) -> Iterator[Judged]:
    task = require(runs.language(questions[0].config), Asks)
    instances = task.sample(questions[0].stream, np.array([q.index for q in questions], np.int64))
    for i, question in enumerate(questions):
        where = f"line {question.line}"
        if question.prompt is not None:
            expected = task.prompt(instances, i)
            if not np.array_equal(_tokens(task, question.prompt, f"{where}: prompt"), expected):
                raise UserError(
                    f"{where}: its prompt isn't that of instance {question.index} of this stream and these knobs; "
                    "was it made with others, or by another version of physlm?"
                )
        completion = _tokens(task, question.completion, f"{where}: completion")
        yield Judged(question.line, question.index, task.verify(instances.truth[i], completion))


def _tokens(task: Task[Any], value: Any, what: str) -> NDArray[Any]:
    """Tokens of a list or a text; -1 for numbers beyond all tokens."""
    if isinstance(value, str):
        return task.parse(value)
    if not isinstance(value, list) or not all(type(token) is int for token in value):
        raise UserError(f"{what} must be a list of tokens, which are integers, or a text")
    return np.array([token if token in _INT64 else -1 for token in value], np.int64)
