"""Counter-based random numbers: a draw depends on what it is for, never on when or where it is made.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). A *key* names the purpose
(`key("biod", "order", seed)`), an *index* names the instance, and a running block number the draw within the
instance. So instance 10⁹ costs the same as instance 0, in any order, on any number of workers.

Vectorised:   words(key, indices, 3)          -> uint32 [n, 3]
              places(key, epochs, n, indices) -> where shuffles of range(n) put these indices, whatever n is
In numba:     s = start(key, index)           -> state of one instance's sequence
              bits(s), below(s, n), uniform(s) -> successive draws
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numba import njit
from numpy.typing import NDArray

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def key(*parts: str | int) -> int:
    """64-bit key of a purpose, from the SHA-256 of its parts."""
    digest = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:8], "little")


@njit(cache=True)
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """One Philox4x32-10 block: four 32-bit words (as uint64) from a 128-bit counter and a 64-bit key."""
    for _ in range(10):
        p0 = _MULTIPLIER_0 * c0
        p1 = _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@njit(cache=True)
def _fill(out, key64, indices):  # type: ignore[no-untyped-def]
    k0 = key64 & _LOW
    k1 = key64 >> _SHIFT
    count = out.shape[1]
    for i in range(indices.shape[0]):
        index = np.uint64(indices[i])
        for block in range((count + 3) // 4):
            w = philox(index & _LOW, index >> _SHIFT, np.uint64(block), np.uint64(0), k0, k1)
            for j in range(min(4, count - 4 * block)):
                out[i, 4 * block + j] = np.uint32(w[j])


def words(key64: int, indices: NDArray[np.int64], count: int) -> NDArray[np.uint32]:
    """`count` random 32-bit words for each index.

    indices: int64 [n], non-negative. Returns uint32 [n, count].
    """
    out = np.empty((len(indices), count), np.uint32)
    _fill(out, np.uint64(key64), np.ascontiguousarray(indices, np.int64))
    return out


def permutation(key64: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Uniform permutation of range(n), one for each (key, epoch). Returns int64 [n]."""
    keys = words(key64, epoch * n + np.arange(n, dtype=np.int64), 2).astype(np.uint64)
    return np.argsort((keys[:, 0] << _SHIFT) | keys[:, 1], kind="stable")


@njit(cache=True)
def _mixed(x):  # type: ignore[no-untyped-def]
    """SplitMix64's finaliser (Steele et al. 2014): every bit of the result depends on every bit of x."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True)
def place(key64, epoch, n, i):  # type: ignore[no-untyped-def]
    """Where a shuffle of range(n), one for each (key, epoch), puts i: constant time, no memory, n below 2⁶².

    A Feistel network on pairs of digits with cycle walking (Black and Rogaway 2002, "Ciphers with arbitrary finite
    domains"), made of SplitMix64. Returns int64.
    """
    left = np.uint64(np.ceil(np.sqrt(np.float64(n))))
    right = np.uint64((np.uint64(n) + left - np.uint64(1)) // left)
    rounds = 16 if n < 1 << 12 else 8  # fewer leave some shuffles of five or six things likelier than others
    seed = _mixed(np.uint64(key64) ^ _mixed(np.uint64(epoch) + np.uint64(0x9E3779B97F4A7C15)))
    x = np.uint64(i)
    while True:
        low, high = x % left, x // left
        for round_ in range(rounds):
            seed_ = seed + np.uint64(round_) * np.uint64(0x9E3779B97F4A7C15)
            if round_ % 2 == 0:
                low = (low + ((_mixed(seed_ ^ (high << np.uint64(6))) >> _SHIFT) * left >> _SHIFT)) % left
            else:
                high = (high + ((_mixed(seed_ ^ (low << np.uint64(6))) >> _SHIFT) * right >> _SHIFT)) % right
        x = low + left * high
        if x < np.uint64(n):
            return np.int64(x)


@njit(cache=True)
def _places(key64, epochs, n, indices, out):  # type: ignore[no-untyped-def]
    for j in range(len(indices)):
        out[j] = place(key64, epochs[j], n, indices[j])


def places(key64: int, epochs: NDArray[np.int64], n: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """`place` of many: int64 [m] epochs and indices below n. Returns int64 [m]."""
    out = np.empty(len(indices), np.int64)
    _places(np.uint64(key64), epochs, n, indices, out)
    return out


def scaled(words: NDArray[np.uint32], n: int) -> NDArray[np.int64]:
    """Numbers below n from random words of the same shape; bias below n/2³²."""
    return (words.astype(np.uint64) * np.uint64(n) >> _SHIFT).astype(np.int64)


@njit(cache=True)
def start(key64, index):  # type: ignore[no-untyped-def]
    """State of one instance's sequence of draws: uint64 [9] = key, index, next block, words left, buffer."""
    s = np.zeros(9, np.uint64)
    s[0] = np.uint64(key64) & _LOW
    s[1] = np.uint64(key64) >> _SHIFT
    s[2] = np.uint64(index)
    return s


@njit(cache=True)
def bits(s):  # type: ignore[no-untyped-def]
    """The next 32 random bits, as uint64."""
    if s[4] == 0:
        w = philox(s[2] & _LOW, s[2] >> _SHIFT, s[3], np.uint64(0), s[0], s[1])
        s[5], s[6], s[7], s[8] = w
        s[3] += np.uint64(1)
        s[4] = np.uint64(4)
    s[4] -= np.uint64(1)
    return s[8 - np.int64(s[4])]


@njit(cache=True)
def below(s, n):  # type: ignore[no-untyped-def]
    """Uniform integer in [0, n), unbiased (Lemire 2019), n < 2³². Returns int64."""
    range_ = np.uint64(n)
    product = bits(s) * range_
    low = product & _LOW
    if low < range_:
        threshold = (np.uint64(1) << _SHIFT) % range_
        while low < threshold:
            product = bits(s) * range_
            low = product & _LOW
    return np.int64(product >> _SHIFT)


@njit(cache=True)
def uniform(s):  # type: ignore[no-untyped-def]
    """Uniform float64 in [0, 1) with 53 random bits."""
    high = bits(s) >> np.uint64(5)
    low = bits(s) >> np.uint64(6)
    return (np.float64(high) * 67108864.0 + np.float64(low)) / 9007199254740992.0


def distinct_strings(key: int, count: int, length: int, symbols: int) -> NDArray[np.int32]:
    """`count` distinct strings, uniform without replacement. Returns int32 [count, length], symbols from 0."""
    total = symbols**length
    if 2 * count > total:  # so few exist that all can be listed and shuffled
        codes = permutation(key, 0, total)[:count]
        powers = symbols ** np.arange(length - 1, -1, -1)
        return ((codes[:, None] // powers) % symbols).astype(np.int32)
    strings = np.empty((0, length), np.int32)
    drawn = 0
    while len(strings) < count:  # reject repetitions, keeping the first of each in order of drawing
        indices = np.arange(drawn, drawn + max(1024, 2 * (count - len(strings))), dtype=np.int64)
        drawn += len(indices)
        draws = scaled(words(key, indices, length), symbols)
        strings = np.concatenate([strings, draws.astype(np.int32)])
        _, first = np.unique(strings, axis=0, return_index=True)
        strings = strings[np.sort(first)]
    return strings[:count]
