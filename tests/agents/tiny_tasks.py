"""Tiny decision problems in the form of a placement task, with optima that one can see."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from archrl.cluster import schema
from archrl.envs.task import Outputs

LARGE = float(np.finfo(np.float32).max)


class TinyState(NamedTuple):
    observation: dict[str, np.ndarray]
    cost_usd: np.ndarray  # (B, 1)
    terminated: np.ndarray
    truncated: np.ndarray
    refused: np.ndarray
    violations: np.ndarray
    steps: np.ndarray
    scenario: list[Any]


class TinyTask:
    """Episodes of `horizon` steps over `nodes` nodes, ended by truncation only; subclasses define scenario and cost."""

    cost_terms = ("regret",)
    reward_scale_usd = 1.0
    name = "tiny"

    def __init__(self, nodes: int = 4, horizon: int = 4) -> None:
        self.nodes, self.horizon = nodes, horizon
        table = (nodes, schema.NUM_NODE_FEATURES)
        self.observation_space = spaces.Dict(
            {
                "nodes": spaces.Box(-1.0, LARGE, table),
                "request": spaces.Box(0.0, LARGE, (schema.NUM_REQUEST_FEATURES,)),
                "clock": spaces.Box(-1.0, LARGE, (schema.NUM_CLOCK_FEATURES,)),
                "mix": spaces.Box(0.0, 1.0, (2 * schema.NUM_SIZE_CLASSES,)),
                "action_mask": spaces.MultiBinary(nodes + 1),
            }
        )
        self.action_space = spaces.Discrete(nodes + 1)

    def sample(self, rng: np.random.Generator) -> Any:
        return rng.random((self.horizon + 1, self.nodes))

    def allocate(self, num_envs: int) -> TinyState:
        observation = {
            key: np.zeros((num_envs, *space.shape), space.dtype) for key, space in self.observation_space.items()
        }
        flags = [np.zeros(num_envs, np.bool_) for _ in range(3)]
        counts = [np.zeros(num_envs, np.int32) for _ in range(2)]
        return TinyState(observation, np.zeros((num_envs, 1)), *flags, *counts, [None] * num_envs)

    def reset_rows(self, state: TinyState, rows: np.ndarray, scenarios: list[Any]) -> None:
        for row, scenario in zip(rows, scenarios, strict=True):
            state.scenario[row] = scenario
            state.steps[row] = state.violations[row] = 0
            state.truncated[row] = state.refused[row] = False
            self.observe(state, row)

    def step(self, state: TinyState, actions: np.ndarray) -> None:
        for row, action in enumerate(actions):
            allowed = state.observation["action_mask"][row, action] > 0
            state.refused[row] = not allowed
            state.violations[row] += not allowed
            state.cost_usd[row, 0] = self.cost(state, row, int(action)) if allowed else 1.0
            state.steps[row] += 1
            state.truncated[row] = state.steps[row] >= self.horizon
            self.observe(state, row)

    def outputs(self, state: TinyState) -> Outputs:
        mask = state.observation["action_mask"]
        return Outputs(state.observation, mask, *state[1:6])

    def metrics(self, state: TinyState, row: int) -> dict[str, float]:
        return {"steps_done": float(state.steps[row])}

    def render(self, state: TinyState, row: int, mode: str) -> Any:
        return str(state.steps[row])

    def observe(self, state: TinyState, row: int) -> None:
        """Every node has one CPU feature: the current row of the scenario."""
        nodes = state.observation["nodes"][row]
        nodes[:, schema.NODE_CPU_CAPACITY] = 128_000.0
        nodes[:, schema.NODE_CPU_FREE] = 128_000.0 * state.scenario[row][min(state.steps[row], self.horizon)]
        state.observation["clock"][row, 3] = state.steps[row] / self.horizon
        state.observation["action_mask"][row] = 1

    def cost(self, state: TinyState, row: int, action: int) -> float:
        raise NotImplementedError


class MostFree(TinyTask):
    """Identity: choose the node with the most free CPU; regret is the rest. Optimum 0, rejecting costs 1."""

    def cost(self, state: TinyState, row: int, action: int) -> float:
        values = state.scenario[row][state.steps[row]]
        return 1.0 if action == self.nodes else float(values.max() - values[action])


class MostFreeAllowed(MostFree):
    """The best node is masked out: the optimum is the second best. A masked action would be refused and cost 1."""

    def observe(self, state: TinyState, row: int) -> None:
        super().observe(state, row)
        values = state.scenario[row][min(state.steps[row], self.horizon)]
        state.observation["action_mask"][row, values.argmax()] = 0

    def cost(self, state: TinyState, row: int, action: int) -> float:
        values = np.sort(state.scenario[row][state.steps[row]])
        if action == self.nodes:
            return 1.0
        return float(values[-2] - state.scenario[row][state.steps[row]][action])


class Invest(TinyTask):
    """One step, then truncation. Poor: node 0 costs 0.5 and stays poor, node 1 costs 1 and becomes rich. Rich: free.

    Only whoever counts what comes after the horizon invests: with discount g, staying costs 0.5 / (1 - g) in all.
    """

    def __init__(self) -> None:
        super().__init__(nodes=2, horizon=1)

    def sample(self, rng: np.random.Generator) -> Any:
        return {"rich": bool(rng.random() < 0.5)}

    def observe(self, state: TinyState, row: int) -> None:
        nodes = state.observation["nodes"][row]
        nodes[:, schema.NODE_CPU_CAPACITY] = 128_000.0
        nodes[:, schema.NODE_CPU_FREE] = 0.0, 128_000.0
        state.observation["request"][row, schema.REQ_MEM] = 1024.0 * 1024.0 * state.scenario[row]["rich"]
        state.observation["action_mask"][row] = 1, 1, 0

    def cost(self, state: TinyState, row: int, action: int) -> float:
        rich = state.scenario[row]["rich"]
        if action == 1:
            state.scenario[row] = {"rich": True}
        return 0.0 if rich else (0.5, 1.0)[action]
