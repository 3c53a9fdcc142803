"""The two environment shells, once for all tasks: `SingleEnv` (Gymnasium `Env`) and `BatchEnv` (`VectorEnv`).

They own the sum of cost terms -> reward, autoreset, `final_obs`, info and seeding; a task owns everything else. Row i
of `BatchEnv.reset(seed=s)` plays what `SingleEnv.reset(seed=s + i)` plays, as Gymnasium's `SyncVectorEnv`. Episode k of
a row draws its scenario from the stream (seed, split, "episode", k), so splits never share a scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from archrl.envs.actions import check_actions
from archrl.envs.task import Outputs, Task
from archrl.errors import ConfigError
from archrl.seeding import Split, check_seed, rng_for

RENDER_MODES = ("ansi", "rgb_array")
SEED_BITS = 63
EPISODE_SPLITS = ("train", "validation", "test")


class _Streams:
    """Seed and episode counter of every row."""

    def __init__(self, task: Task, split: Split, rows: int) -> None:
        self.task, self.split = task, split
        self.seeds: list[int | None] = [None] * rows
        self.episode = [0] * rows
        self.started = False
        if split not in EPISODE_SPLITS:
            raise ConfigError(f"split: got {split!r}; allowed: {', '.join(EPISODE_SPLITS)}")

    def reseed(self, seed: int | Sequence[int | None] | None, chosen: NDArray[np.intp] | None = None) -> None:
        """As `SyncVectorEnv.reset`: None keeps the streams (or draws fresh ones), an int seeds row i with seed + i.

        Rows that are not `chosen` keep their streams.
        """
        rows = len(self.seeds)
        if not self.started and chosen is not None and len(chosen) < rows:
            raise ConfigError("reset options: reset_mask leaves rows out that were never reset; reset all rows first")
        if seed is None or isinstance(seed, int | np.integer):
            given: list[int | None] = [None] * rows if seed is None else [check_seed(seed) + i for i in range(rows)]
        else:
            given = list(seed)
        if len(given) != rows:
            raise ConfigError(f"seed: {len(given)} seeds given for {rows} environments; give one, or one each")
        for row in range(rows) if chosen is None else chosen.tolist():
            value = given[row]
            if value is not None:
                self.seeds[row], self.episode[row] = check_seed(value), 0
            elif self.seeds[row] is None:
                self.seeds[row] = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> (64 - SEED_BITS))
        self.started = True

    def check_started(self) -> None:
        """Refuse a step before the first reset."""
        if not self.started:
            raise ConfigError("step before the first reset; call reset(seed=...)")

    def next(self, row: int) -> Any:
        seed = self.seeds[row]
        assert seed is not None
        scenario = self.task.sample(rng_for(seed, self.split, "episode", self.episode[row]))
        self.episode[row] += 1
        return scenario


def _check_options(options: dict[str, Any] | None, allowed: tuple[str, ...]) -> dict[str, Any]:
    if options is not None and not isinstance(options, dict):
        raise ConfigError(f"reset options: got {options!r:.60}; allowed: None, or a dict with {', '.join(allowed)}")
    for key in options or {}:
        if key not in allowed:
            raise ConfigError(f"reset options: unknown key {key!r}; allowed: {', '.join(allowed)}")
    return options or {}


def _check_render_mode(mode: str | None) -> str | None:
    if mode is not None and mode not in RENDER_MODES:
        raise ConfigError(f"render_mode: got {mode!r}; allowed: {', '.join(RENDER_MODES)} or None")
    return mode


def _check_copy(copy: Any) -> bool:
    if not isinstance(copy, bool):
        raise ConfigError(f"copy: got {copy!r}; allowed: True, or False for views that the next step overwrites")
    return copy


def _check_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    known = [member.value for member in AutoresetMode]
    if not isinstance(mode, AutoresetMode) and mode not in known:
        raise ConfigError(f"autoreset_mode: got {mode!r}; allowed: {', '.join(known)}")
    return AutoresetMode(mode)


class _Readers:
    """Bound methods that read a batch of one row: looked up once, because they are most of the work of a step."""

    def __init__(self, out: Outputs, cost_terms: tuple[str, ...]) -> None:
        self.observation = [(key, value[0].copy) for key, value in out.observation.items()]
        self.mask, self.cost_usd = out.action_mask[0].copy, out.cost_usd[0].tolist
        self.terms = list(enumerate(cost_terms))
        self.terminated, self.truncated = out.terminated.tolist, out.truncated.tolist
        self.violations, self.refused = out.violations.tolist, out.refused.tolist


class SingleEnv(gym.Env[dict[str, NDArray[Any]], Any]):
    """One episode at a time: a batch of one row.

    `reset(options={"scenario": s})` plays a given scenario instead of drawing one.

    Args:
        task: The decision problem.
        split: Stream of scenarios: "train", "validation" or "test".
        render_mode: None, "ansi" or "rgb_array".
        copy: False hands out views that the next step overwrites.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # noqa: RUF012 - Gymnasium's own

    def __init__(self, task: Task, split: Split = "train", render_mode: str | None = None, copy: bool = True) -> None:
        self.task, self.split, self.copy = task, split, _check_copy(copy)
        self.render_mode = _check_render_mode(render_mode)
        self.observation_space, self.action_space = task.observation_space, task.action_space
        self._streams = _Streams(task, split, 1)
        self._attach(task.allocate(1))

    def _attach(self, state: Any) -> None:
        self._state = state
        self._out = self.task.outputs(state)
        self._actions = np.zeros((1, *self.action_space.shape), np.int64)  # type: ignore[misc]
        self._action = self._actions.reshape(self.action_space.shape or ())
        self._views = {key: value[0] for key, value in self._out.observation.items()}
        self._readers = _Readers(self._out, self.task.cost_terms)

    def __getstate__(self) -> dict[str, Any]:
        rebuilt = ("_out", "_actions", "_action", "_views", "_readers")
        return {key: value for key, value in self.__dict__.items() if key not in rebuilt}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self._attach(self._state)

    @property
    def state(self) -> Any:
        """The task's state arrays (one row), for inspection."""
        return self._state

    def action_masks(self) -> NDArray[np.bool_]:
        """Exact mask of the current decision, (A,); the name that MaskablePPO looks for."""
        mask: NDArray[np.bool_] = self._out.action_mask[0].astype(np.bool_)
        return mask

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Start an episode; see the class for `options`."""
        options = _check_options(options, ("scenario",))
        if seed is not None:
            super().reset(seed=check_seed(seed))
        self._streams.reseed(seed)
        scenario = options["scenario"] if "scenario" in options else self._streams.next(0)
        self.task.reset_rows(self._state, np.zeros(1, np.int64), [scenario])
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """One decision; at the end of an episode `info["metrics"]` has its domain metrics."""
        if not self._streams.started:
            self._streams.check_started()
        check_actions(self.action_space, action, self._action)
        self.task.step(self._state, self._actions)
        info, read = self._info(), self._readers
        reward = -sum(info["cost"].values()) / self.task.reward_scale_usd
        (terminated,), (truncated,) = read.terminated(), read.truncated()
        if terminated or truncated:
            info["metrics"] = self.task.metrics(self._state, 0)
        return self._observation(), reward, terminated, truncated, info

    def render(self) -> Any:
        """A picture of the row in the render mode."""
        return None if self.render_mode is None else self.task.render(self._state, 0, self.render_mode)

    def _observation(self) -> dict[str, NDArray[Any]]:
        if not self.copy:
            return dict(self._views)
        observation = {}
        for key, copy in self._readers.observation:
            observation[key] = copy()
        return observation

    def _info(self) -> dict[str, Any]:
        read, cost = self._readers, {}
        usd, (violations,), (refused,) = read.cost_usd(), read.violations(), read.refused()
        for k, term in read.terms:
            cost[term] = usd[k]
        return {"action_mask": read.mask(), "cost": cost, "violations": violations, "refused": refused}


class BatchEnv(VectorEnv[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any]]):
    """B episodes in lock-step in one process; one kernel call steps all rows.

    `reset(options={"scenarios": [...]})` plays given scenarios (one each) instead of drawing; autoresets then draw.

    Args:
        task: The decision problem.
        num_envs: Rows B.
        split: Stream of scenarios: "train", "validation" or "test".
        autoreset_mode: SAME_STEP (what Stable-Baselines3 needs), NEXT_STEP (RLlib) or DISABLED.
        render_mode: None, "ansi" or "rgb_array".
        copy: False hands out views that the next step overwrites.
    """

    def __init__(
        self,
        task: Task,
        num_envs: int = 1,
        split: Split = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
        copy: bool = True,
    ) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ConfigError(f"num_envs: got {num_envs!r}; allowed: an integer of at least 1")
        self.task, self.split, self.copy, self.num_envs = task, split, _check_copy(copy), num_envs
        self.autoreset_mode = _check_autoreset_mode(autoreset_mode)
        self.render_mode = _check_render_mode(render_mode)
        self.metadata = {**SingleEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = task.observation_space, task.action_space
        self.observation_space = batch_space(task.observation_space, num_envs)
        self.action_space = batch_space(task.action_space, num_envs)
        self._streams = _Streams(task, split, num_envs)
        self._attach(task.allocate(num_envs))

    def _attach(self, state: Any) -> None:
        self._state = state
        self._out = self.task.outputs(state)
        self._actions = np.zeros((self.num_envs, *self.single_action_space.shape), np.int64)  # type: ignore[misc]
        self._all = np.ones(self.num_envs, np.bool_)
        self._all.flags.writeable = False
        self._ended = np.zeros(self.num_envs, np.bool_)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_out", "_actions", "_all")}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        ended = attributes.pop("_ended")
        self.__dict__.update(attributes)
        self._attach(self._state)
        self._ended = ended

    @property
    def state(self) -> Any:
        """The task's state arrays, for inspection."""
        return self._state

    def action_masks(self) -> NDArray[np.bool_]:
        """Exact masks of the current decisions, (B, A)."""
        return self._out.action_mask.astype(np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Start episodes in all rows, or in those of `options["reset_mask"]`."""
        options = _check_options(options, ("scenarios", "reset_mask"))
        rows = self._rows_to_reset(options.get("reset_mask", self._all))
        self._streams.reseed(seed, rows)
        scenarios = (
            options["scenarios"] if "scenarios" in options else [self._streams.next(row) for row in rows.tolist()]
        )
        if not isinstance(scenarios, list | tuple):
            raise ConfigError(f"reset options: scenarios={scenarios!r:.60}; allowed: a list of one scenario per row")
        if len(scenarios) != len(rows):
            raise ConfigError(f"reset options: {len(scenarios)} scenarios for {len(rows)} rows; give one each")
        self.task.reset_rows(self._state, rows, list(scenarios))
        self._ended[rows] = False
        return self._observation(), self._infos()

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One decision in every row."""
        self._streams.check_started()
        check_actions(self.action_space, actions, self._actions)
        if self._ended.any():
            return self._step_after_end()
        self.task.step(self._state, self._actions)
        reward, terminated, truncated = self._results()
        ended = terminated | truncated
        if not ended.any():
            return self._observation(), reward, terminated, truncated, self._infos()
        finals = self._finals(ended)
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            self._redraw(ended)
            infos = self._infos() | finals
        else:
            self._ended = ended
            infos = self._infos() | {key: finals["final_info"][key] for key in ("metrics", "_metrics")}
        return self._observation(), reward, terminated, truncated, infos

    def _rows_to_reset(self, mask: Any) -> NDArray[np.intp]:
        given = np.asarray(mask)
        if given.dtype != np.bool_ or given.shape != (self.num_envs,) or not given.any():
            raise ConfigError(
                f"reset_mask: got {mask!r}; allowed: a bool array of shape ({self.num_envs},), not all False"
            )
        return np.flatnonzero(given)

    def _results(self) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        out = self._out
        reward = out.cost_usd.sum(axis=1) / -self.task.reward_scale_usd
        return reward, out.terminated.astype(np.bool_), out.truncated.astype(np.bool_)

    def _redraw(self, rows: NDArray[np.bool_]) -> None:
        idx = np.flatnonzero(rows)
        self.task.reset_rows(self._state, idx, [self._streams.next(int(row)) for row in idx])

    def _step_after_end(
        self,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """NEXT_STEP: rows that ended are reset now and ignore their action; the others step."""
        if self.autoreset_mode == AutoresetMode.DISABLED:
            raise ConfigError("step after the end of a row with autoreset_mode=DISABLED; call reset with a reset_mask")
        ended = self._ended
        self.task.step(self._state, self._actions)
        self._redraw(ended)
        reward, terminated, truncated = self._results()
        reward[ended], terminated[ended], truncated[ended] = 0.0, False, False
        infos = self._infos()
        self._ended = terminated | truncated
        if self._ended.any():
            finals = self._finals(self._ended)["final_info"]
            infos |= {key: finals[key] for key in ("metrics", "_metrics")}
        return self._observation(), reward, terminated, truncated, infos

    def render(self) -> tuple[Any, ...] | None:
        """One picture per row in the render mode."""
        if self.render_mode is None:
            return None
        return tuple(self.task.render(self._state, row, self.render_mode) for row in range(self.num_envs))

    def _observation(self) -> dict[str, NDArray[Any]]:
        if self.copy:
            return {key: value.copy() for key, value in self._out.observation.items()}
        return dict(self._out.observation)

    def _infos(self) -> dict[str, Any]:
        out, present = self._out, self._all
        cost: dict[str, Any] = {}
        for k, name in enumerate(self.task.cost_terms):
            cost[name], cost[f"_{name}"] = out.cost_usd[:, k].copy(), present
        infos: dict[str, Any] = {"action_mask": out.action_mask.copy(), "cost": cost}
        infos |= {"violations": out.violations.copy(), "refused": out.refused.astype(np.bool_)}
        return infos | {f"_{key}": present for key in infos}

    def _finals(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """`final_obs` and `final_info` of the rows that ended, in the form of `SyncVectorEnv`."""
        infos: dict[str, Any] = {}
        for row in np.flatnonzero(ended):
            final_obs = {key: value[row].copy() for key, value in self._out.observation.items()}
            final_info = self._row_info(int(row))
            infos = self._add_info(infos, {"final_obs": final_obs, "final_info": final_info}, int(row))
        return infos

    def _row_info(self, row: int) -> dict[str, Any]:
        out = self._out
        return {
            "action_mask": out.action_mask[row].copy(),
            "cost": dict(zip(self.task.cost_terms, out.cost_usd[row].tolist(), strict=True)),
            "violations": int(out.violations[row]),
            "refused": bool(out.refused[row]),
            "metrics": self.task.metrics(self._state, row),
        }
