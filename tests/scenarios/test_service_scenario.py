"""Tables and scenarios of services: what is accepted at the limits; what is refused stands in tests/envs."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from archrl.errors import ScenarioError
from archrl.scenarios.service import LARGEST_RPS, ServiceScenario, ServiceTable
from archrl.scenarios.systems import tiny_system

SYSTEM = tiny_system()


def scenario(**changes) -> ServiceScenario:
    base = ServiceScenario(
        system=SYSTEM,
        demand_rps=np.full((3, 1), 100.0),
        host_load=np.zeros(3),
        initial_replicas=SYSTEM.table.least_replicas.copy(),
        key=7,
    )
    return replace(base, **changes)


def test_the_limits_themselves_are_allowed():
    table = SYSTEM.table
    assert len(scenario(demand_rps=np.zeros((3, 1)))) == 3
    assert len(scenario(demand_rps=np.full((3, 1), LARGEST_RPS), host_load=np.ones(3))) == 3
    assert scenario(initial_replicas=table.most_replicas).initial_replicas.tolist() == table.most_replicas.tolist()
    assert scenario(key=2**64 - 1).key == 2**64 - 1
    assert scenario(step_seconds=3600.0).step_seconds == 3600.0
    equal = replace(table, least_replicas=table.most_replicas.copy(), pull_p95_s=table.pull_median_s.copy())
    assert len(equal) == 5


@pytest.mark.parametrize("column", [field.name for field in fields(ServiceTable)])
def test_not_a_number_or_a_negative_one_in_any_column_is_refused(column):
    values = getattr(SYSTEM.table, column)
    wrong = values.copy()
    wrong[3] = -1
    with pytest.raises(ScenarioError, match=rf"{column}\[3\] = -1"):
        replace(SYSTEM.table, **{column: wrong})
    if values.dtype.kind == "f":
        wrong[3] = np.nan
        with pytest.raises(ScenarioError, match=rf"{column}\[3\] = nan"):
            replace(SYSTEM.table, **{column: wrong})


def test_an_episode_has_a_step():
    with pytest.raises(ScenarioError, match="with at least one step"):
        scenario(demand_rps=np.zeros((0, 1)), host_load=np.zeros(0))


@pytest.mark.parametrize("key", [-1, 2**64])
def test_keys_are_64_bits(key):
    with pytest.raises(ScenarioError, match=rf"key = {key}; allowed is 0 to 2\*\*64 - 1"):
        scenario(key=key)
