"""The truth that V-probes ask for (Part 2.1): what is necessary, what depends on what, what is known when.

V-probing shows a model an instance up to a certain token, then the name of one parameter A (or two, A and B), and
trains a small readout to answer a question about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physlm.igsm.lexicon import Words
from physlm.igsm.rendering import blank_page, draw, put_parameter
from physlm.igsm.structure import PARAMETERS, PROMPT_END, QUERY, QUESTION_END, SENTENCES_END, STEPS, Knobs, blank
from physlm.randomness import start


@dataclass(frozen=True)
class ProbeLabels:
    """Ground truth of n instances for V-probes; P parameters, T = sentences of the solution + 1, padded with -1.

    name            int32 [n, P, 2·name_length + 1]: tokens of the parameter's name, "X's Y"
    problem_end     int64 [n]: position of the last token of the problem's sentences; `dep` is asked there
    question_end    int64 [n]: position of the last token of the question; `nece` is asked there
                    (where the question comes first, ask both at the later of the two)
    step_end        int64 [n, T]: position of the last token before the solution, then of each of its sentences
                    (retries don't count as sentences); the labels below are asked there
    nece            int8 [n, P]: A is needed for the answer
    distance        int8 [n, P]: computations on the shortest way from A to what is asked, where A is needed; else -1
    dep             int8 [n, P, P]: A (first) is computed from B (second), directly or not
    known           int8 [n, T, P]: A has been computed
    value           int16 [n, T, P]: A's value if known, else the modulus
    can_next        int8 [n, T, P]: A is not known, but all that it is computed from is
    nece_next       int8 [n, T, P]: can_next and nece
    """

    name: NDArray[np.int32]
    problem_end: NDArray[np.int64]
    question_end: NDArray[np.int64]
    step_end: NDArray[np.int64]
    nece: NDArray[np.int8]
    distance: NDArray[np.int8]
    dep: NDArray[np.int8]
    known: NDArray[np.int8]
    value: NDArray[np.int16]
    can_next: NDArray[np.int8]
    nece_next: NDArray[np.int8]


def probe_labels(
    key: np.uint64, indices: NDArray[np.int64], knobs: Knobs, words: Words, max_parameters: int, name_length: int
) -> ProbeLabels:
    """The labels of the instances at these positions; see `ProbeLabels` for the shapes.

    Stops at an instance that can't be drawn, whose `problem_end` remains -1.
    """
    n, steps = len(indices), knobs.letters + 1
    labels = ProbeLabels(
        name=np.full((n, max_parameters, 2 * name_length + 1), -1, np.int32),
        problem_end=np.full(n, -1, np.int64),
        question_end=np.full(n, -1, np.int64),
        step_end=np.full((n, steps), -1, np.int64),
        nece=np.full((n, max_parameters), -1, np.int8),
        distance=np.full((n, max_parameters), -1, np.int8),
        dep=np.full((n, max_parameters, max_parameters), -1, np.int8),
        known=np.full((n, steps, max_parameters), -1, np.int8),
        value=np.full((n, steps, max_parameters), -1, np.int16),
        can_next=np.full((n, steps, max_parameters), -1, np.int8),
        nece_next=np.full((n, steps, max_parameters), -1, np.int8),
    )
    _fill(key, indices, knobs, words, blank(), tuple(vars(labels).values()))
    return labels


@njit(cache=True)
def _fill(key, indices, knobs, words, draft, out):  # type: ignore[no-untyped-def]
    name, problem_end, question_end, step_end, nece, distance, dep, known, value, can_next, nece_next = out
    page = blank_page(knobs)
    written = np.empty((1, name.shape[2]), np.int32)
    for i in range(indices.shape[0]):
        if not draw(start(key, indices[i]), knobs, words, draft, page):
            return
        parameters = draft.number[PARAMETERS]
        needed = draft.closure[draft.number[QUERY]]
        problem_end[i] = draft.number[SENTENCES_END]
        question_end[i] = draft.number[QUESTION_END]
        for p in range(parameters):
            end = put_parameter(words, draft, written, 0, p)
            for j in range(end):
                name[i, p, j] = written[0, j]
            nece[i, p] = (needed >> p) & 1
            for q in range(parameters):
                dep[i, p, q] = p != q and (draft.closure[p] >> q) & 1
        reached = ahead = 1 << draft.number[QUERY]
        steps = 0
        while ahead:
            further = 0
            for p in range(parameters):
                if (ahead >> p) & 1:
                    distance[i, p] = steps
                    further |= draft.needs[p]
            ahead = further & ~reached
            reached |= ahead
            steps += 1
        done = 0
        for t in range(draft.number[STEPS] + 1):
            step_end[i, t] = draft.ends[t - 1] if t else draft.number[PROMPT_END] - 1
            if t:
                done |= 1 << draft.solution[t - 1]
            for p in range(parameters):
                computed = (done >> p) & 1
                possible = not computed and not draft.needs[p] & ~done
                known[i, t, p] = computed
                value[i, t, p] = draft.value[p] if computed else knobs.modulus
                can_next[i, t, p] = possible
                nece_next[i, t, p] = possible and (needed >> p) & 1
