"""Checks of a vector environment against single ones: `BATCH_CHECKS` lists them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from archrl.evaluation.conformance_actions import allowed_action, any_action, mask_of, stacked
from archrl.evaluation.conformance_tools import EnvKit, difference, require, scribble
from archrl.seeding import rng_for

ROWS = 3
EPISODES = 3
"""Ends that every row must have seen before single and batch count as equal."""
REFUSED_SHARE = 0.1
"""Share of the actions that are taken without regard to the mask."""
Mode = AutoresetMode


class BatchStep(NamedTuple):
    """What a vector environment returned."""

    observation: Any
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    info: dict[str, Any]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """(B,) rows that ended in this step."""
        return np.asarray(self.terminated | self.truncated)


def _batch(kit: EnvKit, rows: int = ROWS, mode: Mode = Mode.SAME_STEP) -> Any:
    assert kit.batch_factory is not None
    return kit.batch_factory(num_envs=rows, autoreset_mode=mode)


def _actions(env: Any, info: dict[str, Any], rng: np.random.Generator) -> NDArray[Any]:
    """Mostly allowed actions of every row, (B,) or (B, components)."""
    space = env.single_action_space
    draws = [any_action if rng.random() < REFUSED_SHARE else allowed_action for _ in range(env.num_envs)]
    masks = mask_of(info, (env.num_envs,))
    return stacked(space, [draw(space, mask, rng) for draw, mask in zip(draws, masks, strict=True)])


def _reset(env: Any, seed: int | None, **options: Any) -> BatchStep:
    observation, info = env.reset(seed=seed, **({"options": options} if options else {}))
    rows = env.num_envs
    return BatchStep(observation, np.zeros(rows), np.zeros(rows, bool), np.zeros(rows, bool), info)


def equal_spaces(kit: EnvKit) -> None:
    """The vector environment's single spaces are the single environment's; its own are their batches."""
    single, batch = kit.env_factory(), _batch(kit)
    for name in ("observation_space", "action_space"):
        own = getattr(single, name)
        held = getattr(batch, f"single_{name}")
        require(held == own, f"single_{name} is {held}, the single environment has {own}", "share one space")
        whole = batch_space(own, ROWS)
        require(getattr(batch, name) == whole, f"{name} is no batch of {ROWS}", "use gymnasium's batch_space")
    mode = batch.metadata.get("autoreset_mode")
    require(mode == Mode.SAME_STEP, f"metadata['autoreset_mode'] is {mode!r}", "store the mode that was asked for")


def parity(kit: EnvKit, mode: Mode = Mode.SAME_STEP) -> None:
    """Row i of the batch plays what single environment i plays in `SyncVectorEnv`, over `EPISODES` ends of each row."""
    batch = _batch(kit, ROWS, mode)
    single = SyncVectorEnv([kit.env_factory] * ROWS, autoreset_mode=mode)
    rng, ends = rng_for(kit.seed, "test", "conformance", "parity"), np.zeros(ROWS, int)
    both = [_reset(env, kit.seed) for env in (batch, single)]
    for number in range(kit.max_steps * EPISODES):
        gap = _gap(*both)
        what = f"batch and SyncVectorEnv({mode.value}) differ in step {number} at {gap}"
        require(gap is None, what, "let both shells run the same step, seed row i with seed + i")
        ends += both[0].ended
        if (ends >= EPISODES).all():
            return
        if mode == Mode.DISABLED and both[0].ended.any():
            both = [_reset(env, None, reset_mask=both[0].ended.copy()) for env in (batch, single)]
            both = [step._replace(info=_rows_of(step.info, both[0].info)) for step in both]
            continue
        actions = _actions(batch, both[0].info, rng)
        both = [BatchStep(*env.step(actions)) for env in (batch, single)]
    require(False, f"only {ends.min()} ends of a row in {number + 1} steps", "raise max_steps or shorten episodes")


def parity_next_step(kit: EnvKit) -> None:
    """As `parity`, with rows reset in the step after their end."""
    parity(kit, Mode.NEXT_STEP)


def parity_disabled(kit: EnvKit) -> None:
    """As `parity`, with rows reset by hand through `reset_mask`."""
    parity(kit, Mode.DISABLED)


def _rows_of(info: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """The info of a partial reset; a mask for the rows that it leaves out is taken from what was shown."""
    return shown | info


def _gap(batch: BatchStep, single: BatchStep) -> str | None:
    """First difference; entries of info count only where their presence mask is set."""
    for name in ("observation", "reward", "terminated", "truncated"):
        gap = difference(getattr(batch, name), getattr(single, name), name)
        if gap:
            return gap
    return _info_gap(batch.info, single.info, "info")


def _info_gap(batch: dict[str, Any], single: dict[str, Any], path: str) -> str | None:
    for key, value in single.items():
        if key.startswith("_"):
            continue
        if key not in batch:
            return f"{path}[{key!r}]: the batch lacks it"
        present = np.asarray(single.get(f"_{key}", np.ones(1, bool)))
        held = np.asarray(batch.get(f"_{key}", present))
        if not held[present].all():
            return f"{path}['_{key}']: {held} and {present}"
        if isinstance(value, dict):
            gap = _info_gap(batch[key], value, f"{path}[{key!r}]")
        else:
            rows = np.flatnonzero(present)
            gap = difference([batch[key][row] for row in rows], [value[row] for row in rows], f"{path}[{key!r}]")
        if gap:
            return gap
    return None


def any_width(kit: EnvKit) -> None:
    """A row plays the same whatever number of rows is beside it."""
    shown = []
    for rows in (1, ROWS, 2 * ROWS + 1):
        env = _batch(kit, rows)
        steps: list[Any] = []
        step = _reset(env, kit.seed)
        rng = rng_for(kit.seed, "test", "conformance", "width")
        ended = False
        while not ended and len(steps) < kit.max_steps:
            steps.append(copy.deepcopy((_row(step.observation, 0), step.reward[0])))
            others = _actions(env, step.info, rng_for(kit.seed, "test", "conformance", "others", len(steps)))
            others[0] = allowed_action(env.single_action_space, mask_of(step.info, (rows,))[0], rng)
            step = BatchStep(*env.step(others))
            ended = bool(step.ended[0])
        shown.append(steps)
    for other in shown[1:]:
        gap = difference(shown[0], other)
        require(gap is None, f"row 0 depends on the rows beside it, at {gap}", "keep rows apart in every array")


def _row(observation: Any, row: int) -> Any:
    return (
        {key: value[row] for key, value in observation.items()} if isinstance(observation, dict) else observation[row]
    )


def batch_copies(kit: EnvKit) -> None:
    """Pickle and deepcopy go on like the original: in the middle of episodes, and between an end and its reset."""
    for mode, extra in ((Mode.SAME_STEP, 2), (Mode.NEXT_STEP, 0)):
        env = _batch(kit, ROWS, mode)
        step, rng = _reset(env, kit.seed), rng_for(kit.seed, "test", "conformance", "batch copies")
        while not step.ended.any():
            step = BatchStep(*env.step(_actions(env, step.info, rng)))
        for _ in range(extra):
            step = BatchStep(*env.step(_actions(env, step.info, rng)))
        clones = {"pickle": pickle.loads(pickle.dumps(env)), "deepcopy": copy.deepcopy(env)}
        shown = {name: _some_steps(kit, other, step) for name, other in clones.items()}
        expected = _some_steps(kit, env, step)
        for name, steps in shown.items():
            gap = difference(steps, expected)
            require(gap is None, f"a {name} goes on differently ({mode.value}) at {gap}", "copy the whole state")


def _some_steps(kit: EnvKit, env: Any, step: BatchStep, treat: str = "") -> list[Any]:
    """Results of 50 steps. `treat` "keep": copied at once; "scribble": copied, then written to; else as handed out."""
    rng, steps = rng_for(kit.seed, "test", "conformance", "some steps"), []
    for _ in range(50):
        actions = _actions(env, step.info, rng)
        step = BatchStep(*env.step(actions))
        steps.append(copy.deepcopy(step) if treat else step)
        if treat == "scribble":
            kept = copy.deepcopy(step.info)
            scribble(tuple(step))
            step = step._replace(info=kept)
    return steps


def batch_aliasing(kit: EnvKit) -> None:
    """What a vector environment handed out belongs to the caller, presence masks of info included."""
    plain = _batch(kit)
    expected = _some_steps(kit, plain, _reset(plain, kit.seed), "keep")
    env = _batch(kit)
    held = _some_steps(kit, env, _reset(env, kit.seed))
    gap = difference(expected, held)
    require(gap is None, f"what was handed out earlier was overwritten at {gap}", "hand out copies")
    env = _batch(kit)
    gap = difference(expected, _some_steps(kit, env, _reset(env, kit.seed), "scribble"))
    require(gap is None, f"writing to what was returned changed the episode at {gap}", "hand out copies")


def reset_mask(kit: EnvKit) -> None:
    """A partial reset starts its rows from their seeds and leaves every other row, and its stream, alone."""
    env, twin = _batch(kit), _batch(kit)
    first, _ = _reset(env, kit.seed), _reset(twin, kit.seed)
    actions = _actions(env, first.info, rng_for(kit.seed, "test", "conformance", "reset mask"))
    step, _ = BatchStep(*env.step(actions)), twin.step(actions)
    chosen = np.arange(ROWS) == 1
    again = _reset(env, kit.seed, reset_mask=chosen)
    gap = difference(_row(again.observation, 1), _row(first.observation, 1))
    require(gap is None, f"row 1 did not start again from its seed, at {gap}", "seed the rows of the mask")
    for row in (0, 2):
        gap = difference(_row(again.observation, row), _row(step.observation, row))
        require(
            gap is None, f"row {row} changed though it is not in reset_mask, at {gap}", "reset the mask's rows only"
        )
    ends, step = np.zeros(ROWS, int), again
    rng = rng_for(kit.seed, "test", "conformance", "after mask")
    while ends[0] < 1:
        actions = _actions(env, step.info, rng)
        step, other = BatchStep(*env.step(actions)), BatchStep(*twin.step(actions))
        ends += step.ended
        gap = difference(_row(step.observation, 0), _row(other.observation, 0))
        require(gap is None, f"the stream of row 0 was reseeded, at {gap}", "reseed the rows of the mask only")


BATCH_CHECKS: dict[str, Callable[[EnvKit], None]] = {
    check.__name__: check
    for check in (
        equal_spaces,
        parity,
        parity_next_step,
        parity_disabled,
        any_width,
        batch_copies,
        batch_aliasing,
        reset_mask,
    )
}
"""Every check of a vector environment, by name."""
