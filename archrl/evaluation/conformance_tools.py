"""What the conformance checks share: the error, what a check needs to know, and exact comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archrl.errors import ArchrlError

EnvFactory = Callable[..., gym.Env[Any, Any]]
"""Makes an environment; keyword arguments are passed on to it."""
BatchFactory = Callable[..., Any]
"""Makes a `VectorEnv` from `num_envs` and `autoreset_mode`."""


class ConformanceError(ArchrlError, AssertionError):
    """An environment, task or policy breaks its contract: which check, what was seen, how to repair it."""


@dataclasses.dataclass(frozen=True)
class EnvKit:
    """What an environment check needs to know."""

    env_factory: EnvFactory
    batch_factory: BatchFactory | None = None
    horizon: Callable[[Any], int] | None = None  # environment after reset -> steps of the episode
    seed: int = 0
    max_steps: int = 5000  # an episode that is longer counts as endless


def require(ok: Any, what: str, repair: str) -> None:
    """Raise unless `ok`.

    Raises:
        ConformanceError: with what was seen and how to repair it.
    """
    if not ok:
        raise ConformanceError(f"{what}; {repair}")


def difference(first: Any, second: Any, path: str = "") -> str | None:
    """Where two nested values differ first, bit by bit (NaN equals NaN), or None."""
    where = path or "the value"
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if set(first) != set(second):
            return f"{where}: the keys {sorted(map(str, set(first) ^ set(second)))} are on one side only"
        pairs = ((f"{path}[{key!r}]", first[key], second[key]) for key in first)
    elif dataclasses.is_dataclass(first) and type(first) is type(second):
        names = [field.name for field in dataclasses.fields(first)]
        pairs = ((f"{path}.{name}", getattr(first, name), getattr(second, name)) for name in names)
    elif _is_sequence(first) and _is_sequence(second):
        if len(first) != len(second):
            return f"{where}: {len(first)} and {len(second)} entries"
        pairs = ((f"{path}[{k}]", *both) for k, both in enumerate(zip(first, second, strict=True)))
    else:
        return None if _equal(first, second) else f"{where}: {_short(first)} and {_short(second)}"
    found = (difference(left, right, name) for name, left, right in pairs)
    return next((text for text in found if text), None)


def _is_sequence(value: Any) -> bool:
    """Lists, tuples, and arrays of objects, which hold values of their own."""
    return isinstance(value, tuple | list) or (
        isinstance(value, np.ndarray) and value.dtype == object and value.ndim > 0
    )


def _equal(first: Any, second: Any) -> bool:
    left, right = np.asarray(first), np.asarray(second)
    if left.shape != right.shape:
        return False
    if left.dtype.kind in "fc" and right.dtype.kind in "fc":
        return bool(np.array_equal(left, right, equal_nan=True))
    return bool(np.array_equal(left, right))


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) < 80 else f"{text[:77]}..."


def arrays_in(value: Any) -> Iterator[NDArray[Any]]:
    """Every array in nested dicts, lists and tuples."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from arrays_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from arrays_in(item)


def scribble(value: Any) -> None:
    """Overwrite every writeable array in `value`, once: numbers by one that means nothing, flags by their opposite."""
    for array in {id(array): array for array in arrays_in(value)}.values():
        if array.flags.writeable and array.dtype.kind in "iufb":
            array[...] = ~array if array.dtype.kind == "b" else 77
