"""The structure graph: which things there are and what contains what (Part 2.1; the released generator's 'light' draw).

Things lie in 2 to 4 layers of 2 to 4; an edge says that an upper thing contains a lower one. Two kinds of *parameter*
are numbers that can be asked for:

    instance parameter   one for each edge: how many Ferries each Saltmouth has; a sentence of the problem says it
    abstract parameter   one for each thing and each lower layer: how many Ships each Saltmouth has; nobody says it,
                         it is the sum, over the contained things, of their count times what each of them contains

A thing is the number 4·layer + place. Parameters are numbered from 0: the instance parameters by upper, then lower
thing; then the abstract ones, from the lowest containers up. 62 at most, so that a set is a bit mask in an int64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from physlm.randomness import below, uniform

MAX_DEPTH = MAX_WIDTH = 4
THINGS = MAX_DEPTH * MAX_WIDTH
MAX_PARAMETERS = 62
MAX_PARTS = 2 * MAX_WIDTH  # an abstract parameter has at most 4 products

# Whether a constant takes part in an instance parameter
NO_CONSTANT, ONLY_CONSTANT, MORE_THAN, TIMES = range(4)

# Scalars of a draft
DEPTH, CHAIN, LEVEL, EDGES, PARAMETERS, STEPS, OPERATIONS, QUERY, SENTENCES_END, QUESTION_END, PROMPT_END = range(11)


class Knobs(NamedTuple):
    """The configuration as numba reads it."""

    modulus: int
    max_op: int
    op: int  # 0: drawn anew for each problem
    min_op: int  # smallest that is drawn
    max_edges: int
    max_depth: int
    max_width: int
    perm_level: int
    question_first: bool
    reask: bool
    retry_rate: float
    retry_kind: int
    mask_retry: bool
    first_bin: int  # bins of the template hash, first and one past the last
    end_bin: int
    max_tokens: int
    letters: int


# One problem under construction, used again for the next one. A record, since numba compiles one pointer much faster
# than a tuple of twenty arrays.
DRAFT = np.dtype(
    [
        ("number", np.int64, 11),  # scalars: DEPTH, CHAIN, ...
        ("width", np.int64, MAX_DEPTH),  # things of each layer
        ("name", np.int64, THINGS),  # which name a thing has in its category
        ("holds", np.int64, THINGS),  # set of the things that a thing contains
        ("edge", np.int64, (THINGS, THINGS)),  # instance parameter of (upper, lower thing)
        ("abstract", np.int64, (THINGS, MAX_DEPTH)),  # abstract parameter of (thing, layer)
        # of each parameter:
        ("owner", np.int64, MAX_PARAMETERS),  # the upper thing
        ("target", np.int64, MAX_PARAMETERS),  # the lower thing, or the layer
        ("part", np.int64, (MAX_PARAMETERS, MAX_PARTS)),  # parameters that it is computed from, as they are written;
        #                                                 products one after the other: count, content, count, ...
        ("parts", np.int64, MAX_PARAMETERS),  # how many
        ("needs", np.int64, MAX_PARAMETERS),  # the same as a set
        ("closure", np.int64, MAX_PARAMETERS),  # set of all that is needed in the end, itself included
        ("form", np.int64, MAX_PARAMETERS),  # NO_CONSTANT, ONLY_CONSTANT, MORE_THAN or TIMES
        ("constant", np.int64, MAX_PARAMETERS),
        ("minus", np.int64, MAX_PARAMETERS),  # 1: the difference of the two parts, not their sum
        ("value", np.int64, MAX_PARAMETERS),
        # orders of parameters:
        ("sequence", np.int64, MAX_PARAMETERS),  # all, each after what it is computed from
        ("solution", np.int64, MAX_PARAMETERS),  # the necessary ones as solved (STEPS of them)
        ("sentence", np.int64, MAX_PARAMETERS),  # the instance parameters as stated
        ("ends", np.int64, MAX_PARAMETERS),  # position of the last token of each solution sentence
    ]
)


def blank() -> np.void:
    """An empty draft."""
    draft: np.void = np.zeros(1, DRAFT)[0]
    return draft


@njit(cache=True, inline="always")
def fill(row, begin, end, value):  # type: ignore[no-untyped-def]
    """row[begin:end] = value; numba would compile seconds of error messages for the slice."""
    for i in range(begin, end):
        row[i] = value


@njit(cache=True)
def size(mask):  # type: ignore[no-untyped-def]
    """Members of a set."""
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@njit(cache=True)
def lowest(mask):  # type: ignore[no-untyped-def]
    """The smallest member of a set that isn't empty."""
    member = 0
    while not (mask >> member) & 1:
        member += 1
    return member


@njit(cache=True)
def pick(s, mask):  # type: ignore[no-untyped-def]
    """A uniform member of a set that isn't empty."""
    for _ in range(below(s, size(mask))):
        mask &= mask - 1
    return lowest(mask)


@njit(cache=True)
def light(s, low, high):  # type: ignore[no-untyped-def]
    """The smaller of two uniform integers of [low, high]: the released generator's 'light' draw."""
    return low + min(below(s, high - low + 1), below(s, high - low + 1))


@njit(cache=True)
def _size_by(s, ratio, largest):  # type: ignore[no-untyped-def]
    """2, 3 or 4 (up to the largest), softmax of -(ratio - c)² with c = 0.2, 0.5, 0.8."""
    total = 0.0
    for i in range(largest - 1):
        total += np.exp(-((ratio - 0.2 - 0.3 * i) ** 2))
    rest = uniform(s) * total
    for i in range(largest - 1):
        rest -= np.exp(-((ratio - 0.2 - 0.3 * i) ** 2))
        if rest < 0.0:
            return 2 + i
    return largest


@njit(cache=True)
def draw_shape(s, knobs, op):  # type: ignore[no-untyped-def]
    """For about `op` operations: layers, least and most things in one, inclination to have more, and edges."""
    ratio = (op - 1) / (knobs.max_edges - 1)
    depth = _size_by(s, ratio, knobs.max_depth)
    one = _size_by(s, ratio, knobs.max_width)
    other = _size_by(s, ratio, knobs.max_width)
    narrow, wide = min(one, other), max(one, other)
    growth = uniform(s)
    edges = light(s, (depth - 1) * narrow, knobs.max_edges)
    return depth, narrow, wide, growth, min(edges, (depth - 1) * wide * wide)


@njit(cache=True)
def draw_structure(s, shape, draft):  # type: ignore[no-untyped-def]
    """Draw things and edges of a shape, and number the parameters."""
    depth, narrow, wide, growth, edges = shape
    _draw_widths(s, draft, depth, narrow, wide, growth, edges)
    _draw_edges(s, draft, depth, edges)
    _number_parameters(draft, depth)


@njit(cache=True)
def _draw_widths(s, draft, depth, narrow, wide, growth, edges):  # type: ignore[no-untyped-def]
    """Start narrow; add things to random layers while the edges need the room, then with probability `growth`."""
    width = draft.width
    fill(width, 0, MAX_DEPTH, 0)
    fill(width, 0, depth, narrow)
    while True:
        most, least, full = 0, 0, 0
        for layer in range(depth):
            if width[layer] == wide:
                full += 1
            if layer:
                most += width[layer - 1] * width[layer]
                least += width[layer]
        if full == depth or (most >= edges and (least == edges or uniform(s) >= growth)):
            return
        place = below(s, depth - full)
        for layer in range(depth):
            if width[layer] < wide:
                if place == 0:
                    width[layer] += 1
                    break
                place -= 1


@njit(cache=True)
def _draw_edges(s, draft, depth, edges):  # type: ignore[no-untyped-def]
    """A random container for each thing below the first layer; the other edges uniform among those left."""
    fill(draft.holds, 0, THINGS, 0)
    for layer in range(1, depth):
        for place in range(draft.width[layer]):
            upper = MAX_WIDTH * (layer - 1) + below(s, draft.width[layer - 1])
            draft.holds[upper] |= 1 << (MAX_WIDTH * layer + place)
            edges -= 1
    free = 0
    for layer in range(1, depth):
        free += draft.width[layer - 1] * draft.width[layer] - draft.width[layer]
    for layer in range(1, depth):  # selection sampling (Knuth 3.4.2 S): each of the free pairs in turn
        for above in range(draft.width[layer - 1]):
            upper = MAX_WIDTH * (layer - 1) + above
            for place in range(draft.width[layer]):
                lower = MAX_WIDTH * layer + place
                if not (draft.holds[upper] >> lower) & 1:
                    if below(s, free) < edges:
                        draft.holds[upper] |= 1 << lower
                        edges -= 1
                    free -= 1


@njit(cache=True)
def _number_parameters(draft, depth):  # type: ignore[no-untyped-def]
    for thing in range(THINGS):
        fill(draft.edge[thing], 0, THINGS, -1)
        fill(draft.abstract[thing], 0, MAX_DEPTH, -1)
    fill(draft.parts, 0, MAX_PARAMETERS, 0)
    fill(draft.needs, 0, MAX_PARAMETERS, 0)
    p = 0
    for upper in range(THINGS):
        for lower in range(THINGS):
            if (draft.holds[upper] >> lower) & 1:
                draft.edge[upper, lower] = p
                draft.owner[p] = upper
                draft.target[p] = lower
                draft.form[p] = NO_CONSTANT
                draft.minus[p] = 0
                draft.closure[p] = 1 << p
                p += 1
    draft.number[DEPTH] = depth
    draft.number[EDGES] = p
    for layer in range(depth - 2, -1, -1):  # from below, so that the contents of a content are known
        for place in range(draft.width[layer]):
            thing = MAX_WIDTH * layer + place
            for lower_layer in range(layer + 1, depth):
                _define_abstract(draft, p, thing, layer, lower_layer)
                p += 1
    draft.number[PARAMETERS] = p


@njit(cache=True)
def _define_abstract(draft, p, thing, layer, lower_layer):  # type: ignore[no-untyped-def]
    draft.abstract[thing, lower_layer] = p
    draft.owner[p] = thing
    draft.target[p] = lower_layer
    draft.form[p] = NO_CONSTANT
    draft.minus[p] = 0
    draft.closure[p] = 1 << p
    for lower in range(MAX_WIDTH * (layer + 1), MAX_WIDTH * (layer + 2)):
        if (draft.holds[thing] >> lower) & 1:
            add_part(draft, p, draft.edge[thing, lower])
            if lower_layer > layer + 1:
                add_part(draft, p, draft.abstract[lower, lower_layer])


@njit(cache=True)
def add_part(draft, p, q):  # type: ignore[no-untyped-def]
    """Parameter p is computed from q, too."""
    draft.part[p, draft.parts[p]] = q
    draft.parts[p] += 1
    draft.needs[p] |= 1 << q
    draft.closure[p] |= draft.closure[q]


@njit(cache=True)
def is_product(draft, p):  # type: ignore[no-untyped-def]
    """The parameter is a sum of products: an abstract one that reaches over a layer."""
    return p >= draft.number[EDGES] and draft.target[p] > draft.owner[p] // MAX_WIDTH + 1


@njit(cache=True)
def operations(draft, p):  # type: ignore[no-untyped-def]
    """Steps of the parameter's solution sentence: its binary operations, but at least one."""
    operands = draft.parts[p]
    if draft.form[p] >= MORE_THAN:
        operands += 1
    return max(1, operands - 1)
