"""The truth for V-probes, against an independent reading of problems and solutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physlm.igsm import lexicon
from physlm.tasks import Stream
from physlm.tasks.igsm import Igsm, IgsmConfig

TINY = Igsm.presets["tiny"]
VARIANTS: dict[str, dict[str, Any]] = {
    "tiny": {**TINY},
    "med_qp": {"order": "qp"},
    "hard_reask": {**Igsm.presets["hard"], "reask": True},
    "retries": {**TINY, "retry_rate": 0.4, "max_tokens": 1000},
}
COUNT = 80


@pytest.mark.slow
@pytest.mark.parametrize("knobs", VARIANTS.values(), ids=VARIANTS)
def test_labels_are_what_a_reader_finds(knobs: dict[str, Any], read: Any, read_steps: Any) -> None:
    task = Igsm(IgsmConfig(**knobs))
    modulus = task.config.modulus
    stream, indices = Stream("train", 1), np.arange(100, 100 + COUNT)
    instances = task.sample(stream, indices)
    labels = task.probe_labels(stream, indices)
    seen = np.zeros(6, int)
    for i in range(COUNT):
        text = task.text(instances[i])
        problem = read(text, modulus)
        parameters = []
        for name in labels.name[i][labels.name[i, :, 0] >= 0]:
            owner, _, target = task.text(name[name >= 0]).partition("'s ")
            parameters.append((owner, target))
        n = len(parameters)
        assert len(set(parameters)) == n
        assert problem.necessary | problem.stated.keys() <= set(parameters)
        for q in parameters:
            assert problem.needs(q) <= set(parameters)

        ends = labels.problem_end[i], labels.question_end[i]
        assert [int(instances[i][end]) for end in ends] == [lexicon.STOP, lexicon.QUESTION]
        assert (ends[0] < ends[1]) == (task.config.order == "pq")
        assert max(ends) == len(task.prompt(instances, i)) - 2

        dep = np.array([[q != p and q in problem.closure(p) for q in parameters] for p in parameters])
        np.testing.assert_array_equal(labels.dep[i, :n, :n], dep)
        nece = np.array([p in problem.necessary for p in parameters])
        np.testing.assert_array_equal(labels.nece[i, :n], nece)

        steps = len(problem.necessary)
        for t in range(steps + 1):
            end = labels.step_end[i, t]
            assert instances[i][end] == (lexicon.STOP if t else lexicon.SOLUTION)
            said = [s.parameter for s in read_steps(task.text(instances[i][: end + 1])) if s.letter != "BACK"]
            assert len(said) == t
            known = np.array([p in said for p in parameters])
            can = np.array([p not in said and problem.needs(p) <= set(said) for p in parameters])
            np.testing.assert_array_equal(labels.known[i, t, :n], known)
            values = [problem.value(p) if p in said else modulus for p in parameters]
            np.testing.assert_array_equal(labels.value[i, t, :n], values)
            np.testing.assert_array_equal(labels.can_next[i, t, :n], can)
            np.testing.assert_array_equal(labels.nece_next[i, t, :n], can & nece)
            assert t == steps or (can & nece).any()
            seen += [known.any(), can.any(), (can & ~nece).any(), (~can & ~known).any(), known.all(), dep.any()]
        assert nece[known].all()

        for rest in (labels.nece[i, n:], labels.dep[i, n:], labels.dep[i, :, n:], labels.known[i, :, n:]):
            assert (rest == -1).all()
        for rest in (labels.step_end[i, steps + 1 :], labels.value[i, steps + 1 :], labels.can_next[i, :, n:]):
            assert (rest == -1).all()
    assert seen[:4].min() > 0


def test_labels_do_not_depend_on_the_batch() -> None:
    task = Igsm(IgsmConfig(**TINY))
    whole = task.probe_labels(Stream(), np.arange(10, 20))
    for i in range(10):
        alone = task.probe_labels(Stream(), np.array([10 + i]))
        for name, rows in vars(whole).items():
            np.testing.assert_array_equal(rows[i], getattr(alone, name)[0], err_msg=name)
    assert len(task.probe_labels(Stream(), np.array([], np.int64)).nece) == 0


def test_labels_of_tokens_agree_with_those_of_probes(read: Any) -> None:
    """`nece` at the end of a problem sentence and `value` before a number is computed."""
    task = Igsm(IgsmConfig(**TINY, retry_rate=0.3))
    indices = np.arange(COUNT)
    instances = task.sample(Stream(), indices)
    parts = set()
    for i in range(COUNT):
        problem = read(task.text(instances[i]), 7)
        rows = slice(instances.offsets[i], instances.offsets[i + 1])
        part, nece, value = (instances.labels[name][rows] for name in ("part", "nece", "value"))
        parts |= set(part.tolist())
        stated = np.flatnonzero((part == 1) & (instances[i] == lexicon.STOP))
        assert stated.tolist() == np.flatnonzero(nece >= 0).tolist()
        assert nece[stated].tolist() == [int(p in problem.necessary) for p in problem.order]
        named = np.flatnonzero((part == 3) & (instances[i] == lexicon.AS))
        assert named.tolist() == np.flatnonzero(value >= 0).tolist()
        assert len(named) == len(problem.necessary)
        assert value[named[-1]] == problem.value(problem.query)
    assert parts == set(range(6))


def test_distances_lead_step_by_step_from_the_question_to_what_is_necessary() -> None:
    labels = Igsm(IgsmConfig(**TINY)).probe_labels(Stream("test", 5), np.arange(200))
    for away, nece, dep in zip(labels.distance, labels.nece, labels.dep, strict=True):
        np.testing.assert_array_equal(away >= 0, nece == 1)
        assert (away == 0).sum() == 1
        assert set(away[away >= 0].tolist()) == set(range(away.max() + 1))
        for steps in range(1, int(away.max()) + 1):
            # What lies so far is used by something one step closer.
            assert dep[np.ix_(away == steps - 1, away == steps)].any(0).all()
