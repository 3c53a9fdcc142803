"""expected.yaml from the published results: python papers/roadef2012/expected.py DATA_ROOT"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from archrl.files import write_text_atomic
from archrl.traces.roadef2012 import ROADEF2012_INSTANCES
from archrl.traces.roadef2012_published import (
    PUBLISHED_EXAMPLES,
    PUBLISHED_INITIAL,
    PUBLISHED_S41,
    published_costs,
    read_milp_results,
)

SOURCE = {
    "initial": "Google ROADEF/EURO Challenge 2011-2012",
    "s41": "harisgavranovic/roadef-challenge2012-S41 @ ca88282, 300 s on an Intel i7-920",
    "milp_1h": "mdeboute/challenge_ROADEF_Google @ f0fd6a5, a commercial solver, one hour",
    "example": "circleorange/mrp-approach-analysis @ 4b067d0, stored solutions, evaluated",
}
PROTOCOL = {
    "seeds": list(range(10)),
    "workers": 2,
    "clock": "cpu",
    "budgets_s": [5, 60, 300],
    "agent_budgets_s": [5],
    "target_budget_s": 300,
}
HEADER = (
    "# Published costs, written by `python papers/roadef2012/expected.py DATA_ROOT`, and the protocol of the claims.\n"
)


def expected(root: str | Path) -> dict[str, Any]:
    """What expected.yaml holds."""
    milp = read_milp_results(root)
    instances = {}
    for name in ROADEF2012_INSTANCES:
        best = published_costs(name, root)[0]
        instances[name] = {
            "set": name.partition("_")[0],
            "initial": PUBLISHED_INITIAL[name],
            "s41": PUBLISHED_S41[name],
            "milp_1h": asdict(milp[name]) if name in milp else None,
            "example": PUBLISHED_EXAMPLES.get(name),
            "best": best.cost,
            "best_source": best.source,
        }
    return {"source": SOURCE, **PROTOCOL, "instances": instances}


def main() -> None:
    """Write expected.yaml beside this file."""
    text = yaml.safe_dump(expected(sys.argv[1]), sort_keys=False, width=120, default_flow_style=None)
    write_text_atomic(Path(__file__).with_name("expected.yaml"), HEADER + text)


if __name__ == "__main__":
    main()
