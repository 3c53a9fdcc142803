"""The contract between a decision problem and the environment shells.

A `Task` is batch-first. It has no random generator, no clock of its own and no autoreset: the shells in `shells` own
seeding, reward, truncation and autoreset, once for all tasks. Docs for authors: "Add an environment".
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Outputs(NamedTuple):
    """What a task shows after a reset or a step: views into its state, overwritten by the next step. B rows."""

    observation: dict[str, NDArray[Any]]  # arrays with leading axis B
    action_mask: NDArray[np.int8]  # (B, A) exact mask of the first (or only) action component
    cost_usd: NDArray[np.float64]  # (B, T) named terms of the last step
    terminated: NDArray[np.bool_]  # (B,) real absorbing states only
    truncated: NDArray[np.bool_]  # (B,) the horizon
    refused: NDArray[np.bool_]  # (B,) the last action was masked out and not carried out
    violations: NDArray[np.int32]  # (B,) refused actions since reset


class Task(Protocol):
    """One decision problem over the cluster model."""

    name: str
    cost_terms: tuple[str, ...]
    reward_scale_usd: float
    observation_space: spaces.Dict
    action_space: spaces.Space[Any]

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one episode's exogenous input."""

    def allocate(self, num_envs: int) -> Any:
        """State arrays for `num_envs` rows."""

    def reset_rows(self, state: Any, rows: NDArray[np.int64], scenarios: list[Any]) -> None:
        """Put scenarios into rows and start their episodes."""

    def step(self, state: Any, actions: NDArray[np.int64]) -> None:
        """Advance every row by one decision. `actions`: (B,) or (B, components), already inside the action space."""

    def outputs(self, state: Any) -> Outputs:
        """Views of what the last reset or step produced; the same arrays on every call."""

    def metrics(self, state: Any, row: int) -> dict[str, float]:
        """Domain metrics of a row, by name with unit."""

    def render(self, state: Any, row: int, mode: str) -> Any:
        """A picture of one row in a mode of `render_modes`."""
