"""A permutation-equivariant network for the two stages of `archrl/Rebalance-v0`; none of its sizes is C, D or N.

    e_i = relu(A inputs_i + B globals)                       i: every candidate process and every destination
    c   = relu(C [mean, max of e over processes, mean, max of e over destinations, globals])
    logit_i = w . relu(H e_i + Q c) + prior_i       logit_stop = u . relu(R c) + bias       value = v . relu(V c)

Processes and destinations have columns of their own in `inputs`, so that one product with A meets both with weights of
their own. Globals are the summary and the row of the chosen process. Permuting candidates permutes their logits and
leaves the others and the value (Zaheer et al., "Deep Sets", NeurIPS 2017, section 3).

The prior is minus the change of the cost, so that the untrained policy is greedy best improvement with noise.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from archrl.cluster import rebalance_state as schema
from archrl.config import to_dict
from archrl.errors import ConfigError
from archrl_agents.networks import NodePolicy
from archrl_agents.rebalance_config import RebalanceNetworkConfig

PROCESSES, DESTINATIONS = len(schema.PROCESS_FEATURES), len(schema.DESTINATION_FEATURES)
GLOBALS = len(schema.SUMMARY_FEATURES) + PROCESSES
RELATIVE = 2
"""Inputs of a candidate beside its features: change behind the best candidate, and how near that is."""
NEAR = 0.1
"""Change behind the best one at which the nearness is one half."""
INPUTS = PROCESSES + DESTINATIONS + 2 * RELATIVE
COLUMNS = {
    "processes": PROCESSES,
    "chosen": PROCESSES,
    "destinations": DESTINATIONS,
    "summary": len(schema.SUMMARY_FEATURES),
}
"""Columns of the parts of an observation that are read."""


def check_space(space: spaces.Space[Any]) -> None:
    """Refuse a space that is no rebalancing observation.

    Raises:
        ConfigError: which columns there are, and which are needed.
    """
    keys = space.spaces if isinstance(space, spaces.Dict) else {}
    found = {key: keys[key].shape[-1] for key in COLUMNS if key in keys and keys[key].shape}  # type: ignore[index]
    if found != COLUMNS:
        raise ConfigError(
            f"observation space: got columns {found}; allowed: {COLUMNS}. These networks read observations of "
            "archrl/Rebalance-v0 of this version"
        )


def relative(change: Tensor, possible: Tensor) -> Tensor:
    """Change (B, M) behind the best possible candidate, and nearness to it, (B, M, 2); 0 where not possible."""
    best = torch.where(possible, change, torch.inf).amin(dim=1, keepdim=True)
    behind = torch.where(possible, change - best, 0.0)
    return torch.stack([behind, torch.where(possible, NEAR / (NEAR + behind), 0.0)], dim=2)


def candidate_inputs(observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Inputs (B, C + D, INPUTS) of candidate processes, then of destinations, and which places exist (B, C + D)."""
    processes, destinations = observation["processes"], observation["destinations"]
    places = processes.shape[1]
    inputs = processes.new_zeros(len(processes), places + destinations.shape[1], INPUTS)
    split, last = PROCESSES + RELATIVE, INPUTS - RELATIVE
    inputs[:, :places, :PROCESSES] = processes
    movable = processes[..., schema.P_MOVABLE] > 0
    inputs[:, :places, PROCESSES:split] = relative(processes[..., schema.P_BEST], movable)
    inputs[:, places:, split:last] = destinations
    feasible = destinations[..., schema.D_FEASIBLE] > 0
    inputs[:, places:, last:] = relative(destinations[..., schema.D_CHANGE], feasible)
    exists = torch.cat([observation["process_idx"] >= 0, observation["destination_idx"] >= 0], dim=1)
    return inputs, exists


class RebalanceNetwork(nn.Module):
    """Logits (B, A) and values (B, 1) for observations of B decisions; A as in the observation's mask.

    Args:
        space: Observation space of the task; only its column counts matter.
        config: Sizes and prior.

    Raises:
        ConfigError: the space is no rebalancing observation.
    """

    def __init__(self, space: spaces.Space[Any], config: RebalanceNetworkConfig) -> None:
        super().__init__()
        check_space(space)
        width, wide, self.config = config.node_width, config.context_width, config
        self.candidate_in = nn.Linear(INPUTS, width)
        self.globals_in = nn.Linear(GLOBALS, width, bias=False)
        self.pooled = nn.Linear(4 * width + GLOBALS, wide)
        self.hidden = nn.Linear(width, width)
        self.query = nn.Linear(wide, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        self.stop = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, 1))
        self.value = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, 1))
        for module in self.modules():
            BasePolicy.init_weights(module, gain=2.0**0.5)
        for head, gain in ((self.score, 0.01), (self.stop[2], 0.01), (self.value[2], 1.0)):
            BasePolicy.init_weights(head, gain=gain)

    def forward(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits, those of masked actions included, and values."""
        inputs, exists = candidate_inputs(observation)
        shown = torch.cat([observation["summary"], observation["chosen"]], dim=1)
        encoded = torch.relu(self.candidate_in(inputs) + self.globals_in(shown).unsqueeze(1))
        places = observation["processes"].shape[1]
        pools = _pools(encoded[:, :places], exists[:, :places]) + _pools(encoded[:, places:], exists[:, places:])
        context = torch.relu(self.pooled(torch.cat([*pools, shown], dim=1)))
        scores = self.score(torch.relu(self.hidden(encoded) + self.query(context).unsqueeze(1))).squeeze(2)
        scores = scores + self._prior(observation)
        stop = self.stop(context) + self.config.stop_bias
        logits = _by_stage(scores[:, :places], stop, scores[:, places:], observation)
        return logits, self.value(context)

    def _prior(self, observation: dict[str, Tensor]) -> Tensor:
        """(B, C + D), 0 for a move that changes nothing."""
        changes = observation["processes"][..., schema.P_BEST], observation["destinations"][..., schema.D_CHANGE]
        return -self.config.change_prior * torch.cat(changes, dim=1)


def _pools(encoded: Tensor, exists: Tensor) -> list[Tensor]:
    """Mean and maximum over the places that exist, (B, H) each; encodings are at least 0."""
    there = encoded * exists.unsqueeze(2)
    count = exists.sum(dim=1, keepdim=True).clamp(min=1)
    return [there.sum(dim=1) / count, there.amax(dim=1)]


def _by_stage(processes: Tensor, stop: Tensor, destinations: Tensor, observation: dict[str, Tensor]) -> Tensor:
    """Logits of the actions of each row's stage, (B, A); 0 for actions that the stage does not have."""
    actions = observation["action_mask"].shape[1]
    first = nn.functional.pad(torch.cat([processes, stop], dim=1), (0, actions - processes.shape[1] - 1))
    second = nn.functional.pad(destinations, (0, actions - destinations.shape[1]))
    return torch.where(observation["summary"][:, schema.S_STAGE : schema.S_STAGE + 1] > 0, second, first)


class RebalancePolicy(NodePolicy):
    """MaskablePPO's policy over a `RebalanceNetwork`; arguments as for `NodePolicy`."""

    def _build(self, lr_schedule: Schedule) -> None:
        self.network = RebalanceNetwork(self.observation_space, RebalanceNetworkConfig(**self.network_kwargs))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def usable(self, observation: dict[str, Tensor]) -> Tensor:
        """Actions that may be taken, (B, A) bool: those of the mask, without an early stop if that is not allowed."""
        usable = observation["action_mask"] > 0
        if not self.network.config.may_stop:
            usable = usable.clone()
            processes = observation["processes"]
            saves = (processes[..., schema.P_MOVABLE] > 0) & (processes[..., schema.P_BEST] < 0)
            second = observation["summary"][:, schema.S_STAGE] > 0
            usable[:, processes.shape[1] :] &= (second | ~saves.any(dim=1)).unsqueeze(1)
        return usable


def policy_settings(config: RebalanceNetworkConfig) -> dict[str, Any]:
    """Keyword arguments of `RebalancePolicy` that a model keeps."""
    return {"network": to_dict(config)}
