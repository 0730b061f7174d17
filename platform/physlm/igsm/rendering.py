"""A problem and its solution as tokens.

    <s> The number of each Ketch's Silk equals 3. The number of each Gullhaven's Ketch equals 2 more than each Ketch's
    Silk. How many Ketch does each Gullhaven have? <solution> Define Ketch's Silk as c; so c = 3. Define Gullhaven's
    Ketch as F; so F = 2 + c = 2 + 3 = 5. <answer> 5

Every `;` opens one operation; results on the way get a letter of their own (R = ...). Retry data (Part 2.2) put
"Define [wrong] as BACK." before a sentence with probability q, and again with q, each time another wrong one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from physlm.igsm import lexicon as word
from physlm.igsm.bank import LEVELS
from physlm.igsm.dependency import (
    FEW_OPERATIONS,
    count_operations,
    draw_necessary,
    draw_unnecessary,
    evaluate,
    name_things,
    order_sentences,
    reask,
    shuffle,
    template_bin,
)
from physlm.igsm.lexicon import LETTERS
from physlm.igsm.structure import (
    CHAIN,
    EDGES,
    LEVEL,
    MAX_PARAMETERS,
    MAX_WIDTH,
    MORE_THAN,
    NO_CONSTANT,
    ONLY_CONSTANT,
    PARAMETERS,
    PROMPT_END,
    QUERY,
    QUESTION_END,
    SENTENCES_END,
    STEPS,
    TIMES,
    fill,
    is_product,
    light,
    pick,
)
from physlm.randomness import start, uniform

# Rows of a page
TOKEN, LOSS, PART, NECE, VALUE = range(5)
ROWS = 5
# Classes of the label `part`
MARK, PROBLEM, QUESTION, SOLUTION, RETRY, ANSWER = range(6)
# Where the wrong parameter of a retry comes from
CANNOT_NEXT, LATER_STEP, ANY_PARAMETER = range(3)

LONGEST_SENTENCE = 128  # more than any sentence has
MAX_ATTEMPTS = 5_000


@njit(cache=True)
def draw(s, knobs, words, draft, page):  # type: ignore[no-untyped-def]
    """Draw one instance: op first, then everything else again and again until it fits.

    Fits means: exactly op operations are possible, the template lies in the split's bins, and the instance is no longer
    than max_tokens. Fills the draft and the page; returns the number of tokens, 0 after MAX_ATTEMPTS.
    """
    op = knobs.op if knobs.op else light(s, knobs.min_op, knobs.max_op)
    for _ in range(MAX_ATTEMPTS):
        if not draw_necessary(s, knobs, op, draft) or not (knobs.reask or _in_split(knobs, draft)):
            continue
        draw_unnecessary(s, draft)
        evaluate(s, knobs.modulus, draft)
        if knobs.reask:
            reask(s, draft)
            if not _in_split(knobs, draft):
                continue
        order_sentences(s, knobs.perm_level, draft)
        chains, _, names, _ = words.name.shape
        draft.number[CHAIN], draft.number[LEVEL] = name_things(s, chains, names, LEVELS, draft)
        length = _write(s, knobs, words, draft, page)
        if length:
            return length
    return 0


@njit(cache=True)
def _in_split(knobs, draft):  # type: ignore[no-untyped-def]
    """The solution's template belongs to the split, and there are letters enough for it."""
    operations = count_operations(draft)
    if operations <= FEW_OPERATIONS:
        return knobs.first_bin == 0
    return operations <= knobs.letters and knobs.first_bin <= template_bin(draft) < knobs.end_bin


@njit(cache=True)
def _write(s, knobs, words, draft, page):  # type: ignore[no-untyped-def]
    fill(page[LOSS], 0, page.shape[1], 1)
    for row in range(PART, VALUE + 1):
        fill(page[row], 0, page.shape[1], -1)
    nece = draft.closure[draft.number[QUERY]]
    at = _put(page, np.int64(0), word.SEPARATOR)
    page[PART, 0] = MARK
    if knobs.question_first:
        at = _write_question(words, draft, page, at)
    begin = at
    for i in range(draft.number[EDGES]):
        p = draft.sentence[i]
        at = _write_sentence(words, draft, page, at, p)
        page[NECE, at - 1] = (nece >> p) & 1
        if at > knobs.max_tokens:
            return 0
    fill(page[PART], begin, at, PROBLEM)
    draft.number[SENTENCES_END] = at - 1
    if not knobs.question_first:
        at = _write_question(words, draft, page, at)
    at = _put(page, at, word.SOLUTION)
    page[PART, at - 1] = MARK
    draft.number[PROMPT_END] = at
    return _write_solution(s, knobs, words, draft, page, at)


@njit(cache=True)
def _put(page, at, token):  # type: ignore[no-untyped-def]
    page[TOKEN, at] = token
    return at + 1


@njit(cache=True)
def _put_name(words, draft, page, at, thing):  # type: ignore[no-untyped-def]
    level = draft.number[LEVEL] + thing // MAX_WIDTH
    tokens = words.name[draft.number[CHAIN], level, draft.name[thing]]
    at = _put(page, at, tokens[0])
    if tokens[1] >= 0:
        at = _put(page, at, tokens[1])
    return at


@njit(cache=True)
def _put_target(words, draft, page, at, p):  # type: ignore[no-untyped-def]
    if p < draft.number[EDGES]:
        return _put_name(words, draft, page, at, draft.target[p])
    return _put(page, at, words.category[draft.number[CHAIN], draft.number[LEVEL] + draft.target[p]])


@njit(cache=True)
def put_parameter(words, draft, page, at, p):  # type: ignore[no-untyped-def]
    """Write a parameter's name, "X's Y"; returns where to go on."""
    at = _put_name(words, draft, page, at, draft.owner[p])
    at = _put(page, at, word.OF)
    return _put_target(words, draft, page, at, p)


@njit(cache=True)
def _write_sentence(words, draft, page, at, p):  # type: ignore[no-untyped-def]
    """ "The number of each X's Y equals 5 more than the sum of each A's B, each C's D and each E's F." """
    at = _put(page, at, word.NUMBER_OF)
    at = _put(page, at, word.EACH)
    at = put_parameter(words, draft, page, at, p)
    at = _put(page, at, word.EQUALS)
    form, parts = draft.form[p], draft.parts[p]
    if form != NO_CONSTANT:
        at = _put(page, at, words.number + draft.constant[p])
    if form >= MORE_THAN:
        at = _put(page, at, word.MORE_THAN if form == MORE_THAN else word.TIMES)
    if parts > 1:
        at = _put(page, at, word.DIFFERENCE_OF if draft.minus[p] else word.SUM_OF)
    for i in range(parts):
        if i:
            at = _put(page, at, word.AND if i == parts - 1 else word.COMMA)
        at = _put(page, at, word.EACH)
        at = put_parameter(words, draft, page, at, draft.part[p, i])
    return _put(page, at, word.STOP)


@njit(cache=True)
def _write_question(words, draft, page, at):  # type: ignore[no-untyped-def]
    """ "How many Y does each X have?" """
    query, begin = draft.number[QUERY], at
    at = _put(page, at, word.HOW_MANY)
    at = _put_target(words, draft, page, at, query)
    at = _put(page, at, word.DOES)
    at = _put(page, at, word.EACH)
    at = _put_name(words, draft, page, at, draft.owner[query])
    at = _put(page, at, word.HAVE)
    at = _put(page, at, word.QUESTION)
    fill(page[PART], begin, at, QUESTION)
    draft.number[QUESTION_END] = at - 1
    return at


@njit(cache=True)
def _write_solution(s, knobs, words, draft, page, at):  # type: ignore[no-untyped-def]
    letters = np.arange(len(LETTERS))
    shuffle(s, letters, knobs.letters)
    letter_of = np.empty(MAX_PARAMETERS, np.int64)
    used = known = np.int64(0)  # a literal 0 would have what is called with it compiled twice
    for step in range(draft.number[STEPS]):
        begin = at
        wrongs = _wrongs(knobs.retry_kind, step, known, draft) if knobs.retry_rate > 0.0 else 0
        while wrongs and uniform(s) < knobs.retry_rate:
            wrong = pick(s, wrongs)
            wrongs &= ~(1 << wrong)
            at = _write_retry(knobs, words, draft, page, at, wrong)
            if at > knobs.max_tokens:
                return 0
        fill(page[PART], begin, at, RETRY)
        p, begin = draft.solution[step], at
        at, used = _write_step(knobs, words, draft, page, at, p, letters, letter_of, used)
        if at > knobs.max_tokens:
            return 0
        fill(page[PART], begin, at, SOLUTION)
        draft.ends[step] = at - 1
        known |= 1 << p
    fill(page[PART], at, at + 2, ANSWER)
    at = _put(page, at, word.ANSWER)
    at = _put(page, at, words.number + draft.value[draft.number[QUERY]])
    return at if at <= knobs.max_tokens else 0


@njit(cache=True)
def _wrongs(kind, step, known, draft):  # type: ignore[no-untyped-def]
    """The wrong parameters for retries before a step.

    CANNOT_NEXT    those not known yet that can't be computed next, either
    LATER_STEP     those of the later sentences of this solution
    ANY_PARAMETER  all but the right one
    """
    pool = 0
    if kind == LATER_STEP:
        for later in range(step + 1, draft.number[STEPS]):
            pool |= 1 << draft.solution[later]
    elif kind == ANY_PARAMETER:
        pool = ((1 << draft.number[PARAMETERS]) - 1) & ~(1 << draft.solution[step])
    else:
        for p in range(draft.number[PARAMETERS]):
            if not (known >> p) & 1 and draft.needs[p] & ~known:
                pool |= 1 << p
    return pool


@njit(cache=True)
def _write_retry(knobs, words, draft, page, at, wrong):  # type: ignore[no-untyped-def]
    """ "Define X's Y as BACK." The mask hides the wrong name only: that a retry begins and ends is learnt."""
    at = _put(page, at, word.DEFINE)
    begin = at
    at = put_parameter(words, draft, page, at, wrong)
    if knobs.mask_retry:
        fill(page[LOSS], begin, at, 0)
    at = _put(page, at, word.AS)
    at = _put(page, at, word.BACK)
    return _put(page, at, word.STOP)


@njit(cache=True)
def _write_step(knobs, words, draft, page, at, p, letters, letter_of, used):  # type: ignore[no-untyped-def]
    """ "Define X's Y as g; R = W + B = 13 + 7 = 20; so g = 12 + R = 12 + 20 = 9."

    An operand is a (token, value) pair: a letter and what it stands for, or a number. Operations are done from the
    left; all but the last get a fresh letter. Returns where to go on and the letters used.
    """
    own = word.LETTER + letters[used]
    used += 1
    letter_of[p] = own
    at = _put(page, at, word.DEFINE)
    at = put_parameter(words, draft, page, at, p)
    at = _put(page, at, word.AS)
    page[VALUE, at - 1] = draft.value[p]
    at = _put(page, at, own)

    modulus, parts, product = knobs.modulus, draft.parts[p], is_product(draft, p)
    left, left_value = -1, 0
    terms = parts // 2 if product else parts
    for i in range(terms):
        outer = i == terms - 1 and draft.form[p] < MORE_THAN  # the last operation of the sentence, if it is one
        if product:
            count, content = draft.part[p, 2 * i], draft.part[p, 2 * i + 1]
            term_value = draft.value[count] * draft.value[content] % modulus
            term = own if outer and i == 0 else word.LETTER + letters[used]
            used += term != own
            at = _write_operation(
                words, page, at, term == own, term, letter_of[count], draft.value[count], word.STAR,
                letter_of[content], draft.value[content], term_value
            )  # fmt: skip
        else:
            term, term_value = letter_of[draft.part[p, i]], draft.value[draft.part[p, i]]
        if i == 0:
            left, left_value = term, term_value
        else:
            sign = word.MINUS if draft.minus[p] else word.PLUS
            result_value = (left_value - term_value if draft.minus[p] else left_value + term_value) % modulus
            result = own if outer else word.LETTER + letters[used]
            used += not outer
            at = _write_operation(
                words, page, at, outer, result, left, left_value, sign, term, term_value, result_value
            )
            left, left_value = result, result_value
    if draft.form[p] >= MORE_THAN:
        sign = word.STAR if draft.form[p] == TIMES else word.PLUS
        constant = draft.constant[p]
        at = _write_operation(
            words, page, at, True, own, words.number + constant, constant, sign, left, left_value, draft.value[p]
        )
    elif left != own:  # no operation at all: "so g = 5", "so g = W = 5"
        at = _put_so(page, at, own)
        if draft.form[p] != ONLY_CONSTANT and parts:
            at = _put(page, at, left)
            at = _put(page, at, word.EQUAL)
        at = _put(page, at, words.number + draft.value[p])
    return _put(page, at, word.STOP), used


@njit(cache=True)
def _put_so(page, at, own):  # type: ignore[no-untyped-def]
    at = _put(page, at, word.SEMICOLON)
    at = _put(page, at, word.SO)
    at = _put(page, at, own)
    return _put(page, at, word.EQUAL)


@njit(cache=True)
def _write_operation(words, page, at, last, result, left, left_value, sign, right, right_value, value):  # type: ignore[no-untyped-def]
    """ "; R = W + B = 13 + 7 = 20", or with "so" if it is the last of the sentence."""
    if last:
        at = _put_so(page, at, result)
    else:
        at = _put(page, at, word.SEMICOLON)
        at = _put(page, at, result)
        at = _put(page, at, word.EQUAL)
    at = _put(page, at, left)
    at = _put(page, at, sign)
    at = _put(page, at, right)
    at = _put(page, at, word.EQUAL)
    at = _put(page, at, words.number + left_value)
    at = _put(page, at, sign)
    at = _put(page, at, words.number + right_value)
    at = _put(page, at, word.EQUAL)
    return _put(page, at, words.number + value)


@njit(cache=True)
def blank_page(knobs):  # type: ignore[no-untyped-def]
    """Room for one instance: int32 [5, ...] with the rows TOKEN, LOSS, PART, NECE, VALUE."""
    return np.empty((ROWS, knobs.max_tokens + LONGEST_SENTENCE), np.int32)


@njit(cache=True)
def _copy(source, length, target, begin):  # type: ignore[no-untyped-def]
    for row in range(ROWS):
        for i in range(length):
            target[row, begin + i] = source[row, i]
    return target


@njit(cache=True)
def write_batch(key, indices, knobs, words, draft):  # type: ignore[no-untyped-def]
    """The instances at these positions one after the other; `draft` is scratch.

    Returns rows int32 [5, total], offsets int64 [n + 1], and each prompt's length, int64 [n]. Stops at an instance that
    can't be drawn, with 0 as the last offset.
    """
    count = indices.shape[0]
    offsets = np.zeros(count + 1, np.int64)
    prompts = np.zeros(count, np.int64)
    rows = np.empty((ROWS, max(1, count) * 256), np.int32)
    page = blank_page(knobs)
    total = 0
    for i in range(count):
        length = draw(start(key, indices[i]), knobs, words, draft, page)
        if not length:
            break
        if total + length > rows.shape[1]:
            rows = _copy(rows, total, np.empty((ROWS, 2 * rows.shape[1] + length), np.int32), 0)
        _copy(page, length, rows, total)
        total += length
        offsets[i + 1] = total
        prompts[i] = draft.number[PROMPT_END]
    return rows[:, :total], offsets, prompts
