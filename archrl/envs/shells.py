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

from archrl.envs.actions import action_buffer, check_actions
from archrl.envs.streams import Streams
from archrl.envs.task import Outputs, Task, constraint_names
from archrl.errors import ConfigError
from archrl.seeding import Split, check_seed

RENDER_MODES = ("ansi", "rgb_array")


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

    def __init__(self, out: Outputs, task: Task) -> None:
        self.observation = [(key, value[0].copy) for key, value in out.observation.items()]
        self.mask, self.cost_usd = out.action_mask[0].copy, out.cost_usd[0].tolist
        self.terms = list(enumerate(task.cost_terms))
        self.terminated, self.truncated = out.terminated.tolist, out.truncated.tolist
        self.violations, self.refused = out.violations.tolist, out.refused.tolist
        self.masked, self.constraint_names = out.action_mask.shape[1] > 0, constraint_names(task, out)
        self.constraints = None if out.constraints is None else out.constraints[0].tolist
        self.plain = self.masked and not self.constraint_names


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
        self._streams = Streams(task, split, 1)
        self._attach(task.allocate(1))

    def _attach(self, state: Any) -> None:
        self._state = state
        self._out = self.task.outputs(state)
        self._actions = action_buffer(self.action_space, 1)
        self._action = self._actions.reshape(self.action_space.shape or ())
        self._views = {key: value[0] for key, value in self._out.observation.items()}
        self._readers = _Readers(self._out, self.task)

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
        """Exact mask of the current decision, (A,), empty without one; the name that MaskablePPO looks for."""
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
        if read.plain:
            return {"action_mask": read.mask(), "cost": cost, "violations": violations, "refused": refused}
        info: dict[str, Any] = {"action_mask": read.mask()} if read.masked else {}
        info |= {"cost": cost, "violations": violations, "refused": refused}
        if read.constraint_names and read.constraints is not None:
            info["constraint_cost"] = dict(zip(read.constraint_names, read.constraints(), strict=True))
        return info


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
        self._streams = Streams(task, split, num_envs)
        self._attach(task.allocate(num_envs))

    def _attach(self, state: Any) -> None:
        self._state = state
        self._out = self.task.outputs(state)
        self._constraints = constraint_names(self.task, self._out)
        self._actions = action_buffer(self.single_action_space, self.num_envs)
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
        """Exact masks of the current decisions, (B, A); A is 0 without a mask."""
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
        out = self._out
        infos: dict[str, Any] = {"action_mask": out.action_mask.copy()} if out.action_mask.shape[1] else {}
        infos["cost"] = self._by_name(out.cost_usd, self.task.cost_terms)
        infos |= {"violations": out.violations.copy(), "refused": out.refused.astype(np.bool_)}
        if self._constraints and out.constraints is not None:
            infos["constraint_cost"] = self._by_name(out.constraints, self._constraints)
        return infos | {f"_{key}": self._all for key in infos}

    def _by_name(self, values: NDArray[np.float64], names: tuple[str, ...]) -> dict[str, Any]:
        """Columns of `values`, each with its presence mask."""
        named: dict[str, Any] = {}
        for k, name in enumerate(names):
            named[name], named[f"_{name}"] = values[:, k].copy(), self._all
        return named

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
        info: dict[str, Any] = {"action_mask": out.action_mask[row].copy()} if out.action_mask.shape[1] else {}
        info["cost"] = dict(zip(self.task.cost_terms, out.cost_usd[row].tolist(), strict=True))
        info |= {"violations": int(out.violations[row]), "refused": bool(out.refused[row])}
        if self._constraints and out.constraints is not None:
            info["constraint_cost"] = dict(zip(self._constraints, out.constraints[row].tolist(), strict=True))
        return info | {"metrics": self.task.metrics(self._state, row)}
