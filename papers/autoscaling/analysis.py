"""Verdicts of papers/autoscaling from tables and rows; nothing is played here. One analysis for all presets.

scripts/reproduce.py writes them beside the rows. The results that the README shows are blocks of it that are made here.
"""

from __future__ import annotations

from pathlib import Path

from archrl.evaluation.claims import (
    HINDSIGHT,
    Metric,
    Verdict,
    bound_verdict,
    cheaper_verdict,
    fewer_verdict,
    gap_closed_verdict,
    hindsight_table,
    publish_verdicts,
    read_config,
    read_results,
    violations_verdict,
)
from archrl.evaluation.pages import fill_blocks
from archrl.evaluation.shifts import publish_shifts
from archrl.files import write_text_atomic

PAPER = Path(__file__).resolve().parent
PRESETS = ("tiny", "boutique", "small")
VARIANTS = {
    "": "Trace families that nothing was trained or tuned on",
    "windows": "Held-out windows",
    "stress": "Spikes",
}
"""Folder in results/ -> heading; "": results/ itself."""
TARGETS = {"tiny": 0.6, "boutique": 0.6, "small": 0.4}
"""Share of the gap to the bound that an agent is to close."""
AGENTS = {"T": "service_ppo", "D": "service_dqn"}
"""First letter of a claim -> the agent that it is about. The targets are for the first one."""
HPA = "tuned:hpa_tuned"
MINUTES = Metric("slo_violation_minutes", "SLO violation minutes", digits=2)


def verdicts(folder: Path) -> list[Verdict]:
    """One verdict per claim of the README, in its order; those on an agent that the study has not are left out."""
    (records, table), config = read_results(folder), read_config(folder)
    found = [bound_verdict("C1", records), violations_verdict("C2", records)]
    for letter, agent in AGENTS.items():
        if letter == "T" or agent in set(table["policy"]):
            least, hindsight = TARGETS[config.preset], hindsight_table(records, agent, config)
            found += [
                gap_closed_verdict(f"{letter}1", table, agent, least),
                fewer_verdict(f"{letter}2", records, (agent, HPA), MINUTES, config),
                cheaper_verdict(f"{letter}3", table, agent),
                gap_closed_verdict(f"{letter}4", hindsight, agent, least, HINDSIGHT),
            ]
    return found


def publish(folder: Path) -> str:
    """Write the verdicts of a study and its variants beside their rows, and its shifts; the study's own as text."""
    parts = [folder, *sorted(path.parent for path in folder.glob("*/table.csv"))]
    texts = [publish_verdicts(verdicts(part), part) for part in parts]
    if (folder / "shifts" / "records.csv").exists():
        publish_shifts(folder / "shifts")
    if folder.resolve().is_relative_to(PAPER):
        write_text_atomic(PAPER / "README.md", readme())
    return texts[0]


def readme() -> str:
    """The README with the blocks of all presets as the committed results have them."""
    text = (PAPER / "README.md").read_text(encoding="utf-8")
    return fill_blocks(text, {preset: block(preset) for preset in PRESETS})


def block(preset: str) -> str:
    """Verdicts and figures of a preset."""
    results = PAPER / preset / "results"
    parts = [
        _part(preset, name, heading) for name, heading in VARIANTS.items() if (results / name / "verdicts.md").exists()
    ]
    if (results / "shifts" / "shifts.png").exists():
        parts.append(f"Shifts, one field of the world at a time:\n\n![Shifts]({preset}/results/shifts/shifts.png)")
    command = f"scripts/reproduce.py autoscaling/{preset} --scale full --out papers/autoscaling/{preset}/results"
    return "\n\n".join(parts) or f"No results are committed yet: `{command}` makes them."


def _part(preset: str, name: str, heading: str) -> str:
    link = f"{preset}/results/{name}".rstrip("/")
    text = (PAPER / link / "verdicts.md").read_text(encoding="utf-8").strip()
    shown = f"\n\n![Cost of every policy, and the certified bound]({link}/cost.png)" if not name else ""
    return f"{heading} ([table]({link}/table.md), [rows]({link}/records.csv)):\n\n{text}{shown}"
