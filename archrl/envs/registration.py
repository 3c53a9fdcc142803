"""Registers every environment of archrl with Gymnasium, by entry points in text: nothing heavy is imported here."""

from __future__ import annotations

import gymnasium as gym

ENVIRONMENTS = {
    "archrl/Placement-v0": "archrl.envs.placement_make",
    "archrl/Autoscale-v0": "archrl.envs.autoscale_make",
    "archrl/Rebalance-v0": "archrl.envs.rebalance_make",
}
"""Environment id -> module with `make_single` and `make_batch`."""


def register_environments() -> None:
    """Idempotent; called by `import archrl`."""
    for env_id, module in ENVIRONMENTS.items():
        if env_id not in gym.registry:
            gym.register(env_id, entry_point=f"{module}:make_single", vector_entry_point=f"{module}:make_batch")
