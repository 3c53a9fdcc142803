"""Verdicts of papers/placement_small from its table and rows; nothing is played here."""

from __future__ import annotations

from pathlib import Path

from archrl.evaluation.claims import (
    Verdict,
    bound_verdict,
    cheaper_verdict,
    publish_verdicts,
    read_results,
    violations_verdict,
)

AGENTS = {"L1": "linear_cma", "L2": "maskable_ppo", "L3": "masked_dqn"}
"""Claim -> the agent that it is about."""


def verdicts(folder: Path) -> list[Verdict]:
    """One verdict per claim of the README, in its order."""
    records, table = read_results(folder)
    agents = [cheaper_verdict(claim, table, name) for claim, name in AGENTS.items()]
    return [bound_verdict("C1", records), violations_verdict("C2", records), *agents]


def publish(folder: Path) -> str:
    """Write the verdicts beside the rows; as text."""
    return publish_verdicts(verdicts(folder), folder)
