"""Fixed rollouts, hashed: that nothing moved, not that it is right.

A hash here says that 200 steps look as they did when it was committed. It cannot tell whether they were right then; the
comparison with the reference model in tests/cluster can. It is there for the change that was meant to change nothing.
It also moves with the streams of NumPy's generator, which a new version of NumPy may alter.

After a change that is meant to move results: run this test, read the new hashes off its messages, put them into the
table `GOLDEN`, and say in CHANGELOG.md what moved.

Floating-point numbers are hashed with 20 bits of their significand, about six decimal digits. Observations are float32
made from float64 arithmetic: what another SIMD width or libm does to the last bits of a float64 is more than a million
times smaller than a step of 20 bits, so that it crosses a rounding boundary less than once in a million numbers. The
policy takes the lowest action that is allowed, so that no near tie decides. Integers below 2^20 are hashed exactly.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from archrl.envs.placement_config import PRESETS
from archrl.envs.placement_make import make_single

STEPS = 200
SIGNIFICAND_BITS = 20
GOLDEN = {
    "toy": "f1b91c76f2803f89bf441e896b929ce1ff3c9b074cb59b576481d9a67509dae2",
    "tiny": "10458a8fe599e5bffdafe3b8581baa47ce9bbab6bdb360ea2cd5420043a79e21",
    "small": "0fd575af2cc7b31fdd15f63029aae255dc19b5303baf56f47958df8ccedd1736",
    "medium": "3abba2a58d8f1db2b5d38b200413c44016a356a90987ccd844a959e4da24eeb4",
}


def rounded(value: Any) -> bytes:
    """The bytes of an array, floats as significand of `SIGNIFICAND_BITS` bits and exponent; -0 is 0."""
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return array.astype(np.int64).tobytes()
    assert np.isfinite(array).all()
    significand, exponent = np.frexp(array.astype(np.float64))
    whole = np.rint(significand * 2**SIGNIFICAND_BITS).astype(np.int64)
    carried = np.abs(whole) == 2**SIGNIFICAND_BITS
    whole[carried] //= 2
    return whole.tobytes() + (exponent + carried).astype(np.int64).tobytes()


def rollout_hash(preset: str, seed: int = 0) -> str:
    """SHA-256 of what the policy that takes the lowest allowed action sees, over episodes one after another."""
    env = make_single(preset, split="test")
    observation, info = env.reset(seed=seed)
    digest = hashlib.sha256()
    for _ in range(STEPS):
        mask = info["action_mask"]
        assert mask.any()
        for key in sorted(observation):
            digest.update(f"{key} {observation[key].dtype} {observation[key].shape}".encode())
            digest.update(rounded(observation[key]))
        digest.update(rounded(mask))
        observation, reward, terminated, truncated, info = env.step(int(mask.argmax()))
        digest.update(rounded(np.array([reward])) + bytes([terminated, truncated]))
        if terminated or truncated:
            observation, info = env.reset()
    return digest.hexdigest()


def test_every_preset_that_needs_no_data_has_a_hash():
    assert set(GOLDEN) == {name for name, config in PRESETS.items() if config.source != "openb"}


@pytest.mark.parametrize("preset", GOLDEN)
def test_nothing_moved(preset):
    found = rollout_hash(preset)
    assert found == GOLDEN[preset], f"the rollout of {preset!r} moved; if it was meant to, its hash is now {found}"


def test_the_hash_tells_seeds_apart():
    assert rollout_hash("tiny", seed=1) != rollout_hash("tiny", seed=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_keeps_six_digits_and_forgets_the_last_bits(dtype):
    """Numbers in the middle between two boundaries, over the whole range of the observations and both signs."""
    exponents = np.arange(-20, 24)
    middle = np.concatenate([sign * np.ldexp((2**19 + 12345) / 2**20, exponents) for sign in (-1, 1)]).astype(dtype)
    assert rounded(middle) == rounded(np.nextafter(middle, dtype(np.inf)))
    assert rounded(middle) == rounded(np.nextafter(middle, dtype(-np.inf)))
    moved = rounded((middle * (1 + 4e-6)).astype(dtype))
    same = np.frombuffer(rounded(middle), np.int64) == np.frombuffer(moved, np.int64)
    assert not same[: len(middle)].any()


def test_rounding_has_one_zero_and_one_form_of_a_power_of_two():
    assert rounded(np.array([-0.0])) == rounded(np.array([0.0]))
    assert rounded(np.array([1.0])) == rounded(np.array([np.nextafter(1.0, 0.0)])) != rounded(np.array([2.0]))
    assert rounded(np.array([3, 5])) != rounded(np.array([5, 3]))
