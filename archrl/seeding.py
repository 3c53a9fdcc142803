"""Named, splittable random streams: training, validation, test and bootstrap draws never overlap.

Gymnasium and Stable-Baselines3 seed the rows of a batch with `seed, seed + 1, ...`, so that row 1 of seed 0 is row 0
of seed 1. Here the split and every further key are part of the `spawn_key` of a `numpy.random.SeedSequence`: two
streams are equal if and only if seed, split and keys are all equal (up to a collision of a 256-bit hash).

Keys are hashed with SHA-256 and not with `hash()`, which Python salts per process.

References:
    NumPy manual, "Parallel random number generation", section "SeedSequence spawning".
"""

from __future__ import annotations

import hashlib
import operator
from typing import Literal, SupportsIndex, get_args

import numpy as np

from archrl.errors import ConfigError

Split = Literal["train", "validation", "test", "bootstrap"]
"""What a stream is for. The evaluator's resampling has a split of its own."""

SPLITS: tuple[str, ...] = get_args(Split)
SEED_LIMIT = 2**128
"""Seeds are below this: the entropy pool of a `SeedSequence` has 128 bits; a longer seed would reach into the keys."""


def check_seed(seed: SupportsIndex) -> int:
    """Return `seed` as an int.

    Raises:
        ConfigError: `seed` is no integer (a bool is none), negative, or 2**128 or more.
    """
    value = _as_int(seed)
    if value is None or not 0 <= value < SEED_LIMIT:
        raise ConfigError(
            f"seed: got {seed!r} ({type(seed).__name__}); allowed: an integer from 0 to 2**128 - 1, such as 0"
        )
    return value


def seed_sequence_for(seed: SupportsIndex, split: Split, *keys: SupportsIndex | str) -> np.random.SeedSequence:
    """Return the seed sequence of one named stream; `.spawn(n)` splits it further.

    Args:
        seed: The experiment's seed, 0 <= seed < 2**128.
        split: One of `SPLITS`.
        *keys: Integers and strings that name the stream within the split, such as `"arrivals", episode`.

    Raises:
        ConfigError: Seed, split or a key is not allowed.
    """
    if split not in SPLITS:
        raise ConfigError(f"split: got {split!r}; allowed: {', '.join(SPLITS)}")
    digest = hashlib.sha256(b"".join(_encode(key, position) for position, key in enumerate(keys))).digest()
    words = np.frombuffer(digest, dtype="<u4")
    return np.random.SeedSequence(check_seed(seed), spawn_key=(SPLITS.index(split), *map(int, words)))


def rng_for(seed: SupportsIndex, split: Split, *keys: SupportsIndex | str) -> np.random.Generator:
    """Return a fresh generator (PCG64) at the start of one named stream.

    Args:
        seed: The experiment's seed, 0 <= seed < 2**128.
        split: One of `SPLITS`.
        *keys: Integers and strings that name the stream within the split, such as `"arrivals", episode`.

    Raises:
        ConfigError: Seed, split or a key is not allowed.
    """
    return np.random.Generator(np.random.PCG64(seed_sequence_for(seed, split, *keys)))


def _encode(key: SupportsIndex | str, position: int) -> bytes:
    """Encode one key with type and length, so that no two key tuples have the same concatenation."""
    if isinstance(key, str):
        kind, text = b"s", key
    elif (value := _as_int(key)) is not None:
        kind, text = b"i", str(value)
    else:
        raise ConfigError(f"keys[{position}]: got {key!r} ({type(key).__name__}); allowed: an integer or a string")
    payload = text.encode("utf-8")
    return kind + len(payload).to_bytes(8, "little") + payload


def _as_int(value: SupportsIndex | str) -> int | None:
    if isinstance(value, bool | np.bool_ | str):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
