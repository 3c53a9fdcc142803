"""`SearchSettings`: how the local search for machine reassignment moves and cools.

Temperatures are in units of the initial cost per process, so that they mean the same on instances of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from archrl.baselines.reassignment_search_state import KINDS
from archrl.errors import ConfigError

COLDEST = 1.0
"""Lowest temperature, in units of cost: all costs are integers."""


class Style(NamedTuple):
    """A way to anneal: how often which move is drawn, and between which temperatures."""

    kinds: tuple[float, ...]  # weights, in the order of `KINDS`
    hot: float
    cold: float


class Phase(NamedTuple):
    """A share of the budget, after the race and the annealing, and its temperatures."""

    share: float
    hot: tuple[float, ...]  # of the workers, in turn
    cold: float  # 0: down to COLDEST


CHEAP, HEAVY, TRADING = (0.45, 0.45, 0.09, 0.01, 0.0), (0.2, 0.2, 0.4, 0.2, 0.0), (0.2, 0.2, 0.4, 0.1, 0.1)
STYLES = (
    Style(HEAVY, 40.0, 0.05),
    Style(CHEAP, 4.0, 0.01),
    Style(HEAVY, 4.0, 0.01),
    Style(TRADING, 4.0, 0.01),
    Style(HEAVY, 1.0, 0.001),
    Style(CHEAP, 1.0, 0.001),
)
_CYCLE = (Phase(0.05, (1.0, 0.3), 0.01), Phase(0.05, (0.5, 0.15), 0.01))
PHASES = (*_CYCLE, *_CYCLE, Phase(0.15, (0.05,), 0.0))
"""Reheated again and again: on some instances one annealing in a few leaves no defect; then slowly to the end."""


@dataclass(frozen=True)
class SearchSettings:
    """Shares of the budget: `race_share` for all styles, then those of the phases; the rest for the best styles."""

    styles: tuple[Style, ...] = STYLES
    race_share: float = 0.15
    phases: tuple[Phase, ...] = PHASES
    workers: int = 2

    def __post_init__(self) -> None:
        if not self.styles or any(not _is_style(style) for style in self.styles):
            rule = f"a weight, 0 or more, for each of {KINDS}, and temperatures above 0"
            raise ConfigError(f"styles: got {self.styles}; allowed: at least one, each with {rule}")
        if any(phase.share <= 0 or not phase.hot or min(*phase.hot, phase.cold) < 0 for phase in self.phases):
            raise ConfigError(f"phases: got {self.phases}; allowed: shares above 0 and temperatures of 0 or more")
        if not 0 <= self.race_share < 1 or self.main_share <= 0:
            shares = f"{self.race_share} and phases of {sum(phase.share for phase in self.phases):g}"
            raise ConfigError(f"race_share: got {shares}; allowed: 0 or more, all together below 1")
        if self.workers < 1:
            raise ConfigError(f"workers: got {self.workers}; allowed: 1 or more")

    @property
    def main_share(self) -> float:
        """Of the budget, for the annealing in the best styles."""
        return 1.0 - self.race_share - sum(phase.share for phase in self.phases)


def _is_style(style: Style) -> bool:
    weights = len(style.kinds) == len(KINDS) and min(style.kinds) >= 0 and sum(style.kinds) > 0
    return weights and min(style.hot, style.cold) > 0
