"""The smallest task with everything that the contract knows: guess digits, one of which is always masked out.

An episode shows `LENGTH` digits one after another. Action a costs $|a - digit| and nothing else happens; the action
that the mask excludes, (digit + 2) mod 4, is refused. Written in NumPy, without the cluster model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.envs.task import Outputs

LENGTH, DIGITS = 6, 4


class GuessState(NamedTuple):
    digits: NDArray[np.int64]  # (B, LENGTH)
    place: NDArray[np.int64]  # (B,) digit to guess
    steps: NDArray[np.int64]
    shown: NDArray[np.float32]  # (B, 2) digit and place
    mask: NDArray[np.int8]  # (B, DIGITS)
    cost_usd: NDArray[np.float64]  # (B, 2)
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    violations: NDArray[np.int32]


class GuessTask:
    name = "guess"
    cost_terms: tuple[str, ...] = ("distance", "fixed")
    reward_scale_usd = 2.0

    def __init__(self) -> None:
        self.observation_space = spaces.Dict(
            {
                "shown": spaces.Box(0.0, float(LENGTH), (2,)),
                "action_mask": spaces.MultiBinary(DIGITS),
            }
        )
        self.action_space: spaces.Space[Any] = spaces.Discrete(DIGITS)

    def sample(self, rng: np.random.Generator) -> NDArray[np.int64]:
        return rng.integers(0, DIGITS, LENGTH)

    def allocate(self, num_envs: int) -> GuessState:
        def zeros(dtype: type, *shape: int) -> NDArray[Any]:
            return np.zeros((num_envs, *shape), dtype)

        integers = (zeros(np.int64, LENGTH), zeros(np.int64), zeros(np.int64))
        flags = [zeros(np.bool_) for _ in range(3)]
        seen = (zeros(np.float32, 2), zeros(np.int8, DIGITS), zeros(np.float64, 2))
        return GuessState(*integers, *seen, *flags, zeros(np.int32))

    def reset_rows(self, state: GuessState, rows: NDArray[np.int64], scenarios: list[Any]) -> None:
        state.digits[rows] = scenarios
        for array in (state.place, state.steps, state.cost_usd, state.truncated, state.refused, state.violations):
            array[rows] = 0
        self.show(state)

    def show(self, state: GuessState) -> None:
        rows = np.arange(len(state.place))
        digit = state.digits[rows, np.minimum(state.place, LENGTH - 1)]
        state.shown[:, 0], state.shown[:, 1] = digit, state.place
        state.mask[:] = 1
        state.mask[rows, (digit + 2) % DIGITS] = 0

    def step(self, state: GuessState, actions: NDArray[np.int64]) -> None:
        rows = np.arange(len(actions))
        state.refused[:] = (state.mask[rows, actions] == 0) | (state.place == LENGTH)
        state.violations[:] += state.refused
        digit = state.digits[rows, np.minimum(state.place, LENGTH - 1)]
        state.cost_usd[:, 0] = np.where(state.refused, 0.0, np.abs(actions - digit))
        state.cost_usd[:, 1] = np.where(state.refused, 0.0, 0.1)
        state.place[:] += ~state.refused
        state.steps[:] += 1
        state.truncated[:] = state.steps >= LENGTH
        self.show(state)

    def outputs(self, state: GuessState) -> Outputs:
        return Outputs(
            {"shown": state.shown, "action_mask": state.mask},
            state.mask,
            state.cost_usd,
            state.terminated,
            state.truncated,
            state.refused,
            state.violations,
        )

    def metrics(self, state: GuessState, row: int) -> dict[str, float]:
        return {"guessed_frac": float(state.place[row]) / LENGTH}

    def render(self, state: GuessState, row: int, mode: str) -> Any:
        return str(state.shown[row]) if mode == "ansi" else np.zeros((4, 4, 3), np.uint8)


class GuessPolicy:
    """The lowest allowed digit."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        return observation["action_mask"].argmax(axis=1), state
