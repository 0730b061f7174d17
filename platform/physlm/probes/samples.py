"""What probes are trained and tested on: fresh instances, split by instance, with labels and control labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm import ragged, randomness
from physlm.measures.measure import Member
from physlm.probes import controls
from physlm.tasks.capabilities import HasProbeQuestions, Probed, require
from physlm.tasks.task import Instances, Stream, Task

INSTANCES = 600
_TEST_ONE_IN = 3


@dataclass(frozen=True)
class Sample:
    """B rows of T tokens for each of M members, K targets in V variants (see `physlm.probes.controls`).

    targets   name and number of classes, in the order of the axis K
    tokens    int64 [M, B, T]; an instance a row, filled with separators
    labels    int32 [M, V, K, B, T]; -1 where there is nothing to read
    cluster   int64 [M, B]: rows of one cluster aren't independent
    test      bool [M, B]: rows to test on; a cluster is never split
    """

    targets: Mapping[str, int]
    tokens: NDArray[np.int64]
    labels: NDArray[np.int32]
    cluster: NDArray[np.int64]
    test: NDArray[np.bool_]


def sample(
    members: Sequence[Member], targets: Mapping[str, int], ends: Mapping[str, str] | None = None, count: int = INSTANCES
) -> Sample:
    """The first `count` test instances of each member's own stream, with their labels for these targets.

    ends: by target, the label that must be 1 where it is read.
    """
    drawn = _draw(members, count)
    tokens, (cluster, test) = _whole(members, drawn), _split(members, drawn)
    context = tokens.shape[2]
    labels = []
    for instances in drawn:
        columns = []
        for target in targets:
            column = ragged.padded(instances.labels[target], instances.offsets, context, -1)
            if ends is not None and target in ends:
                column = np.where(
                    ragged.padded(instances.labels[ends[target]], instances.offsets, context, 0) == 1, column, -1
                )
            columns.append(column.astype(np.int32))
        labels.append(np.stack(columns))
    everywhere = np.broadcast_to(np.arange(context), tokens.shape[1:])
    types = [controls.types(own, everywhere) for own in tokens]
    return Sample(targets, tokens, _vary(labels, types, members), cluster, test)


def _draw(members: Sequence[Member], count: int) -> list[Instances]:
    return [m.task.sample(Stream("test", m.seed), np.arange(count, dtype=np.int64)) for m in members]


def _whole(members: Sequence[Member], drawn: Sequence[Instances]) -> NDArray[np.int64]:
    """Tokens of instances, int64 [M, B, T], filled with separators."""
    context = max(int(instances.lengths.max()) for instances in drawn)
    return np.stack(
        [ragged.padded(i.tokens, i.offsets, context, m.task.separator) for m, i in zip(members, drawn, strict=True)]
    )


def _split(members: Sequence[Member], drawn: Sequence[Instances]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Clusters int64 [M, B], and which instances are for testing, bool [M, B]."""
    clusters, test = zip(*(split(m, i) for m, i in zip(members, drawn, strict=True)), strict=True)
    return np.stack(clusters), np.stack(test)


@dataclass(frozen=True)
class Texts:
    """q texts for each of M members, each with R places where K targets are read.

    targets   name and number of classes, in the order of the axis K
    tokens    int64 [M, q, T]; MARKS beyond the vocabulary stand for tokens that only the probe knows
    places    int64 [M, q, R]: which token's state is read
    labels    int32 [M, V, K, q, R]; -1 where there is nothing to read
    cluster   int64 [M, q]
    test      bool [M, q]
    distance  int32 [M, q]: of what is asked from what the instance asks, -1 where there is none; if told
    """

    targets: Mapping[str, int]
    tokens: NDArray[np.int64]
    places: NDArray[np.int64]
    labels: NDArray[np.int32]
    cluster: NDArray[np.int64]
    test: NDArray[np.bool_]
    distance: NDArray[np.int32] | None = None


MARKS = 2
"""Tokens that only a probe knows: START and END of what is asked, numbered behind the vocabulary."""


def at_places(members: Sequence[Member], targets: Mapping[str, int], count: int) -> Texts:
    """`count` whole instances of each member, read at the tokens that the label `probe_place` of the task marks."""
    drawn = _draw(members, count)
    tokens, (cluster, test) = _whole(members, drawn), _split(members, drawn)
    context = tokens.shape[2]
    marked = np.stack(
        [
            ragged.padded(i.labels[str(require(m.task, Probed).probe_place)], i.offsets, context, -1) >= 0
            for m, i in zip(members, drawn, strict=True)
        ]
    )
    number = np.where(marked, marked.cumsum(-1) - 1, -1)
    here = number[:, :, None] == np.arange(int(number.max()) + 1)[:, None]  # [M, B, R, T]
    places = np.where(here.any(-1), here.argmax(-1), 0)
    labels, types = [], []
    for m, instances in enumerate(drawn):
        own = np.stack([ragged.padded(instances.labels[target], instances.offsets, context, -1) for target in targets])
        read = np.take_along_axis(own, np.broadcast_to(places[m], (len(own), *places[m].shape)), 2)
        labels.append(np.where(here[m].any(-1), read, -1).astype(np.int32))
        types.append(controls.types(tokens[m], places[m]))
    return Texts(targets, tokens, places, _vary(labels, types, members), cluster, test)


def asked(members: Sequence[Member], targets: Mapping[str, int], marked: bool, instances: int, questions: int) -> Texts:
    """Beginnings of instances with a question behind them, read at the last token.

    marked: the question stands between START and END; else it is followed by the separator.
    questions: of each member and kind; targets whose questions are put in the same words at the same places are one
    kind and have their texts in common.
    """
    made = [_asked(member, targets, marked, instances, questions) for member in members]
    count, context = max(len(own.texts) for own in made), max(len(text) for own in made for text in own.texts)
    tokens = np.empty((len(members), count, context), np.int64)
    places = np.zeros((len(members), count, 1), np.int64)
    labels = np.full((len(members), len(targets), count, 1), -1, np.int32)
    cluster, test = np.zeros((len(members), count), np.int64), np.zeros((len(members), count), np.bool_)
    distance = np.full((len(members), count), -1, np.int32)
    for m, own in enumerate(made):
        n = len(own.texts)
        tokens[m] = members[m].task.separator
        for row, text in enumerate(own.texts):
            tokens[m, row, : len(text)] = text
            places[m, row, 0] = len(text) - 1
        labels[m, :, :n, 0], cluster[m, :n], test[m, :n] = own.answers, own.cluster, own.test
        distance[m, :n] = own.distance
    types = [controls.types(*pair) for pair in zip(tokens, places, strict=True)]
    return Texts(targets, tokens, places, _vary(list(labels), types, members), cluster, test, distance)


@dataclass(frozen=True)
class _Asked:
    """A member's texts: n of them, answers int32 [K, n], cluster int64 [n], test bool [n], distance int32 [n]."""

    texts: list[NDArray[np.int64]]
    answers: NDArray[np.int32]
    cluster: NDArray[np.int64]
    test: NDArray[np.bool_]
    distance: NDArray[np.int32]


def _asked(member: Member, targets: Mapping[str, int], marked: bool, count: int, questions: int) -> _Asked:
    task = require(member.task, HasProbeQuestions)
    stream, indices = Stream("test", member.seed), np.arange(count, dtype=np.int64)
    instances = task.sample(stream, indices)
    asked = [task.questions(target, stream, indices) for target in targets]
    longest = max(int(np.diff(q.offsets).max(initial=0)) for q in asked)
    # A row a question: instance, tokens shown, words. Equal rows are one text.
    written = np.concatenate(
        [np.column_stack([q.instance, q.shown, ragged.padded(q.asked, q.offsets, longest, -1)]) for q in asked]
    )
    unique, owner = np.unique(written, axis=0, return_inverse=True)
    answers = np.full((len(targets), len(unique)), -1, np.int32)
    kind, distance = np.zeros(len(unique), np.int64), np.full(len(unique), -1, np.int32)
    start = 0
    for k, q in enumerate(asked):
        own = owner.ravel()[start : start + len(q)]
        answers[k, own] = q.answer
        if q.distance is not None:
            distance[own] = q.distance
        kind |= np.where(answers[k] >= 0, 1 << k, 0)
        start += len(q)
    order = randomness.permutation(randomness.key("probe", "questions", member.seed), 0, len(unique))
    of_a_kind = [order[kind[order] == one][:questions] for one in np.unique(kind)]
    chosen = np.sort(np.concatenate(of_a_kind))
    texts = [_text(task, instances, row, marked) for row in unique[chosen]]
    cluster, test = split(member, instances)
    about = unique[chosen, 0]
    return _Asked(texts, answers[:, chosen], cluster[about], test[about], distance[chosen])


def _text(task: Task[Any], instances: Instances, row: NDArray[np.int64], marked: bool) -> NDArray[np.int64]:
    beginning, question = instances[int(row[0])][: row[1]], row[2:][row[2:] >= 0]
    start, end = len(task.vocabulary), len(task.vocabulary) + 1
    parts = (beginning, [start], question, [end]) if marked else (beginning, question, [task.separator])
    return np.concatenate([np.asarray(part, np.int64) for part in parts])


def split(member: Member, instances: Instances) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The cluster of each instance, int64 [B], and whether it is for testing, bool [B]."""
    shared = member.task.clusters
    first = instances.offsets[:-1]
    cluster = np.arange(len(instances), dtype=np.int64) if shared is None else instances.labels[shared][first]
    words = randomness.words(randomness.key("probe", "split", member.seed), cluster.astype(np.int64), 1)[:, 0]
    return cluster.astype(np.int64), words % _TEST_ONE_IN == 0


def _vary(
    labels: Sequence[NDArray[np.int32]], types: Sequence[NDArray[np.int64]], members: Sequence[Member]
) -> NDArray[np.int32]:
    """labels int32 [K, B, T] and types int64 [B, T] of each member -> with their controls, int32 [M, V, K, B, T]."""
    result = np.empty((len(labels), len(controls.VARIANTS), *labels[0].shape), np.int32)
    for m, (member, own, kinds) in enumerate(zip(members, labels, types, strict=True)):
        for k, column in enumerate(own):
            key = randomness.key("probe", "controls", member.seed, k)
            result[m, :, k] = column, controls.shuffled(column, key), controls.control(column, kinds, key)
    return result
