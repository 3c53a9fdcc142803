"""Action spaces of tasks: their components and buffers, and the check of actions before a kernel sees them.

The spaces are `Discrete`, `MultiDiscrete` and `Box` of floats. Values count from 0, and a mask is flat, the components
one after another: the layout that MaskablePPO of sb3-contrib uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.errors import ConfigError


def is_continuous(space: spaces.Space[Any]) -> bool:
    """Whether actions are floats: a `Box` of floats, or a batch of it."""
    return isinstance(space, spaces.Box) and np.dtype(space.dtype).kind == "f"


def action_buffer(space: spaces.Space[Any], rows: int) -> NDArray[Any]:
    """Zeros for the actions of `rows` rows, (B,) or (B, components): int64, or float64 for a `Box`."""
    return np.zeros((rows, *(space.shape or ())), np.float64 if is_continuous(space) else np.int64)


def component_sizes(space: spaces.Space[Any]) -> NDArray[np.int64]:
    """Number of values of every discrete component; none for a `Box`.

    Raises:
        ConfigError: a space of another kind, or one whose values do not count from 0.
    """
    if is_continuous(space):
        return np.zeros(0, np.int64)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and not np.any(space.start):
        return np.asarray(space.n if isinstance(space, spaces.Discrete) else space.nvec, np.int64).reshape(-1)
    raise ConfigError(f"action_space: got {space}; allowed: Discrete or MultiDiscrete from 0 on, or a Box of floats")


def masked_sizes(space: spaces.Space[Any], width: int) -> NDArray[np.int64]:
    """Sizes of the components that a mask of `width` columns covers: the leading ones, none where `width` is 0.

    Raises:
        ConfigError: no number of leading components has `width` values in all.
    """
    sizes = component_sizes(space)
    ends = np.append(0, sizes.cumsum())
    count = int(ends.searchsorted(width))
    if count == len(ends) or ends[count] != width:
        near = ", ".join(str(end) for end in ends[max(0, count - 2) : count + 2])
        raise ConfigError(
            f"action_mask: got {width} columns for {space}; allowed: the sizes of the leading components added up, "
            f"of which the nearest are {near}"
        )
    return sizes[:count]


def first_allowed(space: spaces.Space[Any], mask: NDArray[Any]) -> NDArray[np.int64]:
    """First allowed value of every discrete component, (B, components); 0 for those that `mask` (B, A) leaves out."""
    chosen = np.zeros((len(mask), len(component_sizes(space))), np.int64)
    sizes = masked_sizes(space, mask.shape[1])
    if len(sizes):
        starts = sizes.cumsum() - sizes
        columns = np.where(mask != 0, np.arange(mask.shape[1]), mask.shape[1])
        values = np.minimum.reduceat(columns, starts, axis=1) - starts
        chosen[:, : len(sizes)] = np.where(values < sizes, values, 0)
    return chosen


def in_bounds(space: spaces.Box, given: NDArray[Any]) -> NDArray[np.bool_]:
    """Which components are finite and within the bounds of a `Box`."""
    inside: NDArray[np.bool_] = np.isfinite(given) & (given >= space.low) & (given <= space.high)
    return inside


def check_actions(space: spaces.Space[Any], actions: Any, out: NDArray[Any]) -> None:
    """Copy `actions` into `out` if they are inside `space`: integers, for a `Box` of floats any finite numbers.

    Args:
        space: `Discrete`, `MultiDiscrete` or `Box` of floats, or their batch (a `Box` of integers for `MultiDiscrete`).
        actions: Number or array of the space's shape.
        out: The `action_buffer`, or a view into it, of the same shape.

    Raises:
        ConfigError: wrong type, shape or range; nothing is stepped.
    """
    if type(actions) in (int, np.int64) and type(space) is spaces.Discrete and 0 <= actions < space.n:
        out[...] = actions
        return
    given = _as_array(space, actions)
    if given.shape != out.shape:
        raise ConfigError(f"action: got shape {given.shape}; needed is {out.shape}, see the action space {space}")
    if isinstance(space, spaces.Box) and is_continuous(space):
        _check_bounds(space, given)
    elif _is_outside(space, given):
        raise ConfigError(f"action: got {actions!r}, outside {space}; nothing was stepped")
    out[...] = given


def _as_array(space: spaces.Space[Any], actions: Any) -> NDArray[Any]:
    kinds, allowed = ("iuf", "finite numbers") if is_continuous(space) else ("iu", "integers")
    try:
        given = np.asarray(actions)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"action: got {actions!r}; allowed: {allowed} of {space}; {error}") from error
    if given.dtype.kind not in kinds:
        raise ConfigError(f"action: got {given.dtype} {actions!r}; allowed: {allowed} of {space}")
    return given


def _check_bounds(space: spaces.Box, given: NDArray[Any]) -> None:
    inside = in_bounds(space, given)
    if inside.all():
        return
    place = tuple(int(k) for k in np.argwhere(~inside)[0])
    low, high = float(space.low[place]), float(space.high[place])
    where = f" at {list(place)}" if place else ""
    raise ConfigError(
        f"action: got {float(given[place])!r}{where}, outside {space}; allowed there: finite numbers from {low!r} to "
        f"{high!r}; nothing was stepped"
    )


def _is_outside(space: spaces.Space[Any], given: NDArray[Any]) -> bool:
    if type(space) is spaces.MultiDiscrete and given.size == 1:
        return not 0 <= given.item() < space.nvec.item()
    if isinstance(space, spaces.Box):
        return bool((given < space.low).any() or (given > space.high).any())
    limit = space.n if isinstance(space, spaces.Discrete) else space.nvec  # type: ignore[attr-defined]
    return bool((given < 0).any() or (given >= limit).any())
