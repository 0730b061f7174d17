"""What trained models answer: the task's questions put to them, each answer verified exactly.

A model goes on from a prompt until it writes what ends the answer in the task's own text: the separator, or the token
that follows the answer there. Where the end isn't trained on, since only answers are, it is stopped at the length of
the right answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL, Columns
from physlm.datasets.evaluations import BASE, languages, variant
from physlm.measures.measure import Member
from physlm.tasks.capabilities import Asks, Verdict, require
from physlm.tasks.task import Instances, Stream, Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder
    from physlm.models.generation import Prompt


@dataclass(frozen=True)
class Answers:
    """A model's answers to n questions of one evaluation.

    task         the language of the questions: the member's own, with some knobs set otherwise
    instances    the questions
    completions  what was answered, the tokens that `Asks.verify` is given
    verdicts     on them
    """

    task: Asks[Any]
    instances: Instances
    completions: Sequence[NDArray[np.int32]]
    verdicts: Sequence[Verdict]

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer is right, [n]."""
        return np.array([verdict.correct for verdict in self.verdicts], np.bool_)

    @cached_property
    def operations(self) -> NDArray[np.float64]:
        """Steps that the right answer takes, [n]; NaN where the task doesn't count them."""
        task, instances = self.task, self.instances
        known = [task.verify(t, task.completion(instances, i)).counts for i, t in enumerate(instances.truth)]
        return np.array([counts.get("operations", np.nan) for counts in known], np.float64)

    @cached_property
    def cluster(self) -> NDArray[np.int64] | None:
        """What each question is about, [n], if several may be about the same; else None."""
        name = self.task.clusters
        return None if name is None else self.instances.labels[name][self.instances.offsets[:-1]].astype(np.int64)

    def counts(self) -> Mapping[str, NDArray[np.float64]]:
        """What the verdicts count, each [n], NaN where it isn't counted."""
        names = dict.fromkeys(name for verdict in self.verdicts for name in verdict.counts)
        return {name: np.array([verdict.counts.get(name, np.nan) for verdict in self.verdicts]) for name in names}


def in_evaluations(
    emissions: Callable[[Task[Any] | None], Iterable[Emission]], task: Task[Any] | None
) -> list[Emission]:
    """What a measure of answers emits of the task's own questions, and of each evaluation as `<name>.<evaluation>`.

    emissions: of one language; of any if it is given none. What is a panel for the task's own questions becomes, for
    the evaluations, a column in a table of them.
    """
    own = {"<evaluation>": None} if task is None else {k: variant(task, v) for k, v in languages(task).items()}
    found = list(emissions(task))
    for name, language in own.items():
        for e in emissions(language) if name != BASE else ():
            drawing = (
                Columns(f"{e.name.replace('_', ' ').capitalize()} by evaluation") if e.drawing == PANEL else e.drawing
            )
            where = "in an evaluation" if language is None else f"in the evaluation {name}"
            meaning = f"{e.meaning}, {where}"
            found.append(replace(e, name=f"{e.name}.{name}", meaning=meaning, variant_of=e.name, drawing=drawing))
    return found


def observed(
    decoder: Decoder, members: Sequence[Member], count: int, rows: Callable[[str, Answers], Iterable[Observation]]
) -> list[list[Observation]]:
    """What `rows` makes of each evaluation's answers, for each member: what a measure of answers takes."""
    return [
        [row for name, answers in own.items() for row in rows(name, answers)] for own in ask(decoder, members, count)
    ]


def ask(decoder: Decoder, members: Sequence[Member], count: int) -> list[dict[str, Answers]]:
    """The answers of each member by evaluation: the first `count` questions of its own test stream in each of them.

    The evaluation `test` has the task's own knobs; the others are those of `Asks.evaluations`.
    """
    from physlm.models.generation import generate

    asking = [require(m.task, Asks) for m in members]
    own = [{name: variant(task, knobs) for name, knobs in languages(task).items()} for task in asking]
    answers: list[dict[str, Answers]] = [{} for _ in members]
    for name in dict.fromkeys(name for tasks in own for name in tasks):
        asked = [
            _questions(tasks[name], m, count) if name in tasks else None for m, tasks in zip(members, own, strict=True)
        ]
        for temperature in {a.task.temperature for a in asked if a}:
            now = [a if a and a.task.temperature == temperature else None for a in asked]
            keys = [randomness.key("answers", name, m.seed) for m in members]
            prompts = [a.prompts(decoder.config.longest_context) if a else [] for a in now]
            written = generate(decoder, prompts, temperature=temperature, keys=keys)
            for m, a in enumerate(now):
                if a:
                    answers[m][name] = a.judged([w.tokens for w in written[m]])
    return answers


@dataclass(frozen=True)
class _Questions:
    task: Asks[Any]
    instances: Instances
    longest: int  # tokens of an instance of the language that was trained on

    def prompts(self, positions: int | None) -> list[Prompt]:
        """What is put to the model, which may have so many positions only."""
        from physlm.models.generation import Prompt

        room = self.longest if positions is None else min(self.longest, positions)
        prompts = []
        for i in range(len(self.instances)):
            tokens = self.task.prompt(self.instances, i)
            end = self._end(i, len(tokens))
            stop = [self.task.separator] if end is None else [self.task.separator, end]
            right = len(self.task.completion(self.instances, i))
            limit = right if end is None else room + 1 - len(tokens)
            prompts.append(Prompt(tokens, stop, max(1, limit), i))
        return prompts

    def judged(self, written: Sequence[NDArray[np.int32]]) -> Answers:
        """The verdicts on what was written."""
        task, instances = self.task, self.instances
        completions, verdicts = [], []
        for i, tokens in enumerate(written):
            prompt, right = len(task.prompt(instances, i)), task.completion(instances, i)
            ends = {task.separator, self._end(i, prompt)}
            if len(tokens) and int(tokens[-1]) in ends and right[-1] != tokens[-1]:
                tokens = tokens[:-1]  # it says that the answer is complete, and isn't part of it
            completions.append(tokens)
            verdicts.append(task.verify(instances.truth[i], tokens))
        return Answers(task, instances, completions, verdicts)

    def _end(self, i: int, prompt: int) -> int | None:
        """The token that ends the answer to question i in the task's own text; None if it isn't trained on."""
        instances, right = self.instances, self.task.completion(self.instances, i)
        if right[-1] == self.task.separator:
            return self.task.separator
        start = int(instances.offsets[i])
        after = start + prompt + len(right)
        if after >= instances.offsets[i + 1]:  # the next instance follows, which begins with the separator
            return self.task.separator if instances.loss[start] else None
        token = int(instances.tokens[after])
        return token if instances.loss[after] and token not in right else None


def _questions(task: Asks[Any], member: Member, count: int) -> _Questions:
    instances = task.sample(Stream("test", member.seed), np.arange(count, dtype=np.int64))
    return _Questions(task, instances, member.task.max_length)
