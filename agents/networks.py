"""Permutation-equivariant networks: one encoder shared by all nodes, plus pooled context; none of its sizes is N.

    e_n = relu(A inputs_n + B context)                                context: request, clock, mix
    c   = relu(C [mean_n e_n, max_n e_n, context])
    logit_n = e_n . Q c + prior_n       logit_reject = u . relu(R c)       value = v . relu(V c)

Permuting nodes permutes the logits and leaves the value; the same weights act on any number of nodes or candidates
(Zaheer et al., "Deep Sets", NeurIPS 2017, section 3; the query Q c over encodings as in Vinyals et al., "Pointer
Networks", NeurIPS 2015). The one matrix A meets all rows x nodes in one product, which is nearly all of the cost.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.distributions import MaskableDistribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn
from torch.distributions import Categorical

from archrl.errors import ConfigError
from archrl_agents.features import CONTEXT_INPUTS, build_inputs, node_width, score_names
from archrl_agents.network_config import NetworkConfig

MASKED = -1e8
"""Logit of a masked action: its probability is exactly 0 in float32."""


class NodeNetwork(nn.Module):
    """Logits (B, M + 1) and values (B, 1) for observations of B decisions over M nodes or candidates.

    Args:
        space: Observation space of the task; only its column counts matter.
        config: Sizes and prior.

    Raises:
        ConfigError: the space is no placement observation, or lacks the score that the prior names.
    """

    def __init__(self, space: spaces.Space[Any], config: NetworkConfig) -> None:
        super().__init__()
        width, wide, self.config = config.node_width, config.context_width, config
        self.register_buffer("prior", _prior_weights(space, config), persistent=False)
        self.node_in = nn.Linear(node_width(space), width)
        self.context_in = nn.Linear(CONTEXT_INPUTS, width, bias=False)
        self.pooled = nn.Linear(2 * width + CONTEXT_INPUTS, wide)
        self.query = nn.Linear(wide, width)
        self.reject = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, 1))
        self.value = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, 1))
        for module in self.modules():
            BasePolicy.init_weights(module, gain=2.0**0.5)
        for head, gain in ((self.query, 0.01), (self.reject[2], 0.01), (self.value[2], 1.0)):
            BasePolicy.init_weights(head, gain=gain)

    def forward(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits with the prior added, those of masked actions included, and values."""
        scores, values, prior = self.parts(observation)
        return scores + prior, values

    def parts(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """What is learned of the logits (B, M + 1), values (B, 1), and the prior (B, M + 1), 0 at its best node."""
        inputs = build_inputs(observation)
        encoded = self.node_in(inputs.nodes).add_(self.context_in(inputs.context).unsqueeze(1)).relu_()
        mean = encoded.mean(dim=1) if "candidates" not in observation else _mean(encoded, inputs.exists)
        most = encoded.max(dim=1).values
        context = torch.relu(self.pooled(torch.cat([mean, most, inputs.context], dim=-1)))
        logits = torch.bmm(encoded, self.query(context).unsqueeze(-1)).squeeze(-1)
        scores = torch.cat([logits, self.reject(context)], dim=1)
        prior = torch.zeros_like(scores)
        prior[:, -1] = self.config.reject_bias
        if self.config.score_prior is not None:
            prior[:, :-1] = _relative(inputs.behind @ self.prior, observation["action_mask"][:, :-1] > 0)
        return scores, self.value(context), prior


def _mean(encoded: Tensor, exists: Tensor) -> Tensor:
    """Mean over the places that hold a candidate, (B, H)."""
    total = torch.bmm(exists.unsqueeze(1), encoded).squeeze(1)
    return total / exists.sum(1, keepdim=True).clamp(min=1.0)


def _relative(prior: Tensor, feasible: Tensor) -> Tensor:
    """Prior minus that of the best feasible node, (B, M): the best one has 0, whatever the scores, against reject."""
    best = torch.where(feasible, prior, -torch.inf).amax(dim=1, keepdim=True)
    return torch.where(feasible, prior - best, 0.0)


def _prior_weights(space: spaces.Space[Any], config: NetworkConfig) -> Tensor:
    """Logits per point of every score that the observation has, (S,)."""
    names, prior = score_names(space), config.score_prior
    weights = {prior: 1.0} if isinstance(prior, str) else prior or {}
    for name in weights:
        if name not in names:
            raise ConfigError(
                f"score_prior: got {name!r}; without candidates the allowed ones are {', '.join(names)}: "
                "choose one, or set candidates in env"
            )
    return config.prior_scale * torch.tensor([weights.get(name, 0.0) for name in names])  # type: ignore[call-overload]


def usable_actions(observation: dict[str, Tensor], config: NetworkConfig) -> Tensor:
    """Actions that a policy of this configuration may take, (B, M + 1) bool: the observation's mask, or less of it."""
    usable = observation["action_mask"] > 0
    if not config.may_reject:
        usable = usable.clone()
        usable[:, -1] &= ~usable[:, :-1].any(dim=1)
    return usable


class NodePolicy(MaskableActorCriticPolicy):
    """MaskablePPO's policy over a `NodeNetwork`; it reads the mask from the observation itself.

    Args:
        observation_space: A placement observation.
        action_space: Discrete, one action per node or candidate and one to reject.
        lr_schedule: Learning rate by remaining progress.
        network: Fields of `NetworkConfig`.
        **kwargs: Of `MaskableActorCriticPolicy`.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        network: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.network_kwargs = network or {}
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.network: nn.Module = NodeNetwork(self.observation_space, NetworkConfig(**self.network_kwargs))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _distribution(self, observation: dict[str, Tensor]) -> tuple[Categorical, Tensor]:
        logits, values = self.network(observation)
        logits = torch.where(self.usable(observation), logits, MASKED)
        return Categorical(logits=logits, validate_args=False), values

    def allowed_logits(self, observation: dict[str, Tensor]) -> Tensor:
        """Logits (B, A), `MASKED` for actions that may not be taken."""
        return torch.where(self.usable(observation), self.network(observation)[0], MASKED)

    def usable(self, observation: dict[str, Tensor]) -> Tensor:
        """Actions that may be taken, (B, A) bool."""
        return usable_actions(observation, self.network.config)

    def forward(
        self, obs: dict[str, Tensor], deterministic: bool = False, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (B,), values (B, 1) and log-probabilities (B,)."""
        distribution, values = self._distribution(obs)
        actions = distribution.logits.argmax(dim=1) if deterministic else distribution.sample()
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: dict[str, Tensor], actions: Tensor, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values, log-probabilities of `actions` and entropies."""
        distribution, values = self._distribution(obs)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: dict[str, Tensor], action_masks: Any = None) -> MaskableDistribution:
        """Distribution over the allowed actions."""
        distribution = self.action_dist.proba_distribution(action_logits=self.network(obs)[0])
        distribution.apply_masking(self.usable(obs))
        return distribution

    def predict_values(self, obs: dict[str, Tensor]) -> Tensor:
        """Values (B, 1)."""
        return self.network(obs)[1]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"network": self.network_kwargs}


class NodeQNetwork(BasePolicy):
    """Q = V + A - mean of A over the allowed actions (Wang et al., "Dueling networks", ICML 2016, eq. 9), plus a prior.

    The prior p of the logits enters as `q_prior` p / (1 + |p|): bounded, for a Q-value has a scale.
    """

    def __init__(self, observation_space: spaces.Dict, action_space: spaces.Discrete, config: NetworkConfig) -> None:
        super().__init__(observation_space, action_space)
        self.network = NodeNetwork(observation_space, config)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Q-values (B, A); `MASKED` for actions that may not be taken."""
        advantages, values, prior = self.network.parts(obs)
        usable = usable_actions(obs, self.network.config)
        allowed = usable.float()
        mean = (advantages * allowed).sum(1, keepdim=True) / allowed.sum(1, keepdim=True).clamp(min=1.0)
        start = self.network.config.q_prior * prior / (1.0 + prior.abs())
        return torch.where(usable, values + advantages - mean + start, MASKED)

    def _predict(self, observation: dict[str, Tensor], deterministic: bool = True) -> Tensor:
        return self(observation).argmax(dim=1)


class NodeQPolicy(DQNPolicy):
    """DQN's policy over two `NodeQNetwork`s; the greedy action is the best allowed one.

    Args:
        observation_space: A placement observation.
        action_space: Discrete, one action per node or candidate and one to reject.
        lr_schedule: Learning rate by remaining progress.
        network: Fields of `NetworkConfig`.
        **kwargs: Of `DQNPolicy`.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        network: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.network_kwargs = network or {}
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def make_q_net(self) -> NodeQNetwork:  # type: ignore[override]
        """A fresh Q-network."""
        return NodeQNetwork(self.observation_space, self.action_space, NetworkConfig(**self.network_kwargs))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"network": self.network_kwargs}
