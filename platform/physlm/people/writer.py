"""Texts as sequences of forms: words with slots, which each instance fills with its own pieces of tokens.

A form is compiled to codes: a token, or -1 - slot. An instance is a row of forms, and of the pieces that its slots
hold; a compiled loop writes the tokens of all instances, and which slot each came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

AGAIN = 64  # added to the slot of tokens where what it holds is written once more


class Lexicon:
    """Words by id, in the order in which they are first asked for.

    subwords: a word's parts on either side of `|` are two tokens, the second marked as WordPiece does: `Al ##bert`.
    """

    def __init__(self, first: Iterable[str], subwords: bool) -> None:
        self._subwords = subwords
        self._ids: dict[str, int] = {}
        for word in first:
            self.id(word)

    def id(self, word: str) -> int:
        """The token of a word, a new one if need be."""
        return self._ids.setdefault(word, len(self._ids))

    def spell(self, entry: Iterable[str]) -> list[int]:
        """The tokens of an entry of a pool."""
        if not self._subwords:
            return [self.id(word.replace("|", "")) for word in entry]
        return [self.id(part) for word in entry for part in word.replace("|", " ##").split()]

    @property
    def words(self) -> list[str]:
        """All words by id."""
        return list(self._ids)


@dataclass(frozen=True)
class Written:
    """Instances as the loop leaves them.

    tokens   int32 [total]; instance i is tokens[offsets[i]:offsets[i + 1]]
    slots    int16 [total]: the slot that a token came from, plus AGAIN where it was written before; -1 for a form's own
    answers  int64 [n, 2]: where the answer that is asked for begins and ends
    """

    tokens: NDArray[np.int32]
    slots: NDArray[np.int16]
    offsets: NDArray[np.int64]
    answers: NDArray[np.int64]


@njit(cache=True)
def _write(  # type: ignore[no-untyped-def]
    sequence, held, asked, first_value, codes, code_offsets, pieces, piece_offsets, tokens, slots, offsets, answers
):
    at = 0
    for i in range(len(sequence)):
        seen = np.int64(0)
        answers[i, 0] = -1
        for j in range(sequence.shape[1]):
            form = sequence[i, j]
            if form < 0:
                continue
            if j == -1 - asked[i]:  # the answer is all from here to the end
                answers[i, 0] = at
            before = seen
            for k in range(code_offsets[form], code_offsets[form + 1]):
                code = codes[k]
                if code >= 0:
                    tokens[at] = code
                    slots[at] = -1
                    at += 1
                else:
                    slot = -1 - code
                    label = slot + (AGAIN if before >> slot & 1 else 0)
                    seen |= np.int64(1) << slot
                    if j == asked[i] and slot >= first_value and answers[i, 0] < 0:
                        answers[i, 0] = at  # the answer is the values of this form
                    piece = held[i, slot]
                    for p in range(piece_offsets[piece], piece_offsets[piece + 1]):
                        tokens[at] = pieces[p]
                        slots[at] = label
                        at += 1
                    if j == asked[i] and slot >= first_value:
                        answers[i, 1] = at
        offsets[i + 1] = at
        if asked[i] < 0:
            answers[i, 1] = at
    return at


class Script:
    """Forms and pieces by number, compiled for writing.

    slots    what forms can leave open, by name: `{major}` in a form is the slot named major
    """

    def __init__(self, lexicon: Lexicon, slots: Sequence[str]) -> None:
        self._lexicon = lexicon
        self._slots = {name: i for i, name in enumerate(slots)}
        self._forms: list[list[int]] = []
        self._pieces: list[list[int]] = []
        self._longest = [0] * len(slots)

    def form(self, text: str) -> int:
        """Number of a new form: words and slots parted by spaces."""
        found = [(word, re.fullmatch(r"\{(.+)\}", word)) for word in text.split()]
        self._forms.append([-1 - self._slots[slot[1]] if slot else self._lexicon.id(word) for word, slot in found])
        return len(self._forms) - 1

    def fill(self, entries: Sequence[Sequence[str]], *slots: str) -> int:
        """Number of the first of new pieces, one for each entry, that these slots can hold."""
        first = len(self._pieces)
        self._pieces += [self._lexicon.spell(entry) for entry in entries]
        self.allow(first, len(entries), *slots)
        return first

    def allow(self, first: int, count: int, *slots: str) -> None:
        """Let slots hold pieces that were made for others."""
        longest = max(len(piece) for piece in self._pieces[first : first + count])
        for slot in slots:
            number = self._slots[slot]
            self._longest[number] = max(self._longest[number], longest)

    def longest(self, form: int) -> int:
        """Most tokens that a form can come to."""
        return sum(1 if code >= 0 else self._longest[-1 - code] for code in self._forms[form])

    def mean_length(self, form: int, lengths: Mapping[str, float]) -> float:
        """Mean tokens of a form whose slots have these mean lengths."""
        names = list(self._slots)
        return sum(1.0 if code >= 0 else lengths[names[-1 - code]] for code in self._forms[form])

    def piece_lengths(self, first: int, count: int) -> NDArray[np.int64]:
        """Tokens of each of these pieces."""
        return np.diff(self._compiled[3][first : first + count + 1])

    def tokens_of(self, piece: int) -> list[int]:
        """A piece's tokens."""
        return self._pieces[piece]

    def own_tokens(self, form: int) -> set[int]:
        """The tokens that a form has of its own."""
        return {code for code in self._forms[form] if code >= 0}

    @cached_property
    def _compiled(self) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        return *_ragged(self._forms), *_ragged(self._pieces)

    def write(
        self,
        sequence: NDArray[np.int32],
        held: NDArray[np.int32],
        asked: NDArray[np.int32],
        first_value: int,
        longest: int,
    ) -> Written:
        """The instances of n rows.

        sequence     [n, any]: forms in order; -1 is none
        held         [n, slots]: the piece that each slot holds
        asked        [n]: the place in the sequence of the form whose values, slots from `first_value` on, are the
                     answer; or, of an answer that is everything from a form on, -1 - its place
        longest      bound on the tokens of an instance
        """
        n = len(sequence)
        room = n * longest  # memory that is never written to is never taken
        tokens, slots = np.empty(room, np.int32), np.empty(room, np.int16)
        offsets, answers = np.zeros(n + 1, np.int64), np.zeros((n, 2), np.int64)
        total = _write(sequence, held, asked, first_value, *self._compiled, tokens, slots, offsets, answers)
        return Written(tokens[:total], slots[:total], offsets, answers)


def _ragged(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    return np.array([code for row in rows for code in row], np.int32), offsets
