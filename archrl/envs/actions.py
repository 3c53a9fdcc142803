"""Checks actions against their space before a kernel sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.errors import ConfigError


def check_actions(space: spaces.Space[Any], actions: Any, out: NDArray[np.int64]) -> None:
    """Copy `actions` into `out` if they are integers inside `space`.

    Args:
        space: `Discrete` or `MultiDiscrete`, or their batch (`MultiDiscrete`, or `Box` of integers).
        actions: Integer or integer array of the space's shape.
        out: Array of the same shape.

    Raises:
        ConfigError: wrong type, shape or range; nothing is stepped.
    """
    if type(actions) in (int, np.int64) and type(space) is spaces.Discrete and 0 <= actions < space.n:
        out[...] = actions
        return
    given = np.asarray(actions)
    if given.dtype.kind not in "iu":
        raise ConfigError(f"action: got {given.dtype} {actions!r}; allowed: integers of {space}")
    if given.shape != out.shape:
        raise ConfigError(f"action: got shape {given.shape}; needed is {out.shape}, see the action space {space}")
    if _is_outside(space, given):
        raise ConfigError(f"action: got {actions!r}, outside {space}; nothing was stepped")
    out[...] = given


def _is_outside(space: spaces.Space[Any], given: NDArray[Any]) -> bool:
    if type(space) is spaces.MultiDiscrete and given.size == 1:
        return not 0 <= given.item() < space.nvec.item()
    if isinstance(space, spaces.Box):
        return bool((given < space.low).any() or (given > space.high).any())
    limit = space.n if isinstance(space, spaces.Discrete) else space.nvec  # type: ignore[attr-defined]
    return bool((given < 0).any() or (given >= limit).any())
