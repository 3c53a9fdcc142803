"""Small tasks for every kind of action: follow targets with a knob, levers or dials.

The knob is `Discrete`, the levers are `MultiDiscrete`, the dials a `Box`. An episode shows the targets step by step;
being off costs dollars and counts against two constraints. Episodes have different lengths. Written in NumPy, without
the cluster model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.envs.task import Outputs

SHORTEST, LONGEST = 3, 7
KNOB, LEVERS = 4, (3, 4, 2)
LOW, HIGH = np.float32([-1.0, 0.0]), np.float32([1.0, 0.5])


class FollowState(NamedTuple):
    targets: NDArray[np.float64]  # (B, LONGEST + 1, K), zeros after the end
    length: NDArray[np.int64]  # (B,) steps of the episode
    place: NDArray[np.int64]  # (B,) targets now
    steps: NDArray[np.int64]
    taken: NDArray[np.float64]  # (B, K) the last actions, also of rows that have ended
    shown: NDArray[np.float32]  # (B, K + 1) targets now and share of the episode
    mask: NDArray[np.int8]  # (B, A)
    cost_usd: NDArray[np.float64]  # (B, 1)
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    violations: NDArray[np.int32]
    constraints: NDArray[np.float64]  # (B, 2)


class FollowTask:
    """What knob, levers and dials share; `masked` are the sizes of the components that the mask covers."""

    cost_terms: tuple[str, ...] = ("off",)
    constraint_terms: tuple[str, ...] = ("off_total", "far_off")
    reward_scale_usd = 2.0
    name = "follow"
    action_space: spaces.Space[Any]

    def __init__(self, components: int, masked: tuple[int, ...]) -> None:
        self.components, self.masked = components, masked
        entries: dict[str, spaces.Space[Any]] = {"shown": spaces.Box(-9.0, 9.0, (components + 1,))}
        if masked:
            entries["action_mask"] = spaces.MultiBinary(sum(masked))
        self.observation_space = spaces.Dict(entries)

    def targets(self, rng: np.random.Generator, steps: int) -> NDArray[Any]:
        raise NotImplementedError

    def sample(self, rng: np.random.Generator) -> NDArray[Any]:
        return self.targets(rng, int(rng.integers(SHORTEST, LONGEST + 1)))

    def allocate(self, num_envs: int) -> FollowState:
        def zeros(dtype: type, *shape: int) -> NDArray[Any]:
            return np.zeros((num_envs, *shape), dtype)

        count = self.components
        numbers = (zeros(np.float64, LONGEST + 1, count), *(zeros(np.int64) for _ in range(3)))
        seen = (zeros(np.float64, count), zeros(np.float32, count + 1), zeros(np.int8, sum(self.masked)))
        flags = [zeros(np.bool_) for _ in range(3)]
        return FollowState(*numbers, *seen, zeros(np.float64, 1), *flags, zeros(np.int32), zeros(np.float64, 2))

    def reset_rows(self, state: FollowState, rows: NDArray[np.int64], scenarios: list[Any]) -> None:
        for row, scenario in zip(rows, scenarios, strict=True):
            state.targets[row] = 0.0
            state.targets[row, : len(scenario)], state.length[row] = scenario, len(scenario)
        for array in (*state[2:5], *state[7:]):
            array[rows] = 0
        self.show(state)

    def show(self, state: FollowState) -> None:
        targets = self.now(state)
        state.shown[:, :-1], state.shown[:, -1] = targets, state.place / np.maximum(state.length, 1)
        state.mask[:] = 1
        start, rows = 0, np.arange(len(targets))
        for k, size in enumerate(self.masked):
            state.mask[rows, start + (targets[:, k].astype(int) + 1) % size] = 0
            start += size

    def now(self, state: FollowState) -> NDArray[np.float64]:
        return state.targets[np.arange(len(state.place)), np.minimum(state.place, LONGEST)]

    def is_masked_out(self, state: FollowState, actions: NDArray[Any]) -> NDArray[np.bool_]:
        start, out, rows = 0, np.zeros(len(actions), np.bool_), np.arange(len(actions))
        for k, size in enumerate(self.masked):
            out |= state.mask[rows, start + actions[:, k]] == 0
            start += size
        return out

    def step(self, state: FollowState, actions: NDArray[Any]) -> None:
        state.taken[:] = actions
        state.refused[:] = self.is_masked_out(state, actions)
        state.violations[:] += state.refused
        off = np.where(state.refused[:, None], 0.0, np.abs(actions - self.now(state)))
        state.cost_usd[:, 0] = 0.5 * off.sum(axis=1)
        state.constraints[:, 0], state.constraints[:, 1] = off.sum(axis=1), (off > 0.25).sum(axis=1)
        state.place[:] += ~state.refused
        state.steps[:] += 1
        state.truncated[:] = state.steps >= state.length
        self.show(state)

    def outputs(self, state: FollowState) -> Outputs:
        observation: dict[str, NDArray[Any]] = {"shown": state.shown}
        if self.masked:
            observation["action_mask"] = state.mask
        return Outputs(observation, *state[6:])

    def metrics(self, state: FollowState, row: int) -> dict[str, float]:
        return {"followed_frac": float(state.place[row]) / LONGEST}

    def render(self, state: FollowState, row: int, mode: str) -> Any:
        return str(state.shown[row]) if mode == "ansi" else np.zeros((4, 4, 3), np.uint8)


class KnobTask(FollowTask):
    """A knob with four positions, one of which is masked out in every step."""

    name = "knob"

    def __init__(self) -> None:
        super().__init__(1, (KNOB,))
        self.action_space = spaces.Discrete(KNOB)

    def targets(self, rng: np.random.Generator, steps: int) -> NDArray[Any]:
        return rng.integers(0, KNOB, (steps, 1))

    def step(self, state: FollowState, actions: NDArray[Any]) -> None:
        super().step(state, actions[:, None])


class LeverTask(FollowTask):
    """Levers with 3, 4 and 2 positions; of the first `masked` ones, one position is masked out in every step."""

    name = "levers"

    def __init__(self, masked: int = len(LEVERS)) -> None:
        super().__init__(len(LEVERS), LEVERS[:masked])
        self.action_space = spaces.MultiDiscrete(LEVERS)

    def targets(self, rng: np.random.Generator, steps: int) -> NDArray[Any]:
        return rng.integers(0, LEVERS, (steps, len(LEVERS)))


class DialTask(FollowTask):
    """Two dials with different bounds; nothing is masked."""

    name = "dials"

    def __init__(self) -> None:
        super().__init__(2, ())
        self.action_space = spaces.Box(LOW, HIGH)

    def targets(self, rng: np.random.Generator, steps: int) -> NDArray[Any]:
        return rng.uniform(LOW, HIGH, (steps, 2))


class FirstPosition:
    """The lowest allowed position of the knob."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        return observation["action_mask"].argmax(axis=1), state


class FirstAllowed:
    """The lowest allowed position of every lever."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        parts = np.split(observation["action_mask"], np.cumsum(LEVERS)[:-1], axis=1)
        return np.stack([part.argmax(axis=1) for part in parts], axis=1), state


class AllAtZero:
    """Every lever at its lowest position, allowed or not."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        return np.zeros((len(observation["shown"]), len(LEVERS)), np.int64), state


class TurnsHalfWay:
    """Half of each target, as far as the dial goes."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        return np.clip(0.5 * observation["shown"][:, :-1], LOW, HIGH), state
