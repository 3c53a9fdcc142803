"""Checks of a task, the batch-first form of a decision problem: `TASK_CHECKS` lists them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.envs.actions import action_buffer, component_sizes
from archrl.envs.shells import RENDER_MODES
from archrl.envs.task import Outputs, Task
from archrl.evaluation.conformance_actions import allowed_action, mask_parts
from archrl.evaluation.conformance_tools import difference, require
from archrl.seeding import rng_for

ROWS = 3
STEPS = 30


def attributes(task: Task) -> None:
    """Name, cost terms, names of constraints, scale and spaces are there and of their kind."""
    require(isinstance(task.name, str) and task.name, f"name is {task.name!r}", "give the task a name for tables")
    terms = task.cost_terms
    require(_are_names(terms) and terms, f"cost_terms is {terms!r}", "name at least one dollar term, in a tuple")
    require(len(set(terms)) == len(terms), f"cost_terms has a name twice: {terms}", "give every term its own name")
    names = getattr(task, "constraint_terms", ())
    require(_are_names(names), f"constraint_terms is {names!r}", "name the constraints in a tuple, or leave it out")
    require(len(set(names)) == len(names), f"constraint_terms has a name twice: {names}", "give each its own name")
    scale = task.reward_scale_usd
    require(scale > 0, f"reward_scale_usd is {scale!r}", "publish a positive constant")
    is_dict = isinstance(task.observation_space, spaces.Dict)
    require(is_dict, f"observation_space is {task.observation_space}", "use a gymnasium.spaces.Dict")
    component_sizes(task.action_space)


def _are_names(terms: Any) -> bool:
    return isinstance(terms, tuple) and all(isinstance(term, str) and term for term in terms)


def sampling(task: Task) -> None:
    """Equal generators draw equal scenarios, and drawing uses nothing else."""
    drawn = [task.sample(rng_for(seed, "test", "conformance")) for seed in (0, 1, 0)]
    gap = difference(drawn[0], drawn[2])
    require(gap is None, f"equal generators drew different scenarios, at {gap}", "draw from the generator given only")


def _started(task: Task, rows: int = ROWS) -> tuple[Any, Outputs]:
    state = task.allocate(rows)
    scenarios = [task.sample(rng_for(0, "test", "conformance", row)) for row in range(rows)]
    task.reset_rows(state, np.arange(rows), scenarios)
    return state, task.outputs(state)


def _chosen(task: Task, out: Outputs, rng: np.random.Generator) -> NDArray[Any]:
    """Random allowed actions of every row, in the form in which the shells hand them on."""
    actions = action_buffer(task.action_space, len(out.action_mask))
    for row, mask in enumerate(out.action_mask):
        actions[row] = allowed_action(task.action_space, mask.astype(np.bool_), rng)
    return actions


def outputs(task: Task) -> None:
    """Outputs have the shapes and types of their contract and are the same arrays on every call."""
    state, out = _started(task)
    names = getattr(task, "constraint_terms", ())
    has_both = (out.constraints is None) == (not names)
    require(has_both, f"constraint_terms is {names!r}, outputs().constraints {out.constraints!r}", "give both or none")
    for name, (shape, dtype) in _needed(task, out).items():
        held = getattr(out, name)
        what = f"outputs().{name} is {held.dtype} of shape {held.shape}"
        require(held.shape == shape and held.dtype == dtype, what, f"needed is {np.dtype(dtype)} of {shape}")
    _check_mask_width(task, out)
    for key, space in task.observation_space.spaces.items():
        held = out.observation.get(key)
        what = f"observation[{key!r}] is {None if held is None else (held.dtype, held.shape)}"
        needed = (ROWS, *(space.shape or ()))
        require(held is not None and held.shape == needed and held.dtype == space.dtype, what, f"needed is {needed}")
    for (name, first), (_, again) in zip(_arrays(out), _arrays(task.outputs(state)), strict=True):
        same = first.size == 0 or np.shares_memory(first, again)
        require(same, f"outputs() made new arrays: {name}", "return views of the same ones on every call")


def _needed(task: Task, out: Outputs) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of every array."""
    needed: dict[str, tuple[tuple[int, ...], type]] = {
        "action_mask": ((ROWS, *out.action_mask.shape[1:2]), np.int8),
        "cost_usd": ((ROWS, len(task.cost_terms)), np.float64),
        "terminated": ((ROWS,), np.bool_),
        "truncated": ((ROWS,), np.bool_),
        "refused": ((ROWS,), np.bool_),
        "violations": ((ROWS,), np.int32),
    }
    names = getattr(task, "constraint_terms", ())
    return needed | ({"constraints": ((ROWS, len(names)), np.float64)} if names else {})


def _check_mask_width(task: Task, out: Outputs) -> None:
    require(out.action_mask.ndim == 2, f"outputs().action_mask has shape {out.action_mask.shape}", "needed is (B, A)")
    mask_parts(task.action_space, out.action_mask[0])
    surplus = out.action_mask.shape[1] == 0 and "action_mask" in task.observation_space.spaces
    require(not surplus, "outputs().action_mask has no columns, the observation has an action_mask", "leave it out")


def _arrays(out: Outputs) -> list[tuple[str, NDArray[Any]]]:
    """Every array by name."""
    named = [(f"observation[{key!r}]", out.observation[key]) for key in sorted(out.observation)]
    fields = out._asdict().items()
    return named + [(name, value) for name, value in fields if isinstance(value, np.ndarray)]


def rows_apart(task: Task) -> None:
    """Resetting one row leaves the outputs of the others as they were."""
    state, out = _started(task)
    rng = rng_for(0, "test", "conformance", "rows")
    for _ in range(3):
        task.step(state, _chosen(task, out, rng))
    before = copy.deepcopy(out)
    task.reset_rows(state, np.array([1]), [task.sample(rng)])
    for row in (0, 2):
        then, now = ({key: value[row] for key, value in shown.observation.items()} for shown in (before, out))
        gap = difference(then, now)
        require(gap is None, f"resetting row 1 changed row {row} at {gap}", "write to the rows given only")


def ledger(task: Task) -> None:
    """Costs are finite, constraints finite and never negative, metrics and pictures are to be had at any moment."""
    state, out = _started(task)
    rng = rng_for(0, "test", "conformance", "ledger")
    for number in range(STEPS):
        if (out.terminated | out.truncated).any():
            break
        task.step(state, _chosen(task, out, rng))
        finite = np.isfinite(out.cost_usd).all()
        require(finite, f"cost_usd is not finite in step {number}: {out.cost_usd}", "price everything in dollars")
        counts = np.zeros(0) if out.constraints is None else out.constraints
        what = f"constraints are negative or not finite in step {number}: {counts}"
        require((np.isfinite(counts) & (counts >= 0)).all(), what, "count by how much the step broke each, 0 or more")
    metrics = task.metrics(state, 0)
    wrong = {name: value for name, value in metrics.items() if not (isinstance(value, float) and np.isfinite(value))}
    require(metrics and not wrong, f"metrics are no finite floats: {wrong or metrics}", "return name -> float")
    for mode in RENDER_MODES:
        picture = task.render(state, 0, mode)
        good = isinstance(picture, str) if mode == "ansi" else _is_image(picture)
        require(good, f"render({mode!r}) gave {type(picture).__name__}", "return text, or uint8 of (H, W, 3)")


def _is_image(picture: Any) -> bool:
    return isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape[2:] == (3,)


TASK_CHECKS: dict[str, Callable[[Task], None]] = {
    check.__name__: check for check in (attributes, sampling, outputs, rows_apart, ledger)
}
"""Every check of a task, by name."""
