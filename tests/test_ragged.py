"""Rows of different lengths: against the same written as loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from physlm import ragged

ROWS = [[3, 1], [], [4, 1, 5], [9]]
VALUES = np.array([value for row in ROWS for value in row])
OFFSETS = ragged.offsets_of([len(row) for row in ROWS])


def test_offsets_say_where_rows_begin_and_end() -> None:
    assert [VALUES[a:b].tolist() for a, b in pairwise(OFFSETS)] == ROWS
    assert OFFSETS.dtype == np.int64


def test_each_value_knows_its_row_and_its_place_there() -> None:
    assert ragged.owners(OFFSETS).tolist() == [0, 0, 2, 2, 2, 3]
    assert ragged.places(OFFSETS).tolist() == [0, 1, 0, 1, 2, 0]


def test_rows_are_summed_and_an_empty_one_is_nothing() -> None:
    assert ragged.sums(VALUES, OFFSETS).tolist() == [4, 0, 10, 9]


def test_rows_are_filled_up_and_cut() -> None:
    assert ragged.padded(VALUES, OFFSETS, 2, -1).tolist() == [[3, 1], [-1, -1], [4, 1], [9, -1]]
    assert ragged.padded(np.zeros(0, np.int32), np.zeros(3, np.int64), 2, 7).tolist() == [[7, 7], [7, 7]]


def test_rows_may_begin_in_the_middle() -> None:
    assert ragged.padded(VALUES, OFFSETS[2:], 3, 0).tolist() == [[4, 1, 5], [9, 0, 0]]
