"""The dependency graph: which number is computed from which (Part 2.1; the released generator's 'light' draw).

For a problem of op operations, in this order:

0. s is op where op is exact; else the smaller of two U{1..max_op}, given that it is at least op. The shape of the
   structure is drawn for s (`physlm.igsm.structure`); n = max of two U{1..s}, m ~ U{n..s}.
1. Things and edges. Abstract parameters, each with all that it is made of, as deep ones as fit, until their operations
   fill n; then random instance parameters until there are m operations. All of these are to be necessary.
2. They are put in order from the last: the question is a random one that no other is made of. Each instance parameter
   is then made to depend, with a probability p₀ ~ U(0, 1) or when nothing else is left to go on from, on one that
   comes before it; the choice leans by exp(|N(0, 1)|) each to abstract parameters and to those not yet used. Where this
   gets stuck, again from 1.
3. Instance parameters get more operands until there are s operations or no more room; at most 4 operands each, a
   constant included. A constant takes part with probability ½, or as one of those to choose from, and always where
   there is nothing before. If this doesn't come to op operations, again from 0.
4. Every edge that is left becomes an unnecessary parameter: with probability ½ computed from such ones only, else from
   any; 1, 2, 3, 4 operands with probability ½, ¼, ⅛, ⅛, a constant among them with probability ½.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from physlm.igsm.structure import (
    DEPTH,
    EDGES,
    MAX_PARAMETERS,
    MAX_WIDTH,
    MORE_THAN,
    ONLY_CONSTANT,
    OPERATIONS,
    PARAMETERS,
    QUERY,
    STEPS,
    THINGS,
    TIMES,
    add_part,
    draw_shape,
    draw_structure,
    is_product,
    light,
    operations,
    pick,
    size,
)
from physlm.randomness import below, bits, uniform

MAX_OPERANDS = 4
HASH_BINS = 23
FEW_OPERATIONS = 2  # templates this small are so few that none is held out

_ORDERS = 1000  # attempts at an order before the shape is given up

_PRIME = np.uint64(0x100000001B3)
_OFFSET = np.uint64(0xCBF29CE484222325)
_MIX = np.uint64(0xFF51AFD7ED558CCD)


@njit(cache=True)
def draw_necessary(s, knobs, op, draft):  # type: ignore[no-untyped-def]
    """Steps 0 to 3: the solution's parameters, in order, and what they are computed from; False if it fails."""
    goal = op if knobs.op else light(s, op, knobs.max_op)
    first = max(below(s, goal), below(s, goal)) + 1
    total = first + below(s, goal - first + 1)
    shape = draw_shape(s, knobs, goal)
    for _ in range(_ORDERS):
        draw_structure(s, shape, draft)
        chosen, count = _choose(s, first, total, draft)
        if _order(s, chosen, draft):
            return count <= op and _add_operands(s, op - count, goal > op, draft)
    return False


@njit(cache=True)
def _choose(s, first, total, draft):  # type: ignore[no-untyped-def]
    """Step 1. Returns the set and its least operations."""
    budget = min(first, _most_operations(draft))
    rest = total - budget
    chosen = 0
    while budget:
        deepest, price = -1, 0
        for reach in range(1, draft.number[DEPTH]):
            pool = 0
            for p in range(draft.number[EDGES], draft.number[PARAMETERS]):
                if not (chosen >> p) & 1 and draft.target[p] - draft.owner[p] // MAX_WIDTH == reach:
                    pool |= 1 << p
            if pool:
                p = pick(s, pool)
                cost = _cost(draft.closure[p] & ~chosen, draft)
                if cost > budget:
                    break
                deepest, price = p, cost
        if deepest < 0:
            break
        chosen |= draft.closure[deepest]
        budget -= price
    count = _cost(chosen, draft)
    pool = ((1 << draft.number[EDGES]) - 1) & ~chosen
    for _ in range(min(budget + rest, size(pool))):
        p = pick(s, pool)
        pool &= ~(1 << p)
        chosen |= 1 << p
        count += 1
    return chosen, count


@njit(cache=True)
def _cost(parameters, draft):  # type: ignore[no-untyped-def]
    """Least operations of a set: one for each instance parameter, its sums and products for each abstract one."""
    cost = 0
    for p in range(draft.number[PARAMETERS]):
        if (parameters >> p) & 1:
            cost += operations(draft, p)
    return cost


@njit(cache=True)
def _most_operations(draft):  # type: ignore[no-untyped-def]
    """What all parameters cost together, empty abstract ones for nothing."""
    total = draft.number[EDGES]
    for p in range(draft.number[EDGES], draft.number[PARAMETERS]):
        if draft.parts[p]:
            total += operations(draft, p)
    return total


@njit(cache=True)
def _order(s, chosen, draft):  # type: ignore[no-untyped-def]
    """Step 2, backwards from the question; writes draft.solution."""
    quoting = uniform(s)
    bias = abs(np.sqrt(-2.0 * np.log(1.0 - uniform(s))) * np.cos(2.0 * np.pi * uniform(s)))  # Box and Muller
    users = np.zeros(MAX_PARAMETERS, np.int64)  # not yet placed parameters that are made of it
    for p in range(draft.number[PARAMETERS]):
        if (chosen >> p) & 1:
            for i in range(draft.parts[p]):
                users[draft.part[p, i]] += 1
    free = 0  # those that no unplaced one is made of
    for p in range(draft.number[PARAMETERS]):
        if (chosen >> p) & 1 and users[p] == 0:
            free |= 1 << p
    steps = size(chosen)
    draft.number[STEPS] = steps
    used = 0  # unplaced ones that a placed one is computed from
    pool = free
    for step in range(steps - 1, -1, -1):
        if not pool:
            return False
        p = pick(s, pool)
        draft.solution[step] = p
        chosen &= ~(1 << p)
        free &= ~(1 << p)
        used &= ~(1 << p)
        for i in range(draft.parts[p]):
            q = draft.part[p, i]
            users[q] -= 1
            if users[q] == 0:
                free |= 1 << q
        if p >= draft.number[EDGES]:
            used |= draft.needs[p]
        elif chosen:
            stuck = not (used & free)
            if stuck or uniform(s) < quoting:
                q = _lean(s, free if stuck else chosen, used, bias, draft)
                add_part(draft, p, q)
                used |= 1 << q
        pool = free & used
    draft.number[QUERY] = draft.solution[steps - 1]
    return True


@njit(cache=True)
def _lean(s, pool, used, bias, draft):  # type: ignore[no-untyped-def]
    """A member of the pool; abstract and not yet used ones weigh exp(bias) more each."""
    total = 0.0
    for p in range(draft.number[PARAMETERS]):
        if (pool >> p) & 1:
            total += np.exp(bias * ((p >= draft.number[EDGES]) + 1 - ((used >> p) & 1)))
    rest = uniform(s) * total
    last = 0
    for p in range(draft.number[PARAMETERS]):
        if (pool >> p) & 1:
            last = p
            rest -= np.exp(bias * ((p >= draft.number[EDGES]) + 1 - ((used >> p) & 1)))
            if rest < 0.0:
                return p
    return last


@njit(cache=True)
def _add_operands(s, missing, cut_short, draft):  # type: ignore[no-untyped-def]
    """Step 3: spread the missing operations, then fill in the operands.

    cut_short: more operations were meant, so these must be all that there is room for.
    """
    steps = draft.number[STEPS]
    extra = np.zeros(MAX_PARAMETERS, np.int64)
    room, most = 0, 0
    for step in range(2, steps):
        if draft.solution[step] < draft.number[EDGES]:
            room |= 1 << step
            most += _most_extra(step)
    if missing > most or (cut_short and missing < most):
        return False
    for _ in range(missing):
        step = pick(s, room)
        extra[step] += 1
        if extra[step] == _most_extra(step):
            room &= ~(1 << step)
    before = np.int64(0)
    for step in range(steps):
        p = draft.solution[step]
        if p < draft.number[EDGES]:
            operands = extra[step] + 2 if extra[step] else 1 + below(s, 2)
            operands = min(operands, step + 1)
            _fill_operands(s, p, operands, before, step, True, draft)
        before |= 1 << p
    return True


@njit(cache=True)
def _most_extra(step):  # type: ignore[no-untyped-def]
    """Operands that the parameter of a step can have besides two."""
    return min(step + 1, MAX_OPERANDS) - 2


@njit(cache=True)
def _fill_operands(s, p, operands, pool, available, one_of_them, draft):  # type: ignore[no-untyped-def]
    """Give p operands from the pool of `available` parameters and perhaps a constant; then shuffle and word them.

    one_of_them: the constant may also be drawn as if it were in the pool.
    """
    constant = True  # the pool and a constant are just enough
    if operands < available + 1:
        pool &= ~draft.needs[p]
        operands -= draft.parts[p]
        constant = operands > 0 and uniform(s) < 0.5
        if one_of_them and operands and not constant:
            constant = below(s, size(pool) + 1) < operands
        if constant:
            operands -= 1
        for _ in range(operands):
            q = pick(s, pool)
            pool &= ~(1 << q)
            add_part(draft, p, q)
    else:
        for q in range(draft.number[PARAMETERS]):
            if ((pool & ~draft.needs[p]) >> q) & 1:
                add_part(draft, p, q)
    parts = draft.parts[p]
    shuffle(s, draft.part[p], parts)
    if constant:
        draft.form[p] = MORE_THAN + below(s, 2) if parts else ONLY_CONSTANT
    draft.minus[p] = below(s, 2) if parts == 2 else 0


@njit(cache=True)
def shuffle(s, array, count):  # type: ignore[no-untyped-def]
    """Shuffle the first entries in place."""
    for i in range(count - 1, 0, -1):
        j = below(s, i + 1)
        array[i], array[j] = array[j], array[i]


@njit(cache=True)
def draw_unnecessary(s, draft):  # type: ignore[no-untyped-def]
    """Step 4; then every parameter is in draft.sequence, each after what it is computed from."""
    edges = draft.number[EDGES]
    known = count = independent = np.int64(0)
    for step in range(draft.number[STEPS]):
        draft.sequence[count] = draft.solution[step]
        known |= 1 << draft.solution[step]
        count += 1
    known, count = _follow(known, count, draft)
    left = ((1 << edges) - 1) & ~known
    while left:
        p = pick(s, left)
        left &= ~(1 << p)
        alone = below(s, 2) == 1
        pool = independent if alone else known
        available = size(pool)
        operands = 1
        while operands < min(available + 1, MAX_OPERANDS) and below(s, 2):
            operands += 1
        _fill_operands(s, p, operands, pool, available, False, draft)
        if alone:
            independent |= 1 << p
        draft.sequence[count] = p
        known |= 1 << p
        known, count = _follow(known, count + 1, draft)


@njit(cache=True)
def _follow(known, count, draft):  # type: ignore[no-untyped-def]
    """Append the abstract parameters that can now be computed; they are numbered from below, so once is enough."""
    for p in range(draft.number[EDGES], draft.number[PARAMETERS]):
        if not (known >> p) & 1 and not draft.needs[p] & ~known:
            draft.sequence[count] = p
            known |= 1 << p
            count += 1
    return known, count


@njit(cache=True)
def evaluate(s, modulus, draft):  # type: ignore[no-untyped-def]
    """Draw the constants; compute every value and what each needs in the end."""
    for i in range(draft.number[PARAMETERS]):
        p = draft.sequence[i]
        closure = 1 << p
        for j in range(draft.parts[p]):
            closure |= draft.closure[draft.part[p, j]]
        draft.closure[p] = closure
        value = 0
        if is_product(draft, p):
            for j in range(0, draft.parts[p], 2):
                value += draft.value[draft.part[p, j]] * draft.value[draft.part[p, j + 1]]
        elif draft.minus[p]:
            value = draft.value[draft.part[p, 0]] - draft.value[draft.part[p, 1]]
        else:
            for j in range(draft.parts[p]):
                value += draft.value[draft.part[p, j]]
        if draft.form[p] == TIMES:
            draft.constant[p] = 1 + below(s, modulus - 1)
            value *= draft.constant[p]
        elif draft.form[p]:
            draft.constant[p] = below(s, modulus)
            value += draft.constant[p]
        draft.value[p] = value % modulus


@njit(cache=True)
def reask(s, draft):  # type: ignore[no-untyped-def]
    """Ask for another parameter, uniform among all others; its solution is in a random topological order."""
    others = ((1 << draft.number[PARAMETERS]) - 1) & ~(1 << draft.number[QUERY])
    query = pick(s, others)
    draft.number[QUERY] = query
    draft.number[STEPS] = size(draft.closure[query])
    topological(s, draft.closure[query], draft, draft.solution)


@njit(cache=True)
def topological(s, parameters, draft, out):  # type: ignore[no-untyped-def]
    """A random topological order of a set that is closed under `needs`: each time uniform among those that can be."""
    done, count = 0, 0
    while done != parameters:
        pool = 0
        for p in range(draft.number[PARAMETERS]):
            if (parameters & ~done) >> p & 1 and not draft.needs[p] & ~done:
                pool |= 1 << p
        out[count] = pick(s, pool)
        done |= 1 << out[count]
        count += 1


@njit(cache=True)
def count_operations(draft):  # type: ignore[no-untyped-def]
    """Operations of the solution; also kept in the draft."""
    count = 0
    for step in range(draft.number[STEPS]):
        count += operations(draft, draft.solution[step])
    draft.number[OPERATIONS] = count
    return count


@njit(cache=True)
def template_bin(draft):  # type: ignore[no-untyped-def]
    """Bin of the solution's template in [0, 23).

    The template is the solution without names, numbers and choice of letters: for each sentence the kind of parameter,
    and how it is computed from which earlier ones (as the paper's sketch). FNV-1a over these, then a finalizer.
    """
    place = np.zeros(MAX_PARAMETERS, np.int64)
    h = _OFFSET
    for step in range(draft.number[STEPS]):
        p = draft.solution[step]
        place[p] = step
        h = _feed(h, p >= draft.number[EDGES])
        h = _feed(h, draft.form[p])
        h = _feed(h, draft.minus[p] + 2 * (draft.parts[p] > 0 and is_product(draft, p)))
        h = _feed(h, draft.parts[p])
        for i in range(draft.parts[p]):
            h = _feed(h, place[draft.part[p, i]])
    h = (h ^ (h >> np.uint64(33))) * _MIX
    h ^= h >> np.uint64(33)
    return np.int64(h % np.uint64(HASH_BINS))


@njit(cache=True)
def _feed(h, code):  # type: ignore[no-untyped-def]
    return (h ^ np.uint64(code)) * _PRIME


@njit(cache=True)
def order_sentences(s, level, draft):  # type: ignore[no-untyped-def]
    """The order of the problem's sentences.

    6: the solution's parameters as there, then the others as drawn. 5: uniform. 0 to 4: a random topological order,
    then each sentence moves down by up to `level` places, ties at random.
    """
    parameters, edges = draft.number[PARAMETERS], draft.number[EDGES]
    order = np.empty(MAX_PARAMETERS, np.int64)
    if level < 5:
        topological(s, (1 << parameters) - 1, draft, order)
    else:
        for i in range(parameters):
            order[i] = draft.sequence[i]
    rank = np.empty(MAX_PARAMETERS, np.int64)
    count = 0
    for i in range(parameters):
        if order[i] < edges:
            rank[count] = ((count + below(s, level + 1)) << 32) | np.int64(bits(s)) if level < 5 else count
            place = count
            while place and rank[place - 1] > rank[place]:  # insertion sort by rank
                rank[place - 1], rank[place] = rank[place], rank[place - 1]
                draft.sentence[place] = draft.sentence[place - 1]
                place -= 1
            draft.sentence[place] = order[i]
            count += 1
    if level == 5:
        shuffle(s, draft.sentence, edges)


@njit(cache=True)
def name_things(s, chains, names, levels, draft):  # type: ignore[no-untyped-def]
    """A random chain, a random run of its levels, and distinct random names for the things of each layer.

    Returns the chain and the first level.
    """
    chain = below(s, chains)
    level = below(s, levels - draft.number[DEPTH] + 1)
    for layer in range(draft.number[DEPTH]):
        for thing in range(MAX_WIDTH * layer, MAX_WIDTH * layer + draft.width[layer]):
            fresh = False
            while not fresh:
                draft.name[thing] = below(s, names)
                fresh = True
                for other in range(MAX_WIDTH * layer, thing):
                    fresh = fresh and draft.name[other] != draft.name[thing]
    return chain, level


assert THINGS == 16  # a set of things is a bit mask, too
