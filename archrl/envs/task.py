"""The contract between a decision problem and the environment shells.

A `Task` is batch-first. It has no random generator, no clock of its own and no autoreset: the shells in `shells` own
seeding, reward, truncation and autoreset, once for all tasks. Docs for authors: "Add an environment".
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.errors import ConfigError


class Outputs(NamedTuple):
    """What a task shows after a reset or a step: views into its state, overwritten by the next step. B rows."""

    observation: dict[str, NDArray[Any]]  # arrays with leading axis B
    action_mask: NDArray[np.int8]  # (B, A) exact mask of the leading action components, see `Task`
    cost_usd: NDArray[np.float64]  # (B, T) named terms of the last step
    terminated: NDArray[np.bool_]  # (B,) real absorbing states only
    truncated: NDArray[np.bool_]  # (B,) the horizon
    refused: NDArray[np.bool_]  # (B,) the last action was masked out and not carried out
    violations: NDArray[np.int32]  # (B,) refused actions since reset
    constraints: NDArray[np.float64] | None = None  # (B, J) soft-constraint counters of the last step, see `Task`


class Task(Protocol):
    """One decision problem over the cluster model.

    Actions: `action_space` is `Discrete`, `MultiDiscrete` (both from 0 on) or a `Box` of floats.

    Mask: `Outputs.action_mask` covers the leading action components, flat, one after another: A is the sum of their
    sizes. For `Discrete(n)`, A = n; for `MultiDiscrete([n0, n1, ...])`, A = n0 + ... + nj for some j. With all
    components it is the layout of MaskablePPO. Components after them are never masked, and 0 is always allowed there.
    A = 0 where nothing can be masked, as in a `Box`: then neither info nor the observation has an `action_mask`.

    Soft constraints: a task may have the attribute `constraint_terms: tuple[str, ...]`, the names of the J columns of
    `Outputs.constraints`. They count by how much the last step broke each constraint (0: not at all; never negative),
    for methods that bound them. The shells show them as `info["constraint_cost"]`. They are no part of the reward:
    what they count is priced in `cost_terms`. A refused action adds nothing to them.
    """

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

    def step(self, state: Any, actions: NDArray[Any]) -> None:
        """Advance every row by one decision.

        `actions`: (B,) or (B, components), int64, or float64 for a `Box`; already inside the action space.
        """

    def outputs(self, state: Any) -> Outputs:
        """Views of what the last reset or step produced; the same arrays on every call."""

    def metrics(self, state: Any, row: int) -> dict[str, float]:
        """Domain metrics of a row, by name with unit."""

    def render(self, state: Any, row: int, mode: str) -> Any:
        """A picture of one row in a mode of `render_modes`."""


def constraint_names(task: Task, out: Outputs) -> tuple[str, ...]:
    """Names of the soft constraints; () where the task has none.

    Raises:
        ConfigError: the task names constraints that `out` does not show, or shows some without names.
    """
    terms: tuple[str, ...] = getattr(task, "constraint_terms", ())
    shown = 0 if out.constraints is None else out.constraints.shape[1]
    if len(terms) != shown:
        raise ConfigError(
            f"constraint_terms: {task.name} names {len(terms)} constraints {terms}, outputs().constraints has {shown} "
            f"columns; needed is one column for each name"
        )
    return terms
