"""Actions for the conformance checks: allowed ones, masked-out ones, ones outside the space, and what a mask covers.

For `Discrete`, `MultiDiscrete` and `Box` of floats. A mask is (A,) bool, empty where an environment has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.envs.actions import component_sizes, in_bounds, is_continuous, masked_sizes
from archrl.errors import ConfigError
from archrl.evaluation.conformance_tools import ConformanceError

Mask = NDArray[np.bool_]
Space = spaces.Space[Any]

PROBED_ACTIONS = 64
"""Values tried in one state; fewer than twice as many at most."""
PROBED_COMPONENTS = 3
"""Leading components in which values outside the space are tried."""
BEYOND = 0.1
"""Random floats are drawn this share of the range beyond each bound and clipped, so that the bounds are tried, too."""


def mask_of(info: dict[str, Any], rows: tuple[int, ...] = ()) -> Mask:
    """The mask that `info` shows, (A,), or (B, A) for `rows` (B,); A is 0 where there is none."""
    shown = info.get("action_mask")
    return np.zeros((*rows, 0), np.bool_) if shown is None else np.asarray(shown).astype(np.bool_)


def mask_parts(space: Space, mask: NDArray[Any]) -> list[NDArray[Any]]:
    """The mask (A,) of every component that it covers.

    Raises:
        ConfigError: a space of another kind.
        ConformanceError: it covers no whole number of leading components.
    """
    component_sizes(space)
    try:
        ends = masked_sizes(space, len(mask)).cumsum()
    except ConfigError as error:
        raise ConformanceError(f"{error}; cover whole components") from error
    return np.split(mask, ends[:-1]) if len(ends) else []


def allowed_action(space: Space, mask: Mask, rng: np.random.Generator) -> Any:
    """A random action that the mask allows; 0 in the components after those that it covers."""
    if isinstance(space, spaces.Box) and is_continuous(space):
        return _random_floats(space, rng)
    parts = mask_parts(space, mask) or [np.ones(size, np.bool_) for size in component_sizes(space)]
    return _action(space, [int(rng.choice(np.flatnonzero(part))) for part in parts])


def any_action(space: Space, mask: Mask, rng: np.random.Generator) -> Any:
    """A random action, masked out or not."""
    return allowed_action(space, np.ones_like(mask), rng)


def lowest_action(space: Space, mask: Mask) -> Any:
    """The lowest allowed value of every component."""
    if isinstance(space, spaces.Box) and is_continuous(space):
        return _limits(space)[0].astype(space.dtype)
    return _action(space, [int(part.argmax()) for part in mask_parts(space, mask)])


def masked_out_action(space: Space, mask: Mask) -> Any | None:
    """The lowest allowed action with the first value that is masked out, or None where nothing is."""
    found = probes(space, mask, lowest_action(space, mask), wanted=False, number=0)
    return found[0] if found else None


def probes(space: Space, mask: Mask, base: Any, wanted: bool, number: int) -> list[Any]:
    """Actions like `base` but for one component, which has an allowed (`wanted`) or a masked-out value.

    Every such value in turn, or every n-th one where there are many, from another one on for every `number`.
    """
    sizes = np.array([len(part) for part in mask_parts(space, mask)], np.int64)
    columns = np.flatnonzero(mask == wanted)
    stride = max(1, len(columns) // PROBED_ACTIONS)
    columns = columns[number % stride :: stride]
    components = sizes.cumsum().searchsorted(columns, side="right")
    values = columns - (sizes.cumsum() - sizes)[components]
    flat = np.asarray(base).reshape(-1)
    return [_action(space, _changed(flat, k, value)) for k, value in zip(components, values, strict=True)]


def is_allowed(space: Space, mask: Mask, action: Any) -> bool:
    """Whether the mask allows the action; values outside of a component are not allowed."""
    parts, values = mask_parts(space, mask), np.asarray(action).reshape(-1)
    return all(0 <= value < len(part) and part[int(value)] for part, value in zip(parts, values, strict=False))


def outside_actions(space: Space) -> list[Any]:
    """Actions of a wrong shape or type, and actions outside the space."""
    good = np.asarray(lowest_action(space, np.zeros(0, np.bool_)))
    wrong: list[Any] = [None, good[None], np.append(good, np.zeros(7, good.dtype))]
    if isinstance(space, spaces.Box) and is_continuous(space):
        return wrong + _floats_outside(space)
    wrong += [good + 0.5, good.astype(np.float64) if good.ndim else float("nan")]
    for k, size in enumerate(component_sizes(space)[:PROBED_COMPONENTS]):
        wrong += [_action(space, _changed(good, k, value)) for value in (size, -1)]
    return wrong


def is_inside(space: Space, action: Any) -> bool:
    """Whether the action lies in the space; of a `Box`, in any numeric type."""
    if isinstance(space, spaces.Box) and is_continuous(space):
        return bool(in_bounds(space, np.asarray(action)).all())
    return bool(space.contains(np.asarray(action, space.dtype) if np.ndim(action) else np.int64(action)))


def stacked(space: Space, actions: list[Any]) -> NDArray[Any]:
    """Actions of a batch, (B,) or (B, components), in the type of the space."""
    return np.array(actions, space.dtype if is_continuous(space) else np.int64)


def one_of(space: Space, action: Any) -> Any:
    """A row of a batch of actions, as a single environment takes it."""
    if isinstance(space, spaces.Discrete):
        return int(action)
    return np.asarray(action, space.dtype if is_continuous(space) else None)


def _action(space: Space, values: Any) -> Any:
    """The action with these leading components and zeros after them."""
    if isinstance(space, spaces.Discrete):
        return int(values[0]) if len(values) else 0
    action = np.zeros(space.shape or (), np.int64)
    action.reshape(-1)[: len(values)] = values
    return action


def _changed(action: NDArray[Any], k: int, value: Any) -> NDArray[Any]:
    values: NDArray[Any] = action.reshape(-1).copy()
    values[k] = value
    return values


def _limits(space: spaces.Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of a `Box`; where it has none, a range of 1 or more next to the other bound or to 0."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    low = np.where(np.isfinite(low), low, np.minimum(high, 0.0) - 1.0)
    return low, np.where(np.isfinite(high), high, np.maximum(low, 0.0) + 1.0)


def _random_floats(space: spaces.Box, rng: np.random.Generator) -> NDArray[Any]:
    low, high = _limits(space)
    share = np.clip((1.0 + 2.0 * BEYOND) * rng.random(space.shape) - BEYOND, 0.0, 1.0)
    return np.asarray(np.clip(low * (1.0 - share) + high * share, low, high), space.dtype)


def _floats_outside(space: spaces.Box) -> list[NDArray[np.float64]]:
    good, found = _limits(space)[0], []
    for k in range(min(good.size, PROBED_COMPONENTS)):
        low, high = float(space.low.reshape(-1)[k]), float(space.high.reshape(-1)[k])
        beyond = [value for value in (high + max(1.0, abs(high)), low - max(1.0, abs(low))) if np.isfinite(value)]
        for value in (np.nan, np.inf, -np.inf, *beyond):
            found.append(_changed(good, k, value).reshape(good.shape))
    return found
