"""Non-negative numbers far beyond float64's range: (m, e) stands for m · 2^(256 e), with m = 0 or 2⁻¹²⁸ ≤ m < 2¹²⁸.

A sentence's probability underflows float64 and the number of its parses overflows it. These numbers do neither, have
float64's precision (so integers are exact up to 2⁵³), and cost a few instructions where logarithms cost an exp.
"""

from __future__ import annotations

from math import log

from numba import njit

_UP = 2.0**256
_DOWN = 2.0**-256
_TOO_SMALL = 2.0**-128
_TOO_LARGE = 2.0**128
LOG_UNIT = 256 * log(2.0)


@njit(cache=True)
def _scaled(m, e):  # type: ignore[no-untyped-def]
    if m >= _TOO_LARGE:
        return m * _DOWN, e + 1
    if 0.0 < m < _TOO_SMALL:
        return m * _UP, e - 1
    return m, e


@njit(cache=True)
def product(m1, e1, m2, e2):  # type: ignore[no-untyped-def]
    """(m1, e1) · (m2, e2)."""
    return _scaled(m1 * m2, e1 + e2)


@njit(cache=True)
def total(m1, e1, m2, e2):  # type: ignore[no-untyped-def]
    """(m1, e1) + (m2, e2)."""
    if m1 == 0.0:
        return m2, e2
    if m2 == 0.0:
        return m1, e1
    if e1 == e2:
        return _scaled(m1 + m2, e1)
    if e1 < e2:
        m1, e1, m2, e2 = m2, e2, m1, e1
    return _scaled(m1 + m2 * _DOWN, e1) if e1 == e2 + 1 else (m1, e1)


@njit(cache=True)
def ratio(m1, e1, m2, e2):  # type: ignore[no-untyped-def]
    """(m1, e1) / (m2, e2) as a float64, 0 where it underflows; m2 > 0."""
    return m1 / m2 * _UP ** float(e1 - e2) if m1 > 0.0 else 0.0
