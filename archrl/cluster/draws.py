"""Random draws inside kernels that search, from one word of state that the caller seeds.

xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", ACM Transactions on
Mathematical Software 42, 2016.
"""

from __future__ import annotations

import numpy as np

from archrl.cluster.jit import inlined

_MULTIPLIER = np.uint64(2685821657736338717)


@inlined
def draw_word(word):  # type: ignore[no-untyped-def]
    """The next 64 random bits; `word` (1,) uint64, not 0."""
    x = word[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    word[0] = x
    return x * _MULTIPLIER


@inlined
def draw_below(word, n):  # type: ignore[no-untyped-def]
    """A random integer in 0..n-1, n below 2**31."""
    return np.int64(((draw_word(word) >> np.uint64(33)) * np.uint64(n)) >> np.uint64(31))


@inlined
def draw_unit(word):  # type: ignore[no-untyped-def]
    """A random number in (0, 1]."""
    return (np.float64(draw_word(word) >> np.uint64(11)) + 1.0) * (1.0 / 9007199254740992.0)
