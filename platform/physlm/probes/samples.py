"""What probes are trained and tested on: fresh instances, split by instance, with labels and control labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.measures.contract import Member
from physlm.probes import controls
from physlm.tasks.contract import Instances, Stream

INSTANCES = 600
QUESTIONS = 900  # of a kind and member
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
    drawn = [m.task.sample(Stream("test", m.seed), np.arange(count, dtype=np.int64)) for m in members]
    context = max(int(instances.lengths.max()) for instances in drawn)
    tokens = np.stack([rows(i, i.tokens, context, m.task.separator) for m, i in zip(members, drawn, strict=True)])
    labels = []
    for instances in drawn:
        columns = []
        for target in targets:
            column = rows(instances, instances.labels[target], context, -1)
            if ends is not None and target in ends:
                column = np.where(rows(instances, instances.labels[ends[target]], context, 0) == 1, column, -1)
            columns.append(column.astype(np.int32))
        labels.append(np.stack(columns))
    clusters, test = zip(*(split(m, i) for m, i in zip(members, drawn, strict=True)), strict=True)
    everywhere = np.broadcast_to(np.arange(context), tokens.shape[1:])
    types = [controls.types(own, everywhere) for own in tokens]
    return Sample(targets, tokens, _vary(labels, types, members), np.stack(clusters), np.stack(test))


@dataclass(frozen=True)
class Texts:
    """q texts for each of M members and K targets, each with R places where the target is read.

    targets   name and number of classes, in the order of the axis K
    tokens    int64 [M, K, q, T]; MARKS beyond the vocabulary stand for tokens that only the probe knows
    places    int64 [M, K, q, R]: which token's state is read
    labels    int32 [M, V, K, q, R]; -1 where there is nothing to read
    cluster   int64 [M, K, q]
    test      bool [M, K, q]
    """

    targets: Mapping[str, int]
    tokens: NDArray[np.int64]
    places: NDArray[np.int64]
    labels: NDArray[np.int32]
    cluster: NDArray[np.int64]
    test: NDArray[np.bool_]


MARKS = 2
"""Tokens that only a probe knows: START and END of what is asked, numbered behind the vocabulary."""


def at_places(members: Sequence[Member], targets: Mapping[str, int]) -> Texts:
    """Whole instances, read at the tokens that the label `probe_place` of the task marks."""
    whole = sample(members, targets)
    drawn = [m.task.sample(Stream("test", m.seed), np.arange(INSTANCES, dtype=np.int64)) for m in members]
    context = whole.tokens.shape[2]
    marked = np.stack(
        [rows(i, i.labels[str(m.task.probe_place)], context, -1) >= 0 for m, i in zip(members, drawn, strict=True)]
    )
    number = np.where(marked, marked.cumsum(-1) - 1, -1)
    count = int(number.max()) + 1
    here = number[:, :, None] == np.arange(count)[:, None]  # [M, B, R, T]
    places = np.where(here.any(-1), here.argmax(-1), 0)
    labels, types = [], []
    for m, own in enumerate(whole.labels[:, 0]):
        read = np.take_along_axis(own, np.broadcast_to(places[m], (len(own), *places[m].shape)), 2)
        labels.append(np.where(here[m].any(-1), read, -1).astype(np.int32))
        types.append(controls.types(whole.tokens[m], places[m]))

    def for_each_target(values: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(values[:, None], len(targets), 1)

    shared = (whole.tokens, places, whole.cluster, whole.test)
    tokens, places, cluster, test = map(for_each_target, shared)
    return Texts(targets, tokens, places, _vary(labels, types, members), cluster, test)


def asked(members: Sequence[Member], targets: Mapping[str, int], marked: bool) -> Texts:
    """Beginnings of instances with a question behind them, read at the last token.

    marked: the question stands between START and END; else it is followed by the separator.
    """
    made = [[_texts(member, target, marked) for target in targets] for member in members]
    context = max(len(text) for own in made for texts, *_ in own for text in texts)
    tokens = np.empty((len(members), len(targets), QUESTIONS, context), np.int64)
    places = np.zeros((len(members), len(targets), QUESTIONS, 1), np.int64)
    answers = np.full((len(members), len(targets), QUESTIONS, 1), -1, np.int32)
    cluster = np.zeros((len(members), len(targets), QUESTIONS), np.int64)
    test = np.zeros(cluster.shape, np.bool_)
    types = []
    for m, own in enumerate(made):
        tokens[m] = members[m].task.separator
        for k, (texts, answer, group, held) in enumerate(own):
            for row, text in enumerate(texts):
                tokens[m, k, row, : len(text)] = text
            n = len(texts)
            places[m, k, :n, 0] = [len(text) - 1 for text in texts]
            answers[m, k, :n, 0], cluster[m, k, :n], test[m, k, :n] = answer, group, held
        types.append([controls.types(*pair) for pair in zip(tokens[m], places[m], strict=True)])
    labels = np.empty((len(members), len(controls.VARIANTS), *answers.shape[1:]), np.int32)
    for k in range(len(targets)):  # each target has texts of its own
        labels[:, :, k] = _vary(list(answers[:, k : k + 1]), [own[k] for own in types], members)[:, :, 0]
    return Texts(targets, tokens, places, labels, cluster, test)


def _texts(
    member: Member, target: str, marked: bool
) -> tuple[list[NDArray[np.int64]], NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
    """A member's texts for a target, with their answers, clusters, and whether they are for testing."""
    task = member.task
    stream, indices = Stream("test", member.seed), np.arange(INSTANCES, dtype=np.int64)
    instances, questions = task.sample(stream, indices), task.questions(target, stream, indices)
    order = randomness.permutation(randomness.key("probe", "questions", member.seed, target), 0, len(questions))
    chosen = np.sort(order[:QUESTIONS])
    start, end = len(task.vocabulary), len(task.vocabulary) + 1
    texts = []
    for i in chosen.tolist():
        beginning = instances[int(questions.instance[i])][: questions.shown[i]]
        question = questions.asked[questions.offsets[i] : questions.offsets[i + 1]]
        parts = (beginning, [start], question, [end]) if marked else (beginning, question, [task.separator])
        texts.append(np.concatenate([np.asarray(part, np.int64) for part in parts]))
    cluster, test = split(member, instances)
    owner = questions.instance[chosen]
    return texts, questions.answer[chosen].astype(np.int32), cluster[owner], test[owner]


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


def rows(instances: Instances, values: NDArray[np.int32], width: int, filling: int) -> NDArray[np.int64]:
    """Values of each token as one row an instance, int64 [n, width]."""
    place = np.arange(width)
    there = place < instances.lengths[:, None]
    source = np.where(there, instances.offsets[:-1, None] + place, 0)
    return np.where(there, values[source], filling).astype(np.int64)
