"""Search of an agent over plans in the simulator: best guess, look-ahead, then leaving out and repairing.

    best guess   one episode of the policy without chance, with more and more processes screened as candidates
    look-ahead   for every migration, the most likely processes are each tried and played to the end by the policy
                 without chance; the best one is taken (Bertsekas, Tsitsiklis and Wu, "Rollout algorithms for
                 combinatorial optimization", Journal of Heuristics 1997). It is never worse than the best guess. First
                 with few tries, then with more. The node is left to the policy: on instances in the shape of a2_3
                 another one than the best was better in 2 % of the decisions, another process in 22 %.
    waves        many episodes side by side follow the best plan, leave some of its migrations out, and draw others
                 from the policy where budget is left (as in Shaw, "Using constraint programming and local search
                 methods to solve vehicle routing problems", CP 1998)

The cheapest state on the way of any episode is the plan. All of it can be cut off at any decision.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import rebalance_state as schema
from archrl.envs.rebalance import RebalanceTask
from archrl_agents.rebalance_rows import copy_row, empty_rows

BRANCHES = (8, 32)
"""Processes (or the stop) that the look-aheads try."""
ROWS = 16
"""Most episodes of a wave."""
WAVES = 4
"""A wave gets more episodes while at least so many would fit into what is left of the time."""
VIEW_COST = 10.0
"""A wider view is tried if the last guess took less than one part in so many of the time."""
ENOUGH = 0.98
"""A view whose best guess saves this share of what the best one saves is wide enough."""
FRESH = 0.25
"""Share of the episodes of a wave that follow no plan."""
LEAST_LEFT_OUT, MOST_LEFT_OUT = 0.1, 0.6
"""Share of the migrations of the plan that an episode leaves out, drawn for each."""
ROUNDING_USD = 1e-9
"""Sums of the same changes in another order differ by less."""
Move = tuple[int, int]
Observation = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]


class Chooser(Protocol):
    """An agent that says how likely its actions are."""

    def log_probabilities(self, observation: Observation) -> Floats:
        """(B, A), -inf for what may not be done."""


class Moment(NamedTuple):
    """The best plan at a moment."""

    seconds: float
    change_usd: float


@dataclass
class Line:
    """What was done in an episode, and migrations that it is to follow."""

    guide: list[Move] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    change_usd: float = 0.0
    least_usd: float = math.inf
    """Least change after any migration that was played by this line itself."""
    process: int = schema.NOBODY
    node: int = schema.NOBODY

    def branch(self) -> Line:
        """The same up to here, to go on differently."""
        return Line([], list(self.actions), list(self.moves), self.change_usd, math.inf, self.process)

    def act(self, seen: Observation, b: int, chosen: int) -> int:
        """The action of row b: what it follows, where that is possible, else what the policy chose."""
        second = seen["summary"][b, schema.S_STAGE] > 0
        action = self._node_place(seen, b) if second else self._process_place(seen, b)
        action = chosen if action < 0 else action
        self.did(seen, b, action)
        return action

    def did(self, seen: Observation, b: int, action: int) -> None:
        """Note an action of row b."""
        self.actions.append(action)
        if seen["summary"][b, schema.S_STAGE] > 0:
            self.moves.append((self.process, int(seen["destination_idx"][b, action])))
        elif action < seen["process_idx"].shape[1]:
            self.process = int(seen["process_idx"][b, action])

    def _process_place(self, seen: Observation, b: int) -> int:
        """Place of the next process to follow that is among the candidates, or -1."""
        while self.guide:
            process, self.node = self.guide.pop(0)
            place = _place_of(process, seen["process_idx"][b], seen["action_mask"][b])
            if place >= 0:
                return place
        self.node = schema.NOBODY
        return -1

    def _node_place(self, seen: Observation, b: int) -> int:
        if self.node == schema.NOBODY:
            return -1
        return _place_of(self.node, seen["destination_idx"][b], seen["action_mask"][b])


def _place_of(wanted: int, index: NDArray[np.int32], mask: NDArray[np.int8]) -> int:
    """The allowed place that holds an index, or -1."""
    found = np.flatnonzero((index == wanted) & (mask[: len(index)] > 0))
    return int(found[0]) if len(found) else -1


class OutOfTimeError(Exception):
    """The deadline would pass within the next decision."""


class PlanSearch:
    """The best plan so far, and what improves it.

    Args:
        agent: The policy.
        task: A world that stands still.
        scenario: What is planned for.
        deadline_s: Wall-clock time from now on.
        rng: Of what is drawn.
    """

    def __init__(
        self, agent: Chooser, task: RebalanceTask, scenario: Any, deadline_s: float, rng: np.random.Generator
    ) -> None:
        self.began = time.perf_counter()
        self.agent, self.task, self.scenario, self.deadline_s, self.rng = agent, task, scenario, deadline_s, rng
        self.best, self.history, self.episodes = Line(), list[Moment](), 0
        self.best_task = task
        self._longest: dict[int, float] = {}

    @property
    def elapsed_s(self) -> float:
        """Since the search began."""
        return time.perf_counter() - self.began

    def guess(self) -> float:
        """Play the best guess; its change of the cost."""
        state, line = empty_rows(self.task, 1, self.scenario), Line()
        self._play(state, [line], draws=False)
        return line.least_usd

    def choose_view(self) -> float:
        """Play the best guess with more and more processes screened, and go on with the narrowest view that is enough.

        Returns:
            Change of the cost by the best guess of the view that the search began with.
        """
        guesses, began = [(self.task, min(self.guess(), 0.0))], 0.0
        while (wider := _wider(self.task)) is not None and VIEW_COST * (self.elapsed_s - began) <= self.deadline_s:
            self.task, began = wider, self.elapsed_s
            self._longest.clear()
            guesses.append((wider, min(self.guess(), 0.0)))
        enough = min(usd for _, usd in guesses) * ENOUGH
        self.task = next(task for task, usd in guesses if usd <= enough)
        self._longest.clear()
        return guesses[0][1]

    def look_ahead(self, branches: int) -> None:
        """Take the best of the most likely processes for every migration, by where the policy ends after each.

        Args:
            branches: Processes that are tried, 2 or more.
        """
        trunk, line = empty_rows(self.task, 1, self.scenario), Line()
        tries = empty_rows(self.task, branches, self.scenario)
        seen = self.task.outputs(trunk)
        while not (seen.terminated | seen.truncated)[0]:
            self._begin(branches)
            likely = self.agent.log_probabilities(seen.observation)[0]
            count = 1 if trunk.shared.stage[0] else min(branches, int(np.isfinite(likely).sum()))
            actions = np.argsort(-likely, kind="stable")[:count]
            chosen = int(actions[self._try(trunk, line, tries, actions).argmin()]) if count > 1 else int(actions[0])
            line.did(seen.observation, 0, chosen)
            self._step(trunk, [line], np.array([chosen]))

    def _try(self, trunk: Any, line: Line, tries: Any, actions: NDArray[np.int64]) -> Floats:
        """Change of the cost, $, where it is least after every action, with what the policy does after it."""
        out = self.task.outputs(tries)
        rows = len(out.terminated)
        copy_row(trunk, 0, tries, rows)
        lines, first = [line.branch() for _ in range(rows)], _padded(actions, rows)
        for b, action in enumerate(first.tolist()):
            lines[b].did(out.observation, b, action)
        self._step(tries, lines, first)
        self._play(tries, lines, draws=False)
        return np.array([min(each.least_usd, line.change_usd) for each in lines[: len(actions)]])

    def wave(self, rows: int) -> None:
        """Play episodes that follow the best plan in part."""
        lines = [Line(self._kept()) for _ in range(rows)]
        self._play(empty_rows(self.task, rows, self.scenario), lines, draws=True)

    def waves(self, most: float = math.inf) -> None:
        """Waves without end, or so many; each has up to twice as many episodes as the last."""
        rows, last_s, done = 1, 0.0, 0
        while done < most:
            if 2 * last_s * WAVES <= self.deadline_s - self.elapsed_s:
                rows = min(2 * rows, ROWS)
            before = self.elapsed_s
            self.wave(rows)
            done, last_s = done + 1, self.elapsed_s - before

    def _kept(self) -> list[Move]:
        """What an episode follows."""
        if self.rng.random() < FRESH:
            return []
        left_out = self.rng.uniform(LEAST_LEFT_OUT, MOST_LEFT_OUT)
        return [move for move in self.best.moves if self.rng.random() >= left_out]

    def _play(self, state: Any, lines: Sequence[Line], draws: bool) -> None:
        """Play all rows to their end."""
        out = self.task.outputs(state)
        while not (out.terminated | out.truncated).all():
            began = self._begin(len(lines))
            likely = self.agent.log_probabilities(out.observation)
            if draws:
                likely = likely + self.rng.gumbel(size=likely.shape)
            chosen = likely.argmax(axis=1).tolist()
            actions = [line.act(out.observation, b, chosen[b]) for b, line in enumerate(lines)]
            self._step(state, lines, np.array(actions, np.int64))
            self._longest[len(lines)] = max(self._longest.get(len(lines), 0.0), self.elapsed_s - began)
        self.episodes += len(lines)

    def _begin(self, rows: int) -> float:
        """Seconds at the start of a decision of so many rows, if there is time for it."""
        now = self.elapsed_s
        if now + self._longest.get(rows, 0.0) > self.deadline_s:
            raise OutOfTimeError
        return now

    def _step(self, state: Any, lines: Sequence[Line], actions: NDArray[np.int64]) -> None:
        """Step all rows and note what they reached."""
        out = self.task.outputs(state)
        running = ~(out.terminated | out.truncated)
        self.task.step(state, actions)
        for b in np.flatnonzero(running).tolist():
            lines[b].change_usd += float(out.cost_usd[b].sum())
            if state.shared.stage[b] == 0:
                self._note(lines[b])

    def _note(self, line: Line) -> None:
        """Keep what a row did up to here, if it is the best."""
        line.least_usd = min(line.least_usd, line.change_usd)
        if line.change_usd < self.best.change_usd - ROUNDING_USD:
            self.best, self.best_task = Line([], list(line.actions), list(line.moves), line.change_usd), self.task
            self.history.append(Moment(self.elapsed_s, line.change_usd))


def _wider(task: RebalanceTask) -> RebalanceTask | None:
    """The same task with twice as many processes screened for each candidate place; None where there are no more."""
    config = task.config
    acts = config.process_candidates is not None and config.look_ahead and config.source != "aged"
    if not acts or config.screened * config.process_candidates >= task.world.num_processes:
        return None
    world: Any = copy(task.world)
    world.screened = 2 * config.screened
    return RebalanceTask(config.model_copy(update={"screened": world.screened}), task.source, world, task.split)


def _padded(actions: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """As many actions as rows: the last one again and again."""
    return np.concatenate([actions, np.full(rows - len(actions), actions[-1])]).astype(np.int64)
