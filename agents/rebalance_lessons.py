"""Before reinforcement learning: a policy is taught what its own look-ahead chooses.

At every decision of an episode the look-ahead tries the most likely actions and plays each to the end with the policy,
see `rebalance_search.PlanSearch.look_ahead`. The world stands still and the policy plays without chance, so the values
are exact, and the policy learns from all of them at once: cross-entropy between its distribution over the actions that
were tried and exp(-value / `TEMPERATURE_USD`). Repeated, this is approximate policy iteration (Lagoudakis and Parr,
"Reinforcement learning as classification", ICML 2003).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from archrl.envs.rebalance import RebalanceTask
from archrl.seeding import rng_for
from archrl_agents.policy import AgentPolicy
from archrl_agents.rebalance_config import RebalancePPOConfig
from archrl_agents.rebalance_network import RebalancePolicy
from archrl_agents.rebalance_search import Floats, Observation, PlanSearch

TEMPERATURE_USD = 0.1
"""Value, in dollars, that makes an action e times as good; the initial cost is worth $ 100."""
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 40, 256, 1e-3, 1e-3
HELD_OUT = 5
"""Every so many instances one is kept to choose the epoch by."""


class Lessons:
    """Decisions with the values of the actions that were tried."""

    def __init__(self, branches: int) -> None:
        self.branches = branches
        self.observations: list[Observation] = []
        self.actions: list[NDArray[np.int64]] = []
        self.values: list[Floats] = []
        self.instance: list[int] = []

    def note(self, observation: Observation, actions: NDArray[np.int64], values: Floats, instance: int) -> None:
        """Add a decision, if there was something to decide; `observation` has one row."""
        if len(actions) < 2:
            return
        missing = self.branches - len(actions)
        self.observations.append({key: value[0].copy() for key, value in observation.items()})
        self.actions.append(np.pad(actions, (0, missing)))
        self.values.append(np.pad(values, (0, missing), constant_values=np.inf))
        self.instance.append(instance)

    def tensors(self) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Observations, actions (M, branches), and values (M, branches) above the best one, inf for padding."""
        keys = self.observations[0]
        observations = {key: torch.as_tensor(np.stack([seen[key] for seen in self.observations])) for key in keys}
        values = np.stack(self.values)
        above = torch.as_tensor(values - values.min(axis=1, keepdims=True), dtype=torch.float32)
        return observations, torch.as_tensor(np.stack(self.actions)), above


def teach(
    model: BaseAlgorithm, task: RebalanceTask, config: RebalancePPOConfig, say: Callable[[str], None] = print
) -> None:
    """Teach the policy of an untrained model, in `config.lesson_rounds` parts.

    Args:
        model: With a `RebalancePolicy`; its weights change.
        task: On the training split.
        config: How many lessons.
        say: Where progress is told.
    """
    policy: Any = model.policy
    lessons = Lessons(config.lesson_branches)
    parts = np.array_split(np.arange(config.lessons), config.lesson_rounds)
    for number, part in enumerate(parts):
        agent = AgentPolicy(policy, config.name)
        for k in part.tolist():
            rng = rng_for(config.seed, "train", "lesson", k)
            search = PlanSearch(agent, task, task.sample(rng), math.inf, rng)
            search.look_ahead(
                config.lesson_branches, lambda seen, actions, values, k=k: lessons.note(seen, actions, values, k)
            )
        before, after = _fit(policy, lessons, config.seed)
        say(f"lessons, part {number + 1} of {len(parts)}: regret of a decision {before:.4f} $, taught {after:.4f} $")
    policy.set_training_mode(True)


def _fit(policy: RebalancePolicy, lessons: Lessons, seed: int) -> tuple[float, float]:
    """Regret on the instances that are held out, before and with the best epoch, which is kept."""
    data, instance = lessons.tensors(), torch.as_tensor(lessons.instance)
    held = torch.nonzero(instance % HELD_OUT == 0).squeeze(1)
    used = torch.nonzero(instance % HELD_OUT != 0).squeeze(1)
    if not len(used):
        used = held
    optimizer = torch.optim.AdamW(policy.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    before = best = regret(policy, data, held)
    kept = _weights(policy)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(EPOCHS):
            for batch in used[torch.randperm(len(used))].split(BATCH):
                loss = _cross_entropy(policy, data, batch)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            now = regret(policy, data, held)
            if now < best:
                best, kept = now, _weights(policy)
    policy.load_state_dict(kept)
    return before, best


def _weights(policy: RebalancePolicy) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in policy.state_dict().items()}


def _tried(policy: RebalancePolicy, data: tuple[dict[str, Tensor], Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the actions that were tried, and their values above the best, (rows, branches) each."""
    observations, actions, above = data
    logits = policy.allowed_logits({key: value[rows] for key, value in observations.items()})
    chosen = logits.gather(1, actions[rows])
    return torch.where(above[rows].isfinite(), chosen, -torch.inf), above[rows]


def _cross_entropy(policy: RebalancePolicy, data: tuple[dict[str, Tensor], Tensor, Tensor], rows: Tensor) -> Tensor:
    logits, above = _tried(policy, data, rows)
    target = torch.softmax(-above / TEMPERATURE_USD, dim=1)
    likely = torch.log_softmax(logits, dim=1)
    return -(target * torch.where(above.isfinite(), likely, 0.0)).sum(dim=1).mean()


def regret(policy: RebalancePolicy, data: tuple[dict[str, Tensor], Tensor, Tensor], rows: Tensor) -> float:
    """Mean value of the most likely of the actions that were tried above the best one, $."""
    with torch.no_grad():
        logits, above = _tried(policy, data, rows)
        return float(above.gather(1, logits.argmax(dim=1, keepdim=True)).mean())
