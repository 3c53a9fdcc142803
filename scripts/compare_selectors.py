#!/usr/bin/env python
"""Compares a trained selector of the large neighbourhood search with random and hand-made ones at equal time.

scripts/compare_selectors.py --selector runs/rebalance/selector/selector.pt
"""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from archrl.command import run_command


def main(  # noqa: PLR0913 - the options of the command
    selector: Path | None = None,
    shapes: tuple[str, ...] = ("a1_4", "a2_3", "a2_5"),
    per_shape: int = 6,
    first_seed: int = 1000,
    seconds: float = 10.0,
    anneal_moves: int = 500_000,
    out: Path = Path("runs/selectors"),
) -> None:
    """Play and write <out>.csv and <out>.md.

    Args:
        selector: File that scripts/train_selector.py wrote; its rule without a network is compared too.
        shapes: Recorded instances whose shape generated ones take (needs data).
        per_shape: Instances of each.
        first_seed: Seed of the first instance.
        seconds: CPU time of each selector on each instance.
        anneal_moves: Of the search before the sub-problems.
        out: Files without suffix.
    """
    from archrl.evaluation.console import say
    from archrl.evaluation.selector_comparison import SelectorCases, hand_made, play, write
    from archrl_agents.rebalance_selector import NodeSelector, load_selector

    selectors = {**hand_made(), "potential": NodeSelector(None)}
    selectors |= {} if selector is None else {"trained": load_selector(selector)}
    cases = SelectorCases(shapes, per_shape, first_seed, seconds, anneal_moves)
    print(write(play(cases, selectors, say), list(selectors)[-1], cases, out))


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
