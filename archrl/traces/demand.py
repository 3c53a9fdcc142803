"""All series of demand by name, whatever their source: one type, one call."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from archrl.errors import ConfigError
from archrl.traces.alibaba_genai2026 import REQUEST_TYPES, genai2026_demand
from archrl.traces.azure_llm2023 import LLM_SERVICES, azure_llm2023_demand
from archrl.traces.genai_requests import genai_requests_demand
from archrl.traces.nab import NAB_DEMAND, nab_demand
from archrl.traces.series import DemandSeries
from archrl.traces.web_per_second import nasa1995_demand
from archrl.traces.wikipedia2009 import wikipedia2009_demand
from archrl.traces.worldcup98 import worldcup98_demand

_READERS: Mapping[str, Callable[[str | Path], DemandSeries]] = {
    "worldcup98": worldcup98_demand,
    "wikipedia2009": wikipedia2009_demand,
    "nasa1995": nasa1995_demand,
    **{f"azure_llm2023_{name}": partial(azure_llm2023_demand, service=name) for name in LLM_SERVICES},
    **{f"genai2026_{name}": partial(genai2026_demand, request_type=name) for name in REQUEST_TYPES},
    "genai2026_requests": genai_requests_demand,
    **{f"nab_{name.split('/')[1]}": partial(nab_demand, name=name) for name in NAB_DEMAND},
}
DEMAND_NAMES = tuple(_READERS)
"""Names of all series."""


def read_demand(root: str | Path, name: str) -> DemandSeries:
    """Read a series of demand with its reader's usual settings (step of a log of requests: 60 s or 600 s).

    Args:
        root: Data root, the folder that holds the trace sets.
        name: One of `DEMAND_NAMES`; it is the `name` of the result.

    Raises:
        ConfigError: If there is no such series, naming the closest.
        TraceError: If a file is missing or malformed.
    """
    if name not in _READERS:
        closest = difflib.get_close_matches(name, DEMAND_NAMES, 1, cutoff=0.3)
        hint = f" (did you mean {closest[0]!r}?)" if closest else ""
        raise ConfigError(f"demand series {name!r} is unknown{hint}; allowed: {', '.join(DEMAND_NAMES)}")
    return _READERS[name](root)
