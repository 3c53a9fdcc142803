"""Price books against sums on paper."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.scenarios.prices import LIST_PRICES
from tests.scenarios.builders import PRICES, ints


def test_revenue_is_cpu_and_gpu_hours():
    cpu, gpus, milli = ints(2000, 4000, 8000), ints(0, 1, 2), ints(0, 500, 1000)
    assert PRICES.request_hour_usd(cpu, gpus, milli) == pytest.approx([2.0, 4.0 + 5.0, 8.0 + 20.0])
    assert PRICES.value_usd(cpu, gpus, milli, np.array([1800.0, 3600.0, 7200.0])) == pytest.approx([1.0, 9.0, 56.0])


def test_a_node_in_use_costs_amortisation_and_idle_power():
    # 16 vCPU x 0.5 + 2 GPU x 4 = 16; (1000 W + 2 x 500 W) x PUE 2 = 4 kW at $0.1
    assert PRICES.node_hour_usd(ints(16_000), ints(2)) == pytest.approx([16.4])


def test_the_list_prices_reproduce_the_quoted_instances():
    """c5.2xlarge: 8 vCPU for $0.34; g4dn.xlarge: 4 vCPU and a T4 for $0.526 (AWS on-demand list)."""
    quoted = LIST_PRICES.request_hour_usd(ints(8000, 4000), ints(0, 1), ints(0, 1000))
    assert quoted == pytest.approx([0.34, 0.526], abs=1e-3)


def test_a_node_hour_by_hand():
    """96 vCPU and 8 GPUs: 0.2592 + 0.912, and (110 + 240) W at PUE 1.12 and $0.08 per kWh: 0.03136."""
    assert LIST_PRICES.node_hour_usd(ints(96_000), ints(8)) == pytest.approx([0.2592 + 0.912 + 0.03136])
    assert LIST_PRICES.node_cpu_hour_usd == pytest.approx(1.5 * 12_000 / 128 / (72 * 730), rel=0.02)
    assert LIST_PRICES.node_gpu_hour_usd == pytest.approx(6_000 / (72 * 730), rel=0.01)


def test_a_full_node_earns_more_than_it_costs():
    """Otherwise every policy that rejects everything would win."""
    cpu, gpus = ints(96_000), ints(8)
    assert LIST_PRICES.request_hour_usd(cpu, gpus, ints(1000)) > LIST_PRICES.node_hour_usd(cpu, gpus)
