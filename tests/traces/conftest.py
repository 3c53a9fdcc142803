"""A running upstream with a registered small trace set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from archrl.traces import registry
from tests.traces.upstream import Upstream, serve


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """A loopback server, and its trace set as the only registered one."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serve() as server:
        monkeypatch.setattr(registry, "TRACE_SETS", (server.trace_set(),))
        yield server
