"""Heuristic policies. Every one acts on the observation alone, through SB3's `predict`, batched or not.

Rounding and tie-breaking are part of a policy. `score="integer"` floors scores as the published policies do; `tie` is
"lowest" (the node with the lowest index, that is, name) or "random" (uniform among the best, from the policy's seed).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archrl.baselines import choose
from archrl.cluster import schema, scores
from archrl.cluster.fragmentation import mix_table
from archrl.cluster.observed import NodeCache, node_cache
from archrl.config import closest_match
from archrl.errors import ConfigError
from archrl.scenarios.placement import PodMix
from archrl.seeding import rng_for
from archrl.units import MAX_GPUS_PER_NODE, SECONDS_PER_HOUR

Observation = Mapping[str, NDArray[Any]]
Score = Literal["float", "integer"]
Tie = Literal["lowest", "random"]


class Heuristic:
    """Base of the heuristics: batching, seeding, and the reject action when nothing fits.

    Args:
        name: Name in tables.
        seed: Seed of the policy's own random choices.
    """

    information = "online"
    training_seed = -1

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self._rng = rng_for(seed, "test", "policy", name)

    def predict(
        self, observation: Observation, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[np.int64], Any]:
        """Actions for observations of one environment (no batch axis) or of a batch."""
        single = observation["action_mask"].ndim == 1
        batch = {key: value[None] for key, value in observation.items()} if single else observation
        actions = np.empty(len(batch["action_mask"]), np.int64)
        self._choose(batch, actions)
        return (actions[0] if single else actions), state

    def _choose(self, observation: Observation, out: NDArray[np.int64]) -> None:
        raise NotImplementedError

    def _uniform(self, rows: int) -> NDArray[np.float64]:
        return self._rng.random(rows)


class RandomFit(Heuristic):
    """A uniformly random node among those that hold the request."""

    def _choose(self, observation: Observation, out: NDArray[np.int64]) -> None:
        mask = observation["action_mask"]
        values = np.zeros(mask.shape[1] - 1)
        uniform = self._uniform(len(out))
        for b in range(len(out)):
            out[b] = choose.pick(values, mask[b], uniform[b])


class RejectAll(Heuristic):
    """Rejects whatever may be rejected: what doing nothing costs. Where it may not, the first node that fits."""

    def _choose(self, observation: Observation, out: NDArray[np.int64]) -> None:
        mask = observation["action_mask"]
        out[:] = np.where(mask[:, -1] == 1, mask.shape[1] - 1, mask.argmax(axis=1))


class ScoreFit(Heuristic):
    """The node with the best score of one rule of `archrl.cluster.scores`.

    Args:
        rule: One of `scores.RULES` except "fgd".
        score: "float", or "integer" as the published policies.
        tie: "lowest" or "random".
        seed: Seed of random ties.
    """

    def __init__(self, rule: str, score: Score = "float", tie: Tie = "lowest", seed: int = 0) -> None:
        super().__init__(_label(rule, score, tie), seed)
        _check_forms(score, tie)
        self._rule, self._integer, self._random = scores.RULES.index(rule), score == "integer", tie == "random"

    def _choose(self, observation: Observation, out: NDArray[np.int64]) -> None:
        uniform = self._uniform(len(out)) if self._random else _lowest(len(out))
        choose.choose_rows((self._rule, self._integer), _seen(observation), uniform, out)


class FragmentationGradientDescent(Heuristic):
    """FGD (Weng et al., USENIX ATC'23): the node whose fragmentation grows least.

    Args:
        mix: The workload mix that fragmentation is measured against.
        score: "float", or "integer": int(100 * sigmoid(-change / 1000)), as published.
        tie: "lowest" (the published runs put the nodes in a random order first, see `archrl.baselines.node_order`), or
            "random".
        seed: Seed of random ties.
    """

    def __init__(self, mix: PodMix, score: Score = "float", tie: Tie = "lowest", seed: int = 0) -> None:
        super().__init__(_label("fgd", score, tie), seed)
        _check_forms(score, tie)
        self._mix, self._integer, self._random = mix_table(mix), score == "integer", tie == "random"
        self._cache: NodeCache | None = None

    def _choose(self, observation: Observation, out: NDArray[np.int64]) -> None:
        uniform = self._uniform(len(out)) if self._random else _lowest(len(out))
        seen = _seen(observation)
        cache = None if "candidates" in observation else self._cache_for(*seen[0].shape[:2])
        if cache is None or len(cache.shapes) == 0:
            choose.fgd_rows(self._integer, seen, uniform, self._mix, out)
        else:
            choose.fgd_rows_cached(self._integer, seen, uniform, self._mix, cache, out)

    def _cache_for(self, rows: int, nodes: int) -> NodeCache:
        """Cache for this batch shape, grown before the kernel could run out of entries."""
        if self._cache is None or not self._cache.fits(rows, nodes):
            self._cache = node_cache(rows, nodes, self._cache)
        return self._cache


class CostAware(Heuristic):
    """Least expected extra node-hour cost, with admission control: what a cost-minded operator would run.

    A node that would stay busy longer because of the request costs the extension times its hourly price. The request
    goes to the cheapest node; ties and near ties by best fit. It is rejected, where that is allowed, when its value is
    below `threshold` times that cost. `threshold` is tuned on validation scenarios.
    """

    def __init__(self, node_hour_usd: NDArray[np.float64], threshold: float = 1.0, seed: int = 0) -> None:
        super().__init__(f"cost_aware_{threshold:g}", seed)
        if not threshold >= 0:
            raise ConfigError(f"threshold: got {threshold}; allowed is 0 or more")
        self._node_hour_usd, self._threshold = np.asarray(node_hour_usd, np.float64), threshold

    def _choose(self, observation: Observation, out: NDArray[np.int64]) -> None:
        nodes, request, mask = observation["nodes"], observation["request"], observation["action_mask"]
        price = self._prices(observation)
        now = observation["clock"][:, :1]
        leaves = now + request[:, schema.REQ_LIFETIME, None]
        busy_until = np.maximum(nodes[:, :, schema.NODE_EMPTY_AT], now)
        extra_usd = np.maximum(leaves - busy_until, 0.0) / SECONDS_PER_HOUR * price
        left = nodes[:, :, schema.NODE_CPU_FREE] / 1e6 + _free_gpu(nodes) / 1e5
        cost = np.where(mask[:, :-1] == 1, extra_usd + 1e-3 * left, np.inf)
        out[:] = cost.argmin(axis=1)
        best = np.take_along_axis(extra_usd, out[:, None], axis=1)[:, 0]
        nothing = ~np.isfinite(cost.min(axis=1))
        unprofitable = (request[:, schema.REQ_VALUE] < self._threshold * best) & (mask[:, -1] == 1)
        out[nothing | unprofitable] = mask.shape[1] - 1

    def _prices(self, observation: Observation) -> NDArray[np.float64]:
        if "candidates" not in observation:
            return self._node_hour_usd[None, :]
        return self._node_hour_usd[np.maximum(observation["candidates"], 0)]


@cache
def _lowest(rows: int) -> NDArray[np.float64]:
    """What `choose.pick` takes for the lowest index among ties, for every row; read-only by convention."""
    return np.full(rows, -1.0)


def _seen(observation: Observation) -> tuple[NDArray[Any], ...]:
    """What the kernels read; a read-only node table is copied, because FGD tries slots in place."""
    nodes = observation["nodes"]
    nodes = nodes if nodes.flags.writeable else nodes.copy()
    return nodes, observation["request"], observation["clock"], observation["action_mask"]


def _free_gpu(nodes: NDArray[np.float32]) -> NDArray[np.float32]:
    first = schema.NODE_GPU_FREE
    free: NDArray[np.float32] = nodes[:, :, first : first + MAX_GPUS_PER_NODE].sum(axis=2)
    return free


def _label(rule: str, score: str, tie: str) -> str:
    suffix = ("_integer" if score == "integer" else "") + ("_random_ties" if tie == "random" else "")
    return rule + suffix


def _check_forms(score: str, tie: str) -> None:
    if score not in ("float", "integer"):
        raise ConfigError(f"score: got {score!r}; allowed: 'float', 'integer'")
    if tie not in ("lowest", "random"):
        raise ConfigError(f"tie: got {tie!r}; allowed: 'lowest', 'random'")


HEURISTICS: dict[str, Callable[..., Heuristic]] = {
    "reject_all": lambda task, seed=0: RejectAll("reject_all", seed),
    "random": lambda task, seed=0: RandomFit("random", seed),
    **{
        rule: (lambda task, seed=0, rule=rule, **forms: ScoreFit(rule, seed=seed, **forms))
        for rule in scores.RULES
        if rule != "fgd"
    },
    "fgd": lambda task, seed=0, **forms: FragmentationGradientDescent(task.mix, seed=seed, **forms),
    "cost_aware": lambda task, seed=0, threshold=1.0: CostAware(task.nodes.node_hour_usd, threshold, seed),
}
"""Name -> factory(task, seed, ...). Options: `score`, `tie` (score-based rules), `threshold` (cost_aware)."""


def make_heuristic(name: str, task: Any, seed: int = 0, **options: Any) -> Heuristic:
    """A heuristic by name for a placement task.

    Raises:
        ConfigError: unknown name.
    """
    if name not in HEURISTICS:
        raise ConfigError(f"policy: got {name!r}; allowed: {', '.join(HEURISTICS)}{closest_match(name, HEURISTICS)}")
    return HEURISTICS[name](task, seed=seed, **options)
